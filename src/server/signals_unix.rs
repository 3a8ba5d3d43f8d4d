//! Unix: signals become events of the supervisor. Runs on `sm-signals`.

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, OnceLock};

use crossbeam::channel::{Receiver, Sender};
use parking_lot::Mutex;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU};
use signal_hook::iterator::Signals;

use super::handover::waiter::Keeper;
use crate::config::SignalMeaning;
use crate::reload::event::Event;

/// Gets the signals when this process is no longer the server.
static KEEPER: Mutex<Option<Arc<Keeper>>> = Mutex::new(None);
/// How many signals to stop came directly, and by way of the waiting process.
static STOPS: Mutex<[u32; 3]> = Mutex::new([0; 3]);

static MEANINGS: OnceLock<Vec<(i32, SignalMeaning)>> = OnceLock::new();

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
    let mut wanted = vec![SIGINT, SIGTERM, SIGQUIT, SIGHUP];
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
        wanted.push(*number);
    }
    let mut signals = Signals::new(wanted)?;
    std::thread::Builder::new()
        .name("sm-signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                let event = event(meanings, signal);
                match &*KEEPER.lock() {
                    Some(keeper) => keeper.forward(signal, is_stop(&event)),
                    None => pass(event, 0, &events),
                }
            }
        })
        .map(drop)
}

/// Ctrl-C in a terminal and a service manager's signal reach every process of the server, and one
/// of them passes it on too: both count as one signal.
fn pass(event: Event, way: usize, events: &Sender<Event>) {
    if matches!(event, Event::Stop { .. }) && !is_new_stop(way) {
        return;
    }
    // The supervisor has ended: the server has stopped.
    let _gone = events.send(event);
}

fn is_stop(event: &Event) -> bool {
    matches!(event, Event::Stop { .. } | Event::StopNow { .. })
}

/// Counts a stop that came this way. Whether it is not the same one that came another way before.
fn is_new_stop(way: usize) -> bool {
    let mut stops = STOPS.lock();
    let before = stops.iter().max().copied().unwrap_or_default();
    let Some(count) = stops.get_mut(way) else {
        return false;
    };
    *count += 1;
    *count > before
}

/// The predecessor passes a stop on. Whether this process has not heard of it yet.
pub fn is_new_stop_of_predecessor() -> bool {
    is_new_stop(2)
}

/// The waiting process got a signal.
pub fn forwarded(signal: i32, events: &Sender<Event>) {
    let meanings = MEANINGS.get().map_or(&[][..], Vec::as_slice);
    pass(event(meanings, signal), 1, events);
}

/// Another process is the server: it gets this one's signals, and the events that wait here.
pub fn forward_to(keeper: &Arc<Keeper>, waiting: &Receiver<Event>) {
    let mut forwards = KEEPER.lock();
    for event in waiting.try_iter() {
        match event {
            Event::Stop { signal: 0, .. } | Event::StopNow { .. } => {
                keeper.forward(SIGTERM, true);
            }
            Event::Stop { signal, .. } => keeper.forward(signal, true),
            Event::Reload { .. } => keeper.forward(SIGHUP, false),
            _ => {}
        }
    }
    *forwards = Some(Arc::clone(keeper));
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

fn name(signal: i32) -> &'static str {
    signal_hook::low_level::signal_name(signal).unwrap_or("a signal")
}
