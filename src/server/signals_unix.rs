//! Unix: signals become events of the supervisor. Runs on `sm-signals`.

use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender};
use parking_lot::{Mutex, MutexGuard};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2};

use super::exit::KILLED_BY;
use super::start::cancellation::{self, Meaning};
use crate::config::SignalMeaning;
use crate::net::vital::{self, Identity};
use crate::os::signals::{self, CaughtSignals, name};
use crate::python::exit_now;
use crate::reload::event::Event;
use crate::telemetry::LogWriter;

/// How many signals to stop came each [`Way`].
static STOPS: Mutex<[u32; 3]> = Mutex::new([0; 3]);
static MEANINGS: OnceLock<Vec<(i32, SignalMeaning)>> = OnceLock::new();
/// The name of the sockets of signals, for the log.
const SOCKETS: &str = "a socket of signals";

static CAUGHT: OnceLock<CaughtSignals> = OnceLock::new();
/// Held while signals are read and sent on.
static READING: Mutex<()> = Mutex::new(());

/// How long the last lines of the log may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

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
pub fn listen(
    events: Sender<Event>,
    meanings: &[SignalMeaning],
    writer: LogWriter,
) -> io::Result<()> {
    let meanings: Vec<(i32, SignalMeaning)> = meanings
        .iter()
        .map(|meaning| (number(*meaning), *meaning))
        .collect();
    let meanings = MEANINGS.get_or_init(|| meanings);
    let mut wanted = [&signals::ENDING[..], &[SIGUSR1, SIGUSR2]].concat();
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
    signals::ignore_unassigned(&wanted)?;
    let caught = CaughtSignals::catch(wanted)?;
    let caught = CAUGHT.get_or_init(|| caught);
    watch(caught);
    std::thread::Builder::new()
        .name("sm-signals".to_owned())
        .spawn(move || {
            while caught.wait().is_ok() {
                let _reading = READING.lock();
                for signal in caught.read() {
                    pass(signal, Way::Direct, &events, &writer);
                }
            }
            vital::lost(SOCKETS);
        })
        .map(drop)
}

/// Without its sockets the server gets no signal any more.
fn watch(caught: &'static CaughtSignals) {
    let sockets: Vec<_> = caught.sockets().map(|(_, socket)| socket).collect();
    let identities: Vec<Identity> = sockets.iter().map(Identity::of).collect();
    let is_there = move || {
        let now = sockets.iter().map(Identity::of);
        now.eq(identities.iter().copied())
    };
    vital::watch(SOCKETS, Box::new(is_there));
}

fn pass(signal: i32, way: Way, events: &Sender<Event>, writer: &LogWriter) {
    let event = event(meanings(), signal);
    if matches!(event, Event::Stop { .. }) && !is_new_stop(way) {
        return;
    }
    let cancels = || tracing::info!("{}: stopping before the start is over", name(signal));
    if is_stop(&event) && cancellation::stop(cancels) == Meaning::EndProcess {
        end_at_once(signal, writer);
    }
    // The supervisor has ended: the server has stopped.
    let _gone = events.send(event);
}

fn is_stop(event: &Event) -> bool {
    matches!(event, Event::Stop { .. } | Event::StopNow { .. })
}

/// A second signal during the start.
fn end_at_once(signal: i32, writer: &LogWriter) {
    tracing::warn!("{}: stopping now", name(signal));
    writer.flush(FLUSH_TIMEOUT);
    exit_now(KILLED_BY + signal);
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
pub fn forwarded(signal: i32, events: &Sender<Event>, writer: &LogWriter) {
    pass(signal, Way::Waiter, events, writer);
}

/// The signals that stop the server.
pub fn stops() -> Vec<i32> {
    let caught = CAUGHT.get().into_iter().flat_map(CaughtSignals::sockets);
    let numbers = caught.map(|(number, _)| number);
    let is_one = |number: &i32| is_stop(&event(meanings(), *number));
    numbers.filter(is_one).collect()
}

fn meanings() -> &'static [(i32, SignalMeaning)] {
    MEANINGS.get().map_or(&[][..], Vec::as_slice)
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
        SIGUSR1 => Event::ReopenLog {
            by: "SIGUSR1".to_owned(),
        },
        SIGUSR2 => Event::LogStatus { by: "SIGUSR2" },
        SIGINT => Event::stop("Ctrl-C", signal),
        SIGTERM => Event::stop("SIGTERM", signal),
        SIGQUIT => Event::stop("SIGQUIT", signal),
        _ => Event::stop("SIGHUP", signal),
    }
}

fn meant(meaning: SignalMeaning) -> Event {
    let by = name(number(meaning));
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
