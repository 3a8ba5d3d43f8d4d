//! Signals that would end the process are held while a process has no handlers for them: when it
//! starts anew, or is started.

use std::io;

use nix::sys::signal::{SigSet, Signal};

/// Signals that would end the process wait: in this thread, and in what it starts.
pub fn hold_signals() -> io::Result<()> {
    hangups().thread_block().map_err(io::Error::from)
}

/// Signals that come while the process starts anew, and would end it.
fn hangups() -> SigSet {
    [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
    ]
    .into_iter()
    .collect()
}

pub fn take_signals() {
    if let Err(error) = hangups().thread_unblock() {
        tracing::error!(%error, "signals stay blocked");
    }
}
