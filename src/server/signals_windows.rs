//! Windows: Ctrl-C, Ctrl-Break and a closing console become events of the supervisor.

use std::io;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender};

use super::exit::KILLED_BY;
use super::start::cancellation::{self, Meaning};
use crate::config::SignalMeaning;
use crate::python::exit_now;
use crate::reload::event::Event;
use crate::telemetry::LogWriter;

/// The signal number of Ctrl-C: SIGINT's, as STATUS_CONTROL_C_EXIT has no small one.
const CTRL_C: i32 = 2;

/// How long the last lines of the log may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Does nothing: every process of a console gets its events itself.
pub fn forwarded(_signal: i32, _events: &Sender<Event>, _writer: &LogWriter) {}

/// What stops the server.
pub fn stops() -> Vec<i32> {
    vec![CTRL_C]
}

/// The number of each signal, when it comes. Each call waits for the next one.
pub fn numbers(events: Receiver<Event>) -> impl FnMut() -> Option<i32> + Send {
    move || {
        let mut events = events.iter();
        let stop = events.find(|event| matches!(event, Event::Stop { .. }));
        stop.map(|_| CTRL_C)
    }
}

/// Does nothing (see [`forwarded`]).
pub fn release() {}

/// Passes the console's events on. `meanings` are without effect: there are no signals.
///
/// # Errors
/// The handler could not be set up.
pub fn listen(
    events: Sender<Event>,
    meanings: &[SignalMeaning],
    writer: LogWriter,
) -> io::Result<()> {
    if !meanings.is_empty() {
        tracing::warn!("unix_signal is without effect: Windows has no signals");
    }
    ctrlc::set_handler(move || {
        let cancels = || tracing::info!("Ctrl-C: stopping before the start is over");
        if cancellation::stop(cancels) == Meaning::EndProcess {
            writer.flush(FLUSH_TIMEOUT);
            exit_now(KILLED_BY + CTRL_C);
        }
        // An error: the supervisor has ended.
        let _gone = events.send(Event::stop("Ctrl-C", CTRL_C));
    })
    .map_err(io::Error::other)
}

/// The predecessor passes a stop on: signals do not, here.
pub fn is_new_stop_of_predecessor() -> bool {
    true
}

/// There are no signals.
pub struct Unread;

/// Does nothing (see [`forwarded`]).
pub fn stop_reading() -> Unread {
    Unread
}

impl Unread {
    /// None (see [`forwarded`]).
    pub fn unhandled(&self, _waiting: &Receiver<Event>) -> Vec<i32> {
        Vec::new()
    }
}
