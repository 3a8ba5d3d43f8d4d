//! Windows: Ctrl-C, Ctrl-Break and a closing console become messages to the supervisor.

use std::io;
use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender};

use super::handover::waiter::Keeper;
use crate::config::SignalMeaning;
use crate::reload::event::Event;

/// What a process that Ctrl-C ended leaves behind (STATUS_CONTROL_C_EXIT has no small number; 2 is SIGINT's).
const CTRL_C: i32 = 2;

/// Every process of a console gets its events itself.
pub fn forwarded(_signal: i32, _events: &Sender<Event>) {}

/// Nothing: see [`forwarded`].
pub fn forward_to(_keeper: &Arc<Keeper>, _heard: &Receiver<Event>) {}

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
