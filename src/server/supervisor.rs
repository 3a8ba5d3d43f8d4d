//! Waits for what concerns the whole server: signals, and the end.
//!
//! Stopping is a walk in reverse: the listeners close, connections finish what they have begun, the
//! generation is dropped, its workers end their interpreters. A second signal cuts it short.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender};

use crate::app::{Acceptor, Current};
use crate::background::clockwork::Clockwork;
use crate::net::Net;

/// What the supervisor is told.
#[derive(Debug)]
pub enum Event {
    /// Stop; a second one stops at once.
    Stop {
        /// What asked for it, for the log.
        by: &'static str,
        /// The signal's number.
        signal: i32,
    },
    /// Stop without waiting for requests in progress.
    #[cfg_attr(windows, expect(dead_code, reason = "only a signal asks for it"))]
    StopNow {
        /// What asked for it, for the log.
        by: &'static str,
    },
    /// Reload; the log is opened anew.
    Reload {
        /// What asked for it, for the log.
        by: &'static str,
    },
    /// The stop is complete.
    Stopped,
}

impl Event {
    /// A wish to stop.
    pub fn stop(by: &'static str, signal: i32) -> Self {
        Self::Stop { by, signal }
    }
}

/// What an interpreter's own threads are given to finish when it ends. Nobody waits for an answer any more then, so a stop
/// does not wait for one of them as it does for a request.
pub(super) const END_GRACE_MAX: Duration = Duration::from_secs(5);

/// What is left to workers when the mercy is over: the ones that are idle end their interpreters.
const CUT_OFF_GRACE: Duration = Duration::from_secs(1);

/// A signal ends a process with this and its number (the shell's convention).
const KILLED_BY: i32 = 128;

/// What the supervisor looks after, and how it was told to.
pub struct Charge<'a> {
    /// Where it is told, and by what it hears of the end.
    pub events: (&'a Sender<Event>, &'a Receiver<Event>),
    /// Sockets and the poll.
    pub net: &'a Arc<Net>,
    /// The generation that serves.
    pub current: &'a Arc<Current>,
    /// Takes connections while every worker is stuck.
    pub acceptor: &'a Acceptor,
    /// Raises signals by the clock.
    pub clockwork: &'a Clockwork,
    /// What requests in progress are given when the server stops.
    pub mercy: Duration,
    /// A reload is a stop (`--exit-on-reload`).
    pub exits_on_reload: bool,
    /// Opens the log anew.
    pub reopen_log: &'a mut dyn FnMut(),
}

/// Serves until the server has stopped. Returns the exit code.
pub fn supervise(charge: Charge<'_>) -> i32 {
    let Charge {
        events: (sender, receiver),
        net,
        current,
        acceptor,
        clockwork,
        mut mercy,
        exits_on_reload,
        reopen_log,
    } = charge;
    let mut is_stopping = false;
    loop {
        let event = match receiver.recv() {
            Ok(Event::Reload { by }) if exits_on_reload && !is_stopping => {
                tracing::info!("{by}: a reload is a stop here (--exit-on-reload)");
                Ok(Event::stop(by, 0))
            }
            Ok(Event::StopNow { by }) if !is_stopping => {
                mercy = Duration::ZERO;
                Ok(Event::stop(by, 0))
            }
            event => event,
        };
        match event {
            Ok(Event::Stop { by, signal }) if is_stopping => {
                tracing::warn!("{by} again: stopping now");
                return KILLED_BY + signal;
            }
            Ok(Event::Stop { by, .. }) => {
                is_stopping = true;
                clockwork.stop();
                tracing::info!(
                    "{by}: stopping; requests in progress have {} s to finish",
                    mercy.as_secs()
                );
                let (net, current, sender) = (Arc::clone(net), Arc::clone(current), sender.clone());
                net.start_draining();
                acceptor.nudge();
                let stopper = std::thread::Builder::new()
                    .name("sm-stop".to_owned())
                    .spawn(move || {
                        stop(&net, &current, mercy);
                        // The supervisor left first: a second signal came.
                        let _gone = sender.send(Event::Stopped);
                    });
                if let Err(error) = stopper {
                    tracing::error!(%error, "cannot start the thread that stops the server; stopping now");
                    return 1;
                }
            }
            Ok(Event::StopNow { by }) => {
                tracing::warn!("{by}: stopping now");
                return 0;
            }
            Ok(Event::Reload { by }) => {
                reopen_log();
                tracing::warn!(
                    "{by}: this version opens its log anew and cannot reload the application; restart the process for that"
                );
            }
            // Leaving somebody behind at the end of the mercy is how a stop was asked to go.
            Ok(Event::Stopped) => return 0,
            Err(_) => return 1,
        }
    }
}

/// Lets connections finish, then the workers.
fn stop(net: &Net, current: &Current, mercy: Duration) {
    let all_closed = net.wait_until_closed(Instant::now() + mercy);
    if !all_closed {
        tracing::warn!(
            connections = net.open_connections(),
            "the time is up: cutting off what is still in progress"
        );
    }
    let Some(generation) = current.swap(None) else {
        return;
    };
    let remains = generation.remains();
    drop(generation);
    // Workers that still run a request do not come back in time; the others only have to end their interpreters.
    let grace = if all_closed {
        mercy.min(END_GRACE_MAX)
    } else {
        CUT_OFF_GRACE
    };
    let left = remains.wait(Instant::now() + grace + CUT_OFF_GRACE);
    if left > 0 && all_closed {
        tracing::warn!(threads = left, "workers did not end in time");
    }
    tracing::info!("stopped ({})", summary(net));
}

/// What the server has done; what did not happen is not mentioned.
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
    let words: Vec<String> = all
        .iter()
        .map(|(counter, what)| (counter.load(Ordering::Relaxed), what))
        .filter(|(count, what)| *count > 0 || **what == "requests")
        .map(|(count, what)| format!("{what}: {count}"))
        .collect();
    words.join(", ")
}
