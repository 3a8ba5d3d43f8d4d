//! Alarms: messages that run a command, raise a signal or stand out in the log.
//!
//! Raising an alarm only queues it. The thread `sm-alarm` does the rest; each command has a thread
//! that waits for its end. An alarm with the same message as a moment ago is dropped, as in uWSGI.
//! Alarms that are raised before [`Alarms::start`] wait for it.

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::{Condvar, Mutex};

use super::cron_command::shell;
use crate::config::{Alarm, AlarmKind};

/// Begins every line that alarms write; such a line raises no alarm.
pub const TAG: &str = "[uwsgi-alarm]";

/// The most alarms that wait; further ones are dropped.
const WAITING_MAX: usize = 1024;

/// Commands of alarms that run at once.
const RUNNING_MAX: usize = 32;

pub struct AlarmContext {
    pub say: Box<dyn Fn(&str) + Send>,
    pub signal: Box<dyn Fn(u8) + Send>,
}

impl std::fmt::Debug for AlarmContext {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("AlarmContext").finish_non_exhaustive()
    }
}

/// Raises alarms. One per process; any thread.
#[derive(Debug)]
pub struct Alarms {
    alarms: Vec<Alarm>,
    message_bytes_max: usize,
    repeat_after: Duration,
    queue: Sender<(usize, String)>,
    waiting: Receiver<(usize, String)>,
    unfinished: Arc<Unfinished>,
    is_full: AtomicBool,
}

impl Alarms {
    /// An alarm with the same message as before is raised again after `repeat_after`. Messages are
    /// cut at `message_bytes_max`.
    pub fn new(alarms: Vec<Alarm>, repeat_after: Duration, message_bytes_max: usize) -> Self {
        let (queue, waiting) = bounded(WAITING_MAX);
        Self {
            alarms,
            message_bytes_max,
            repeat_after,
            queue,
            waiting,
            unfinished: Arc::default(),
            is_full: AtomicBool::new(false),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.alarms.is_empty()
    }

    /// Starts the thread that raises them. Call it after everything that forks.
    pub fn start(&self, context: AlarmContext) -> std::io::Result<()> {
        let thread = Thread {
            alarms: self.alarms.iter().cloned().map(AlarmState::new).collect(),
            repeat_after: self.repeat_after,
            context,
            unfinished: Arc::clone(&self.unfinished),
            running: Arc::default(),
        };
        let waiting = self.waiting.clone();
        let named = std::thread::Builder::new().name("sm-alarm".to_owned());
        named.spawn(move || thread.run(&waiting)).map(drop)
    }

    /// Raises an alarm. Returns whether it exists. Does not wait.
    pub fn raise(&self, name: &str, message: &str) -> bool {
        match self.alarms.iter().position(|alarm| alarm.name == name) {
            Some(place) => {
                self.raise_at(place, message);
                true
            }
            None => false,
        }
    }

    pub fn raise_at(&self, place: usize, message: &str) {
        let message = cut(message, self.message_bytes_max);
        self.unfinished.add();
        match self.queue.try_send((place, message.to_owned())) {
            Ok(()) => self.is_full.store(false, Ordering::Relaxed),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.unfinished.done();
                if !self.is_full.swap(true, Ordering::Relaxed) {
                    // The tag keeps this line from raising another alarm.
                    tracing::warn!(target: "app.stderr", "{TAG} too many alarms at once: some are dropped");
                }
            }
        }
    }

    /// Waits up to `timeout` until raised alarms are done: commands have their message and go on
    /// alone.
    pub fn flush(&self, timeout: Duration) {
        self.unfinished.wait(Instant::now() + timeout);
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The number of raised alarms that are not done.
#[derive(Debug, Default)]
struct Unfinished {
    count: Mutex<usize>,
    is_none: Condvar,
}

impl Unfinished {
    fn add(&self) {
        *self.count.lock() += 1;
    }

    fn done(&self) {
        let mut count = self.count.lock();
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.is_none.notify_all();
        }
    }

    fn wait(&self, deadline: Instant) {
        let mut count = self.count.lock();
        while *count > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.is_none.wait_for(&mut count, left);
        }
    }
}

struct AlarmState {
    alarm: Alarm,
    last: Option<(Instant, String)>,
}

impl AlarmState {
    fn new(alarm: Alarm) -> Self {
        Self { alarm, last: None }
    }

    fn is_due(&mut self, message: &str, now: Instant, repeat_after: Duration) -> bool {
        let is_again = self.last.as_ref().is_some_and(|(at, last)| {
            last == message && now.saturating_duration_since(*at) < repeat_after
        });
        if !is_again {
            self.last = Some((now, message.to_owned()));
        }
        !is_again
    }
}

struct Thread {
    alarms: Vec<AlarmState>,
    repeat_after: Duration,
    context: AlarmContext,
    unfinished: Arc<Unfinished>,
    running: Arc<AtomicUsize>,
}

impl Thread {
    fn run(mut self, waiting: &Receiver<(usize, String)>) {
        for (place, message) in waiting {
            if let Some(state) = self.alarms.get_mut(place)
                && state.is_due(&message, Instant::now(), self.repeat_after)
            {
                let alarm = state.alarm.clone();
                self.act(&alarm, &message);
            }
            self.unfinished.done();
        }
    }

    fn act(&self, alarm: &Alarm, message: &str) {
        match &alarm.kind {
            AlarmKind::Command(command) => {
                if let Err(why) = self.execute(&alarm.name, command, message) {
                    (self.context.say)(&format!("{TAG} {}: {why}", alarm.name));
                }
            }
            AlarmKind::Signal(number) => (self.context.signal)(*number),
            AlarmKind::Log(text) => {
                let line = message.strip_suffix('\n').unwrap_or(message);
                let space = if text.is_empty() { "" } else { " " };
                (self.context.say)(&format!("ALARM: {text}{space}{line}"));
            }
        }
    }

    fn execute(&self, name: &str, command: &str, message: &str) -> Result<(), String> {
        if self.running.load(Ordering::Acquire) >= RUNNING_MAX {
            return Err(format!(
                "{RUNNING_MAX} commands of alarms run already; \"{command}\" is not run"
            ));
        }
        let mut shell = shell(command);
        shell.stdin(Stdio::piped());
        let child = shell
            .spawn()
            .map_err(|error| format!("cannot run \"{command}\": {error}"))?;
        self.running.fetch_add(1, Ordering::AcqRel);
        self.unfinished.add();
        let running_command = RunningCommand {
            running: Arc::clone(&self.running),
            unfinished: Some(Arc::clone(&self.unfinished)),
        };
        let (about, message) = (format!("{TAG} {name}: \"{command}\""), message.to_owned());
        let thread = std::thread::Builder::new().name("sm-alarm-cmd".to_owned());
        thread
            .spawn(move || running_command.wait_for_end(child, &message, &about))
            .map(drop)
            .map_err(|error| format!("cannot wait for \"{command}\": {error}"))
    }
}

/// A command that runs, until its end.
struct RunningCommand {
    running: Arc<AtomicUsize>,
    /// Set until the message is written.
    unfinished: Option<Arc<Unfinished>>,
}

impl RunningCommand {
    fn wait_for_end(mut self, mut child: Child, message: &str, about: &str) {
        if let Some(mut input) = child.stdin.take() {
            // The command may not read its message.
            let _unread = input.write_all(message.as_bytes());
        }
        self.written();
        match child.wait() {
            Ok(status) if status.success() => {}
            Ok(status) => tracing::warn!(target: "app.stderr", "{about} failed: {status}"),
            Err(error) => tracing::warn!(target: "app.stderr", "{about} is lost: {error}"),
        }
    }

    fn written(&mut self) {
        if let Some(unfinished) = self.unfinished.take() {
            unfinished.done();
        }
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        self.written();
        self.running.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn alarm(name: &str, kind: AlarmKind) -> Alarm {
        Alarm {
            name: name.to_owned(),
            kind,
        }
    }

    fn context() -> (AlarmContext, mpsc::Receiver<String>) {
        let (told, heard) = mpsc::channel();
        let raised = told.clone();
        let context = AlarmContext {
            say: Box::new(move |line| told.send(line.to_owned()).expect("the test listens")),
            signal: Box::new(move |number| {
                raised.send(number.to_string()).expect("the test listens")
            }),
        };
        (context, heard)
    }

    #[test]
    fn the_same_message_is_not_raised_again_at_once() {
        let mut state = AlarmState::new(alarm("a", AlarmKind::Signal(1)));
        let (start, freq) = (Instant::now(), Duration::from_secs(3));
        let mut due = |message, seconds: u64| {
            state.is_due(message, start + Duration::from_secs(seconds), freq)
        };
        assert!(due("x", 0));
        assert!(!due("x", 2));
        assert!(due("y", 2), "another message");
        assert!(due("x", 2), "only the last one is known");
        assert!(!due("x", 4));
        assert!(due("x", 5));
    }

    #[test]
    fn what_was_raised_before_the_start_is_not_lost() {
        let alarms = Alarms::new(
            vec![
                alarm("log", AlarmKind::Log("look:".to_owned())),
                alarm("bare", AlarmKind::Log(String::new())),
                alarm("signal", AlarmKind::Signal(17)),
            ],
            Duration::ZERO,
            5,
        );
        assert!(!alarms.raise("other", "x"));
        assert!(alarms.raise("log", "hello world"));
        assert!(alarms.raise("bare", "Käse!"));
        assert!(alarms.raise("signal", "x"));
        let (context, heard) = context();
        alarms.start(context).expect("a thread");
        let next = || heard.recv_timeout(PATIENCE).expect("it comes");
        assert_eq!(next(), "ALARM: look: hello");
        assert_eq!(next(), "ALARM: Käse");
        assert_eq!(next(), "17");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_has_its_message_when_flush_returns() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("message");
        let command = format!("cat > {}", file.display());
        let alarms = Alarms::new(
            vec![alarm("a", AlarmKind::Command(command))],
            Duration::ZERO,
            100,
        );
        let (context, _heard) = context();
        alarms.start(context).expect("a thread");
        alarms.raise("a", "smoke\n");
        alarms.flush(PATIENCE);
        let until = Instant::now() + PATIENCE;
        while std::fs::read_to_string(&file).unwrap_or_default() != "smoke\n" {
            assert!(Instant::now() < until, "it was written");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_flood_is_bounded() {
        let alarms = Alarms::new(vec![alarm("a", AlarmKind::Signal(1))], Duration::ZERO, 100);
        for _ in 0..WAITING_MAX + 10 {
            alarms.raise("a", "x");
        }
        assert_eq!(alarms.waiting.len(), WAITING_MAX);
        assert_eq!(*alarms.unfinished.count.lock(), WAITING_MAX);
    }

    #[test]
    fn whole_characters_are_cut() {
        assert_eq!(cut("Käse", 2), "K");
        assert_eq!(cut("Käse", 3), "Kä");
        assert_eq!(cut("", 3), "");
        assert_eq!(cut("ab", 3), "ab");
    }
}
