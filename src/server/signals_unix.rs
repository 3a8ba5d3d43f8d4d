//! Unix: signals become messages to the supervisor.

use std::io::{self, IsTerminal as _};

use crossbeam::channel::Sender;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU};
use signal_hook::iterator::Signals;

use super::supervisor::Event;
use crate::config::SignalMeaning;

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
    let mut wanted = vec![SIGINT, SIGTERM, SIGQUIT, SIGHUP];
    // gunicorn's signals for one worker more or less. A terminal has its own use for them: it stops who writes from the background.
    if !io::stderr().is_terminal() {
        wanted.extend([SIGTTIN, SIGTTOU]);
    }
    for (number, _) in &meanings {
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
                let given = meanings.iter().rev().find(|(number, _)| *number == signal);
                let event = match given {
                    Some((_, meaning)) => meant(*meaning),
                    None => usual(signal),
                };
                if events.send(event).is_err() {
                    return;
                }
            }
        })
        .map(drop)
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
