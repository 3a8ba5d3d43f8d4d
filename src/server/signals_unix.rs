//! Unix: signals become messages to the supervisor.

use std::io::{self, IsTerminal as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use crossbeam::channel::Sender;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU};
use signal_hook::iterator::Signals;

use crate::config::SignalMeaning;
use crate::reload::event::Event;

/// What is known of signals whatever becomes of the threads of this process: each leaves a byte in one of two sockets.
pub struct Notes {
    /// Signals that ask for a stop.
    pub stops: OwnedFd,
    /// Signals that ask for a reload.
    pub reloads: OwnedFd,
}

static MEANINGS: OnceLock<Vec<(i32, SignalMeaning)>> = OnceLock::new();
static NOTES: OnceLock<Notes> = OnceLock::new();

/// From the first call on signals are noted, for this process's next image: a signal that comes when it is about to start anew
/// would be heard by an image that does nothing about it any more. Main thread.
///
/// # Errors
/// There are no descriptors left.
pub fn note() -> io::Result<&'static Notes> {
    if let Some(notes) = NOTES.get() {
        return Ok(notes);
    }
    let (stops, stop) = UnixStream::pair()?;
    let (reloads, reload) = UnixStream::pair()?;
    let given = MEANINGS.get().map_or(&[][..], Vec::as_slice);
    let more = given.iter().map(|(number, _)| *number);
    let mut numbers: Vec<i32> = [SIGINT, SIGTERM, SIGQUIT, SIGHUP]
        .into_iter()
        .chain(more)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    for number in numbers {
        let into = match event(given, number) {
            Event::Reload { .. } => reload.try_clone()?,
            _ => stop.try_clone()?,
        };
        signal_hook::low_level::pipe::register(number, into)?;
    }
    for socket in [&stops, &reloads] {
        socket.set_nonblocking(true)?;
    }
    Ok(NOTES.get_or_init(|| Notes {
        stops: stops.into(),
        reloads: reloads.into(),
    }))
}

/// As [`note`], and what was noted of reloads until now counts no more: it was heard.
///
/// # Errors
/// As [`note`].
pub fn note_anew() -> io::Result<()> {
    use std::io::Read as _;
    let mut reloads = UnixStream::from(note()?.reloads.try_clone()?);
    while reloads.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
    Ok(())
}

/// Whether there is a note in a socket that the last image has left.
pub fn is_noted(socket: OwnedFd) -> bool {
    use std::io::Read as _;
    let mut socket = UnixStream::from(socket);
    socket.set_nonblocking(true).is_ok() && socket.read(&mut [0; 64]).is_ok_and(|count| count > 0)
}

/// Starts a thread that passes signals on. `meanings` come before what signals mean otherwise; of several
/// for one signal the last one counts.
///
/// # Errors
/// The handlers or the thread could not be set up: a signal may be one that cannot be caught.
pub fn listen(events: Sender<Event>, meanings: &[SignalMeaning]) -> io::Result<()> {
    let meanings: Vec<(i32, SignalMeaning)> = meanings
        .iter()
        .map(|meaning| (number(*meaning), *meaning))
        .collect();
    // The same for the life of the process.
    let meanings = MEANINGS.get_or_init(|| meanings);
    let mut wanted = vec![SIGINT, SIGTERM, SIGQUIT, SIGHUP];
    // gunicorn's signals for one worker more or less. A terminal has its own use for them: it stops who writes from the background.
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
                if events.send(event(meanings, signal)).is_err() {
                    return;
                }
            }
        })
        .map(drop)
}

fn event(meanings: &[(i32, SignalMeaning)], signal: i32) -> Event {
    match meanings.iter().rev().find(|(number, _)| *number == signal) {
        Some((_, meaning)) => meant(*meaning),
        None => usual(signal),
    }
}

fn usual(signal: i32) -> Event {
    match signal {
        // A closed terminal ends what was started in it; a daemon is not told anything by it.
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
