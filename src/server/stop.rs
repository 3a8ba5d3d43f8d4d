//! The stop procedure: the listeners close, connections finish their requests, the generation is
//! dropped, and its workers end their interpreters. The supervisor begins it; the waiting is done
//! on `sm-stop`, which reports [`Event::Stopped`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam::channel::Sender;

use crate::app::process::Process;
use crate::app::{Current, Workers};
use crate::net::{Net, Turn};
use crate::reload::event::Event;
use crate::reload::handover::successor_process::Successor;

/// How long an interpreter's own threads may take when it ends. No client waits for an answer any
/// more then, so a stop waits less for them than for a request.
pub(super) const END_GRACE_MAX: Duration = Duration::from_secs(5);

/// How long idle workers may take to end their interpreters when the mercy is over.
const CUT_OFF_GRACE: Duration = Duration::from_secs(1);

/// Accepts the connections that wait in the backlog, and closes the listeners.
pub fn close_listeners(net: &Net, current: &Current) {
    net.start_leaving();
    if Turn::default().accept_the_rest(net, current) > 0
        && let Some(generation) = current.load()
    {
        generation.queue().wake_if_idle(net);
    }
    net.start_draining();
}

/// The wait for connections and workers.
pub struct Shutdown {
    /// The connections.
    pub net: Arc<Net>,
    /// The generation in charge.
    pub current: Arc<Current>,
    /// Its spooler begins no tasks any more.
    pub process: Arc<Process>,
    /// Workers of earlier generations that have not ended.
    pub at_work: Vec<Workers>,
    /// How long connections may take.
    pub mercy: Duration,
    /// Whether all connections have closed, if they were waited for already.
    pub all_closed: Option<bool>,
}

impl Shutdown {
    /// Waits on `sm-stop`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(self, events: Sender<Event>) -> io::Result<()> {
        let run = move || {
            let net = Arc::clone(&self.net);
            self.run();
            tracing::info!("stopped ({})", summary(&net));
            // The supervisor has ended: a second signal came.
            let _gone = events.send(Event::Stopped);
        };
        let thread = std::thread::Builder::new().name("sm-stop".to_owned());
        thread.spawn(run).map(drop)
    }

    fn run(mut self) {
        let deadline = Instant::now() + self.mercy;
        let all_closed = self
            .all_closed
            .unwrap_or_else(|| self.net.wait_until_closed(deadline));
        if !all_closed {
            tracing::warn!(
                connections = self.net.open_connections(),
                "the time is up: cutting off what is still in progress"
            );
        }
        self.wait_for_tasks(deadline);
        if let Some(generation) = self.current.swap(None) {
            self.at_work.push(generation.workers());
        }
        // Workers that still run a request do not come back in time; the others only have to end
        // their interpreters.
        let grace = if all_closed {
            self.mercy.min(END_GRACE_MAX)
        } else {
            CUT_OFF_GRACE
        };
        let deadline = Instant::now() + grace + CUT_OFF_GRACE;
        let left: usize = self
            .at_work
            .iter()
            .map(|workers| workers.wait(deadline))
            .sum();
        if left > 0 && all_closed {
            tracing::warn!(threads = left, "workers did not end in time");
        }
    }
}

impl Shutdown {
    /// Tasks of the spooler finish, or are kept for the next start.
    fn wait_for_tasks(&self, deadline: Instant) {
        let tasks = &self.process.spooler.files;
        let running = tasks.wait_until_idle(Instant::now());
        if running == 0 {
            return;
        }
        tracing::info!("waiting for {running} tasks of the spooler");
        let left = tasks.wait_until_idle(deadline);
        if left > 0 {
            tracing::warn!(
                "{left} tasks of the spooler have not finished in time; they are kept and run again"
            );
        }
    }
}

/// Waits on `sm-stop` until the successor has ended, and kills it at the deadline. Returns whether
/// the thread could be started.
pub fn wait_for_successor(
    successor: &Successor,
    deadline: Instant,
    events: &Sender<Event>,
) -> bool {
    let (successor, events) = (successor.clone(), events.clone());
    let wait = move || {
        successor.wait(deadline);
        // The supervisor has ended: a second signal came.
        let _gone = events.send(Event::Stopped);
    };
    let thread = std::thread::Builder::new().name("sm-stop".to_owned());
    thread.spawn(wait).is_ok()
}

/// What the server has done. Counters that are 0 are left out.
fn summary(net: &Net) -> String {
    let counters = &net.counters;
    let all = [
        (&counters.requests, "requests"),
        (&counters.refused, "refused"),
        (&counters.shed, "full queue"),
        (&counters.abandoned, "client gone"),
        (&counters.expired, "deadlines passed"),
        (&counters.accepted, "connections"),
    ];
    let texts: Vec<String> = all
        .iter()
        .map(|(counter, name)| (counter.load(Ordering::Relaxed), name))
        .filter(|(count, name)| *count > 0 || **name == "requests")
        .map(|(count, name)| format!("{name}: {count}"))
        .collect();
    texts.join(", ")
}
