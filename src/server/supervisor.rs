//! Waits for what concerns the whole server: signals, and the end.
//!
//! It alone decides: a reload is built elsewhere and put in charge here, so that it never meets a stop.
//! Stopping is a walk in reverse: the listeners close, connections finish what they have begun, the
//! generation is dropped, its workers end their interpreters. A second signal cuts it short.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};

use super::notify::Notifier;
use super::rebirth::Inheritance;
use super::reload::{self, Done, Reloader, Then};
use crate::app::{Acceptor, Current, Due, Roster};
use crate::background::clockwork::Clockwork;
use crate::net::Net;

/// What the supervisor is told.
pub enum Event {
    /// Stop; a second one stops at once.
    Stop {
        /// What asked for it, for the log.
        by: &'static str,
        /// The signal's number.
        signal: i32,
    },
    /// Stop without waiting for requests in progress.
    StopNow {
        /// What asked for it, for the log.
        by: &'static str,
    },
    /// Reload; the log is opened anew.
    Reload {
        /// What asked for it, for the log.
        by: Cow<'static, str>,
    },
    /// Somebody waits for the reload with this number (`Journal::number`).
    Asked {
        /// The number.
        number: u64,
        /// One interpreter after the other.
        is_rolling: bool,
    },
    /// Open the log anew, and nothing else.
    ReopenLog {
        /// What asked for it, for the log.
        by: String,
    },
    /// One interpreter after the other is to be replaced.
    ChainReload {
        /// What asked for it, for the log.
        by: Cow<'static, str>,
    },
    /// The file of a `hook-touch` was touched: the number of the hook.
    Touched(usize),
    /// An interpreter is due to be replaced.
    Due(Due),
    /// What was to be renewed is, or could not be.
    Done(Box<Done>),
    /// An old generation has ended.
    Retired {
        /// Its number.
        generation: u64,
    },
    /// The stop is complete.
    Stopped,
}

impl Event {
    /// A wish to stop.
    pub fn stop(by: &'static str, signal: i32) -> Self {
        Self::Stop { by, signal }
    }

    /// A wish to reload.
    pub fn reload(by: impl Into<Cow<'static, str>>) -> Self {
        Self::Reload { by: by.into() }
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
    /// Makes the next generation.
    pub reloader: Reloader,
    /// Hears of reloads and of the stop.
    pub notifier: &'a Notifier,
    /// Opens the log anew; at every reload too.
    pub reopen_log: &'a mut dyn FnMut(),
    /// Does what a touched file asks for; `Some` if that is to leave with this code.
    pub on_touch: &'a mut dyn FnMut(usize) -> Option<i32>,
    /// What else is done at every reload before the application is loaded anew, also if that fails then.
    pub on_reload: Vec<Box<dyn FnMut() + 'a>>,
}

/// How the supervision ended.
pub enum End {
    /// The server has stopped: the exit code.
    Stop(i32),
    /// The process starts anew, with this.
    Rebirth(Inheritance),
}

/// Serves until the server has stopped, or the process is to start anew.
pub fn supervise(charge: Charge<'_>) -> End {
    let mut rebirth = None;
    let code = watch(charge, &mut rebirth);
    match rebirth {
        Some(inheritance) => End::Rebirth(inheritance),
        None => End::Stop(code),
    }
}

/// Returns the exit code, unless there is something in `rebirth` then.
fn watch(charge: Charge<'_>, rebirth: &mut Option<Inheritance>) -> i32 {
    let Charge {
        events: (sender, receiver),
        net,
        current,
        acceptor,
        clockwork,
        mut mercy,
        exits_on_reload,
        mut reloader,
        notifier,
        reopen_log,
        on_touch,
        mut on_reload,
    } = charge;
    let mut is_stopping = false;
    let mut exit_code = 0;
    loop {
        let event = if reloader.wants_ticks() && !is_stopping {
            receiver.recv_timeout(reload::TICK)
        } else {
            receiver.recv().map_err(RecvTimeoutError::from)
        };
        let event = match event {
            Err(RecvTimeoutError::Timeout) => {
                reloader.tick();
                continue;
            }
            Ok(Event::Asked { number, is_rolling }) => {
                reloader.journal().heard(number);
                Ok(if is_rolling {
                    Event::ChainReload {
                        by: "control".into(),
                    }
                } else {
                    Event::reload("control")
                })
            }
            event => event,
        };
        let event = match event {
            Ok(Event::Reload { by }) if exits_on_reload && !is_stopping => {
                tracing::info!("{by}: a reload is a stop here (--exit-on-reload)");
                Ok(Event::stop("reload", 0))
            }
            Ok(Event::StopNow { by }) if !is_stopping => {
                mercy = Duration::ZERO;
                Ok(Event::stop(by, 0))
            }
            event => event,
        };
        match event {
            // Nobody waits for the next image any more; what goes on is a stop like any other.
            Ok(Event::Stop { by, .. }) if rebirth.take().is_some() => {
                notifier.stopping();
                reloader.journal().close("the server stops");
                tracing::info!("{by}: stopping instead of starting anew");
                #[cfg(unix)]
                net.stop_keeping();
            }
            Ok(Event::Stop { by, signal }) if is_stopping => {
                tracing::warn!("{by} again: stopping now");
                return KILLED_BY + signal;
            }
            Ok(Event::Stop { by, .. }) => {
                is_stopping = true;
                reloader.journal().close("the server stops");
                clockwork.stop();
                notifier.stopping();
                tracing::info!(
                    "{by}: stopping; requests in progress have {} s to finish",
                    mercy.as_secs()
                );
                net.start_draining();
                if !start_stopping(net, current, (reloader.stop(), mercy), sender) {
                    return 1;
                }
                acceptor.nudge();
            }
            Ok(Event::StopNow { by }) => {
                tracing::warn!("{by}: stopping now");
                *rebirth = None;
                return 0;
            }
            Ok(Event::Reload { by } | Event::ChainReload { by }) if is_stopping => {
                tracing::info!("{by}: the server stops; there is nothing to reload");
            }
            Ok(Event::Reload { by }) => {
                notifier.reloading();
                reopen_log();
                for hook in &mut on_reload {
                    hook();
                }
                reloader.ask(&by, false);
            }
            Ok(Event::ChainReload { by }) => reloader.ask(&by, true),
            Ok(Event::ReopenLog { by }) => {
                tracing::info!("{by}: opening the log anew");
                reopen_log();
            }
            // What was born for a server that stops is dropped, and ends.
            Ok(Event::Done(_) | Event::Retired { .. } | Event::Due(_) | Event::Touched(_))
                if is_stopping => {}
            Ok(Event::Touched(hook)) => {
                if let Some(code) = on_touch(hook) {
                    exit_code = code;
                    // The receiver is here.
                    let _heard = sender.send(Event::stop("hook-touch", 0));
                }
            }
            Ok(Event::Done(done)) => {
                let is_rebirth = reloader.done(*done) == Then::StartAnew;
                if is_rebirth && let Some(inheritance) = begin_rebirth(net) {
                    *rebirth = Some(inheritance);
                    is_stopping = true;
                    start_stopping(net, current, (reloader.stop(), mercy), sender);
                }
                acceptor.nudge();
                if !reloader.is_busy() && !is_stopping {
                    notifier.ready();
                }
            }
            // It became one of the others above.
            Ok(Event::Asked { .. }) => {}
            Ok(Event::Due(due)) => reloader.due(due),
            Ok(Event::Retired { generation }) => reloader.retired(generation),
            // Leaving somebody behind at the end of the mercy is how a stop was asked to go.
            Ok(Event::Stopped) => {
                #[cfg(unix)]
                if let Some(inheritance) = rebirth {
                    inheritance.connections = net.take_kept();
                }
                return exit_code;
            }
            Err(_) => {
                *rebirth = None;
                return 1;
            }
        }
    }
}

/// Starts the thread that waits for the end. Whether it could.
fn start_stopping(
    net: &Arc<Net>,
    current: &Arc<Current>,
    (at_work, mercy): (Vec<Roster>, Duration),
    sender: &Sender<Event>,
) -> bool {
    let (net, current, sender) = (Arc::clone(net), Arc::clone(current), sender.clone());
    let stopper = std::thread::Builder::new()
        .name("sm-stop".to_owned())
        .spawn(move || {
            stop(&net, &current, at_work, mercy);
            // The supervisor left first: a second signal came.
            let _gone = sender.send(Event::Stopped);
        });
    if let Err(error) = &stopper {
        tracing::error!(%error, "cannot start the thread that stops the server; stopping now");
    }
    stopper.is_ok()
}

/// Nobody is taken on any more, and nobody is sent away. `None`: it cannot be done now, and nothing has changed.
#[cfg(unix)]
fn begin_rebirth(net: &Net) -> Option<Inheritance> {
    let since = std::time::SystemTime::now();
    match net.start_keeping() {
        Ok(listeners) => {
            tracing::info!("the new version loads; starting anew, and clients wait");
            Some(Inheritance {
                listeners,
                connections: Vec::new(),
                since,
            })
        }
        Err(error) => {
            tracing::error!("reload failed: cannot keep the sockets: {error}");
            None
        }
    }
}

/// Never asked for.
#[cfg(not(unix))]
fn begin_rebirth(_net: &Net) -> Option<Inheritance> {
    None
}

/// Lets connections finish, then the workers.
fn stop(net: &Net, current: &Current, mut at_work: Vec<Roster>, mercy: Duration) {
    let all_closed = net.wait_until_closed(Instant::now() + mercy);
    if !all_closed {
        tracing::warn!(
            connections = net.open_connections(),
            "the time is up: cutting off what is still in progress"
        );
    }
    // Those of old generations that are still at work are in `at_work` already.
    if let Some(generation) = current.swap(None) {
        at_work.push(generation.roster());
    }
    // Workers that still run a request do not come back in time; the others only have to end their interpreters.
    let grace = if all_closed {
        mercy.min(END_GRACE_MAX)
    } else {
        CUT_OFF_GRACE
    };
    let deadline = Instant::now() + grace + CUT_OFF_GRACE;
    let left: usize = at_work.iter().map(|roster| roster.wait(deadline)).sum();
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
