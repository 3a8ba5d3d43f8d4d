//! Windows: Ctrl-C, Ctrl-Break and a closing console become messages to the supervisor.

use std::io;

use crossbeam::channel::Sender;

use crate::config::SignalMeaning;
use crate::reload::event::Event;

/// What a process that Ctrl-C ended leaves behind (STATUS_CONTROL_C_EXIT has no small number; 2 is SIGINT's).
const CTRL_C: i32 = 2;

/// Nothing is noted for a next image: there is none.
///
/// # Errors
/// None.
pub fn note_anew() -> io::Result<()> {
    Ok(())
}

/// Has the console's events passed on. There are no signals that could be given a meaning.
///
/// # Errors
/// The handler could not be set up.
pub fn listen(events: Sender<Event>, meanings: &[SignalMeaning]) -> io::Result<()> {
    if !meanings.is_empty() {
        tracing::warn!("unix_signal is without effect: Windows has no signals");
    }
    ctrlc::set_handler(move || {
        // Nobody listens any more: the server is gone already.
        let _gone = events.send(Event::stop("Ctrl-C", CTRL_C));
    })
    .map_err(io::Error::other)
}
