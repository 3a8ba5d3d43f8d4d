//! Unix: signals become events of the supervisor. Runs on `sm-signals`.

use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;

use crossbeam::channel::{Receiver, Sender};
use parking_lot::{Mutex, MutexGuard};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU};

use crate::config::SignalMeaning;
use crate::os::signals::{self, CaughtSignals};
use crate::reload::event::Event;

/// How many signals to stop came each [`Way`].
static STOPS: Mutex<[u32; 3]> = Mutex::new([0; 3]);
static MEANINGS: OnceLock<Vec<(i32, SignalMeaning)>> = OnceLock::new();
static CAUGHT: OnceLock<CaughtSignals> = OnceLock::new();
/// Held while signals are read and sent on.
static READING: Mutex<()> = Mutex::new(());

/// How a signal reaches this process. Ctrl-C in a terminal and a service manager's signal reach
/// every process of the server, and some pass it on too: all count as one signal.
#[derive(Clone, Copy)]
enum Way {
    Direct,
    Waiter,
    Predecessor,
}

/// Starts a thread that passes signals on. `meanings` override the usual ones; of several for one
/// signal the last one counts.
///
/// # Errors
/// The handlers or the thread could not be set up: a signal may be one that cannot be caught.
pub fn listen(events: Sender<Event>, meanings: &[SignalMeaning]) -> io::Result<()> {
    let meanings: Vec<(i32, SignalMeaning)> = meanings
        .iter()
        .map(|meaning| (number(*meaning), *meaning))
        .collect();
    let meanings = MEANINGS.get_or_init(|| meanings);
    let mut wanted = signals::ENDING.to_vec();
    // gunicorn's signals for one worker more or less. A terminal sends them too, to stop background
    // processes that use it.
    if !io::stderr().is_terminal() {
        wanted.extend([SIGTTIN, SIGTTOU]);
    }
    for (number, _) in meanings {
        let is_forbidden = signal_hook::consts::FORBIDDEN.contains(number);
        if is_forbidden {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("signal {number} cannot be given a meaning (unix_signal)"),
            ));
        }
        if !wanted.contains(number) {
            wanted.push(*number);
        }
    }
    let caught = CaughtSignals::catch(wanted)?;
    let caught = CAUGHT.get_or_init(|| caught);
    std::thread::Builder::new()
        .name("sm-signals".to_owned())
        .spawn(move || {
            while caught.wait().is_ok() {
                let _reading = READING.lock();
                for signal in caught.read() {
                    pass(event(meanings, signal), Way::Direct, &events);
                }
            }
        })
        .map(drop)
}

fn pass(event: Event, way: Way, events: &Sender<Event>) {
    if matches!(event, Event::Stop { .. }) && !is_new_stop(way) {
        return;
    }
    // The supervisor has ended: the server has stopped.
    let _gone = events.send(event);
}

/// Counts a stop that came this way. Whether it is not the same one that came another way before.
fn is_new_stop(way: Way) -> bool {
    let mut stops = STOPS.lock();
    let before = stops.iter().max().copied().unwrap_or_default();
    let [direct, waiter, predecessor] = &mut *stops;
    let count = match way {
        Way::Direct => direct,
        Way::Waiter => waiter,
        Way::Predecessor => predecessor,
    };
    *count += 1;
    *count > before
}

/// The predecessor passes a stop on. Whether this process has not received it otherwise.
pub fn is_new_stop_of_predecessor() -> bool {
    is_new_stop(Way::Predecessor)
}

/// The waiter was sent a signal.
pub fn forwarded(signal: i32, events: &Sender<Event>) {
    let meanings = MEANINGS.get().map_or(&[][..], Vec::as_slice);
    pass(event(meanings, signal), Way::Waiter, events);
}

/// A successor has handlers now: signals that were held while it started come through.
pub fn release() {
    signals::release(&signals::ENDING);
}

/// The signals that this process catches, which nothing reads any more.
pub struct Unread {
    _reading: MutexGuard<'static, ()>,
}

/// Another process is the server: signals to this one stay unread from now on.
pub fn stop_reading() -> Unread {
    Unread {
        _reading: READING.lock(),
    }
}

impl Unread {
    /// All of them.
    pub fn caught(&self) -> Option<&'static CaughtSignals> {
        CAUGHT.get()
    }

    /// Signals for the events that wait here.
    pub fn unhandled(&self, waiting: &Receiver<Event>) -> Vec<i32> {
        let number = |event| match event {
            Event::Stop { signal: 0, .. } | Event::StopNow { .. } => Some(SIGTERM),
            Event::Stop { signal, .. } => Some(signal),
            Event::Reload { .. } => Some(SIGHUP),
            _ => None,
        };
        waiting.try_iter().filter_map(number).collect()
    }
}

fn event(meanings: &[(i32, SignalMeaning)], signal: i32) -> Event {
    match meanings.iter().rev().find(|(number, _)| *number == signal) {
        Some((_, meaning)) => meant(*meaning),
        None => usual(signal),
    }
}

fn usual(signal: i32) -> Event {
    match signal {
        // A closed terminal ends the processes started in it; for a daemon SIGHUP means a reload.
        SIGHUP if !io::stderr().is_terminal() => Event::reload("SIGHUP"),
        SIGTTIN => Event::adjust("SIGTTIN", true),
        SIGTTOU => Event::adjust("SIGTTOU", false),
        SIGINT => Event::stop("Ctrl-C", signal),
        SIGTERM => Event::stop("SIGTERM", signal),
        SIGQUIT => Event::stop("SIGQUIT", signal),
        _ => Event::stop("SIGHUP", signal),
    }
}

fn meant(meaning: SignalMeaning) -> Event {
    let by = signals::name(number(meaning));
    match meaning {
        SignalMeaning::GracefulStop(signal) => Event::stop(by, signal),
        SignalMeaning::Stop(_) => Event::StopNow { by },
        SignalMeaning::Reload(_) | SignalMeaning::ReloadAtOnce(_) => Event::reload(by),
    }
}

fn number(meaning: SignalMeaning) -> i32 {
    match meaning {
        SignalMeaning::GracefulStop(signal)
        | SignalMeaning::Stop(signal)
        | SignalMeaning::Reload(signal)
        | SignalMeaning::ReloadAtOnce(signal) => signal,
    }
}
