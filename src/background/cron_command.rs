//! Commands that run at certain times (`--cron`, `--unique-cron`, `--cron2`).

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::cron::{LocalMinute, When};

/// How often to check a command with a time limit.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub struct CronCommand {
    when: When,
    command: String,
    /// Not started again while it runs.
    is_unique: bool,
    time_max: Option<Duration>,
    last: Option<i64>,
    running: Arc<AtomicUsize>,
}

impl CronCommand {
    /// Goes on where the same command among these is: it may run, or have run in this minute.
    pub fn take_over(&mut self, before: &[Self]) {
        let same = |one: &&Self| one.when == self.when && one.command == self.command;
        if let Some(same) = before.iter().find(same) {
            self.last = same.last;
            self.running = Arc::clone(&same.running);
        }
    }

    /// A command for the shell. A unique one is not started again while it runs. It is killed after
    /// `time_max`.
    pub fn new(when: When, command: String, is_unique: bool, time_max: Option<Duration>) -> Self {
        Self {
            when,
            command,
            is_unique,
            time_max,
            last: None,
            running: Arc::default(),
        }
    }

    pub(super) fn look(&mut self, minute: &LocalMinute) {
        if !self.when.matches(minute) || self.last == Some(minute.serial) {
            return;
        }
        self.last = Some(minute.serial);
        if self.is_unique && self.running.load(Ordering::Acquire) > 0 {
            tracing::info!(
                "cron: \"{}\" still runs; it is not begun again",
                self.command
            );
            return;
        }
        match shell(&self.command).spawn() {
            Ok(child) => self.wait_for_end(child),
            Err(error) => tracing::error!("cron: cannot run \"{}\": {error}", self.command),
        }
    }

    fn wait_for_end(&self, child: Child) {
        tracing::info!("cron: running \"{}\" (pid {})", self.command, child.id());
        let (command, time_max) = (self.command.clone(), self.time_max);
        let running = Arc::clone(&self.running);
        running.fetch_add(1, Ordering::AcqRel);
        let thread = std::thread::Builder::new().name("sm-cron".to_owned());
        let attended = thread.spawn(move || {
            let ended = wait(child, time_max);
            running.fetch_sub(1, Ordering::AcqRel);
            match ended {
                Ok(said) => tracing::info!("cron: \"{command}\" {said}"),
                Err(error) => tracing::error!("cron: waiting for \"{command}\" failed: {error}"),
            }
        });
        if let Err(error) = attended {
            self.running.fetch_sub(1, Ordering::AcqRel);
            tracing::error!(%error, "cron: cannot wait for \"{}\"", self.command);
        }
    }
}

fn wait(mut child: Child, time_max: Option<Duration>) -> std::io::Result<String> {
    let Some(time_max) = time_max else {
        return child.wait().map(|status| format!("ended ({status})"));
    };
    let until = Instant::now() + time_max;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(format!("ended ({status})"));
        }
        if Instant::now() >= until {
            kill(&mut child)?;
            child.wait()?;
            return Ok(format!("was killed after {} s", time_max.as_secs()));
        }
        std::thread::sleep(LOOK);
    }
}

fn kill(child: &mut Child) -> std::io::Result<()> {
    #[cfg(unix)]
    if let Some(group) = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
        return Ok(());
    }
    child.kill()
}

/// A command line for the system's shell, without standard input.
pub(super) fn shell(command: &str) -> Command {
    #[cfg(not(windows))]
    let mut shell = {
        use std::os::unix::process::CommandExt as _;
        let mut shell = Command::new("/bin/sh");
        // A process group of its own: Ctrl-C does not reach it, and it can be killed as a whole.
        shell.args(["-c", command]).process_group(0);
        shell
    };
    #[cfg(windows)]
    let mut shell = {
        use std::os::windows::process::CommandExt as _;
        let mut shell = Command::new("cmd");
        shell.arg("/C").raw_arg(command);
        shell
    };
    shell.stdin(Stdio::null());
    shell
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test that waits this long has failed.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn minute(serial: i64) -> LocalMinute {
        LocalMinute {
            minute: 0,
            hour: 0,
            day: 1,
            month: 1,
            weekday: 4,
            serial,
        }
    }

    fn always(command: &str, is_unique: bool, time_max: Option<Duration>) -> CronCommand {
        let when = When::new(-1, -1, -1, -1, -1).expect("any time");
        CronCommand::new(when, command.to_owned(), is_unique, time_max)
    }

    #[test]
    fn a_command_that_is_given_again_goes_on_where_it_was() {
        let mut before = always("true", true, None);
        before.last = Some(7);
        let mut same = always("true", true, Some(PATIENCE));
        let mut other = always("false", true, None);
        same.take_over(std::slice::from_ref(&before));
        other.take_over(std::slice::from_ref(&before));
        assert_eq!((same.last, other.last), (Some(7), None));
        assert!(Arc::ptr_eq(&same.running, &before.running));
    }

    fn wait_until(what: &str, holds: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_command_runs_once_a_minute_and_a_unique_one_not_beside_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let (go, ran) = (folder.path().join("go"), folder.path().join("ran"));
        let text = format!(
            "echo x >> {}; while [ ! -e {} ]; do sleep 0.01; done",
            ran.display(),
            go.display()
        );
        let runs = || std::fs::read_to_string(&ran).map_or(0, |text| text.lines().count());
        let mut command = always(&text, true, None);
        command.look(&minute(1));
        command.look(&minute(1));
        wait_until("it runs", || runs() == 1);
        command.look(&minute(2));
        std::fs::write(&go, "").expect("a file");
        wait_until("it ends", || command.running.load(Ordering::Acquire) == 0);
        assert_eq!(runs(), 1);
        command.look(&minute(3));
        wait_until("it runs again", || runs() == 2);
        wait_until("it ends", || command.running.load(Ordering::Acquire) == 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_takes_too_long_is_killed() {
        let folder = tempfile::tempdir().expect("a folder");
        let pid = folder.path().join("pid");
        let text = format!("sleep 1000 & echo $! > {}; wait", pid.display());
        let mut command = always(&text, false, Some(Duration::from_millis(500)));
        command.look(&minute(1));
        wait_until("it is killed", || {
            command.running.load(Ordering::Acquire) == 0
        });
        let sleep = std::fs::read_to_string(&pid).expect("it had begun");
        // What it had started is gone with it (a zombie at most, until init takes notice).
        let stat = format!("/proc/{}/stat", sleep.trim());
        wait_until("its child is killed", || {
            std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
        });
    }
}
