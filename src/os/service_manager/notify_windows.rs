//! Windows has no service manager that listens for datagrams: nothing is told. Main thread.

use std::ffi::OsStr;

/// There is no service manager to notify.
pub struct Notifier;

impl Notifier {
    /// The variable means nothing here.
    pub fn new(_variable: Option<&OsStr>) -> Self {
        Self
    }

    /// The server serves.
    pub fn ready(&self) {}

    /// A reload begins.
    pub fn reloading(&self) {}

    /// The server stops.
    pub fn stopping(&self) {}
}
