//! Windows: Ctrl-C, Ctrl-Break and a closing console become events of the supervisor.

use std::io;

use crossbeam::channel::{Receiver, Sender};

use crate::config::SignalMeaning;
use crate::reload::event::Event;

/// The signal number of Ctrl-C: SIGINT's, as STATUS_CONTROL_C_EXIT has no small one.
const CTRL_C: i32 = 2;

/// Does nothing: every process of a console gets its events itself.
pub fn forwarded(_signal: i32, _events: &Sender<Event>) {}

/// Does nothing (see [`forwarded`]).
pub fn release() {}

/// Passes the console's events on. `meanings` are without effect: there are no signals.
///
/// # Errors
/// The handler could not be set up.
pub fn listen(events: Sender<Event>, meanings: &[SignalMeaning]) -> io::Result<()> {
    if !meanings.is_empty() {
        tracing::warn!("unix_signal is without effect: Windows has no signals");
    }
    ctrlc::set_handler(move || {
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
