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
use crate::net::{Net, Turn};

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
    /// Go back to the generation before: a canary ends, or the one that is kept is put back.
    Rollback {
        /// What asked for it, for the log.
        by: Cow<'static, str>,
        /// Who waits for the outcome, in words: what was done, or why nothing was.
        reply: Option<Sender<Result<String, String>>>,
    },
    /// The file of a `hook-touch` was touched: the number of the hook.
    Touched(usize),
    /// An interpreter is due to be replaced.
    Due(Due),
    /// A generation, of this number, has requests and no interpreter.
    Wanted(u64),
    /// One more interpreter, or one less (`+` and `-` of uWSGI's master-fifo).
    Adjust {
        /// What asked for it, for the log.
        by: Cow<'static, str>,
        /// One more.
        is_up: bool,
    },
    /// No interpreter until the next request (`C` of uWSGI's master-fifo).
    #[allow(dead_code, reason = "for whoever reads a master-fifo")]
    Rest {
        /// What asked for it, for the log.
        by: Cow<'static, str>,
    },
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

    /// A wish for one more interpreter, or one less.
    #[cfg_attr(windows, expect(dead_code, reason = "only a signal asks for it"))]
    pub fn adjust(by: impl Into<Cow<'static, str>>, is_up: bool) -> Self {
        Self::Adjust {
            by: by.into(),
            is_up,
        }
    }

    /// A wish to reload.
    pub fn reload(by: impl Into<Cow<'static, str>>) -> Self {
        Self::Reload { by: by.into() }
    }

    /// A wish to go back; nobody waits for the outcome.
    pub fn rollback(by: impl Into<Cow<'static, str>>) -> Self {
        Self::Rollback {
            by: by.into(),
            reply: None,
        }
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
    /// How long it goes on as before after a signal to stop (`--shutdown-delay`).
    pub delay: Duration,
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
        mut delay,
        exits_on_reload,
        mut reloader,
        notifier,
        reopen_log,
        on_touch,
        mut on_reload,
    } = charge;
    let mut is_stopping = false;
    // When the stop begins that was asked for, and by what.
    let mut leaving: Option<(Instant, &'static str, i32)> = None;
    let mut exit_code = 0;
    let mut ticks = Beat::default();
    let mut looks = Beat::default();
    reloader.begin();
    loop {
        let now = Instant::now();
        let next_tick = ticks.next(reloader.wants_ticks().then_some(reload::TICK), now);
        let next_look = looks.next(reloader.looks_every(), now);
        let begins = leaving.map(|(at, ..)| at);
        let next = [next_tick, next_look, begins].into_iter().flatten().min();
        let event = match next.filter(|_| !is_stopping) {
            Some(next) => receiver.recv_timeout(next.saturating_duration_since(now)),
            None => receiver.recv().map_err(RecvTimeoutError::from),
        };
        let event = match event {
            Err(RecvTimeoutError::Timeout)
                if let Some((_, by, signal)) =
                    leaving.take_if(|(at, ..)| *at <= Instant::now()) =>
            {
                delay = Duration::ZERO;
                Ok(Event::stop(by, signal))
            }
            Err(RecvTimeoutError::Timeout) => {
                let now = Instant::now();
                if ticks.is_due(now) {
                    reloader.tick();
                }
                if looks.is_due(now) && reloader.look() == Then::Stop {
                    // The receiver is here.
                    let _heard = sender.send(Event::stop("--die-on-idle", 0));
                }
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
                delay = Duration::ZERO;
                leaving = None;
                Ok(Event::stop(by, 0))
            }
            event => event,
        };
        match event {
            Ok(Event::Stop { by, signal }) if leaving.is_some() => {
                tracing::warn!("{by} again: stopping now");
                return KILLED_BY + signal;
            }
            // Only what comes from outside is worth a delay: others look whether the server is ready.
            Ok(Event::Stop { by, signal })
                if signal != 0 && !delay.is_zero() && !is_stopping && rebirth.is_none() =>
            {
                leaving = Some((Instant::now() + delay, by, signal));
                net.start_leaving();
                notifier.stopping();
                tracing::info!(
                    "{by}: stopping in {} s (--shutdown-delay); requests are answered until then",
                    delay.as_secs_f64()
                );
            }
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
                net.start_leaving();
                if Turn::default().accept_the_rest(net, &**current) > 0
                    && let Some(generation) = current.load()
                {
                    generation.queue().wake_if_idle(net);
                }
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
            Ok(Event::Reload { by } | Event::ChainReload { by })
                if is_stopping || leaving.is_some() =>
            {
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
            Ok(Event::Rollback { by, reply }) => {
                let done = if is_stopping {
                    tracing::info!("{by}: the server stops; there is nothing to go back to");
                    Err("the server stops".to_owned())
                } else {
                    reloader.roll_back(&by)
                };
                acceptor.nudge();
                if let Some(reply) = reply {
                    // Whoever asked has left.
                    let _gone = reply.send(done);
                }
            }
            Ok(Event::ReopenLog { by }) => {
                tracing::info!("{by}: opening the log anew");
                reopen_log();
            }
            Ok(Event::Wanted(generation)) => reloader.wanted(generation, is_stopping),
            // What was born for a server that stops is dropped, and ends.
            Ok(
                Event::Done(_)
                | Event::Retired { .. }
                | Event::Due(_)
                | Event::Touched(_)
                | Event::Adjust { .. }
                | Event::Rest { .. },
            ) if is_stopping => {}
            Ok(Event::Adjust { by, is_up }) => reloader.adjust(&by, is_up),
            Ok(Event::Rest { by }) => reloader.rest(&by),
            Ok(Event::Touched(hook)) => {
                if let Some(code) = on_touch(hook) {
                    exit_code = code;
                    // The receiver is here.
                    let _heard = sender.send(Event::stop("hook-touch", 0));
                }
            }
            Ok(Event::Done(done)) => {
                let is_rebirth = reloader.done(*done) == Then::StartAnew;
                if is_rebirth
                    && leaving.is_none()
                    && let Some(inheritance) = begin_rebirth(net)
                {
                    *rebirth = Some(inheritance);
                    is_stopping = true;
                    start_stopping(net, current, (reloader.stop(), mercy), sender);
                }
                acceptor.nudge();
                if !reloader.is_busy() && !is_stopping && leaving.is_none() {
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

/// Something that is done again and again, however often something else happens in between.
#[derive(Default)]
struct Beat(Option<Instant>);

impl Beat {
    /// When it is due next, if it is done so often; from now on if that begins only now.
    fn next(&mut self, every: Option<Duration>, now: Instant) -> Option<Instant> {
        let latest = every.map(|every| now + every);
        self.0 = match (self.0, latest) {
            (Some(due), Some(latest)) => Some(due.min(latest)),
            (_, latest) => latest,
        };
        self.0
    }

    /// Whether it is now; the next time counts from here.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_some_and(|due| due <= now);
        if is_due {
            self.0 = None;
        }
        is_due
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
