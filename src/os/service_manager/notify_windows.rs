//! Windows has no service manager that listens for datagrams: nothing is told. Main thread.

use std::ffi::OsStr;
use std::io;

pub struct Notifier;

impl Notifier {
    /// The variable means nothing here.
    pub fn new(_variable: Option<&OsStr>) -> Self {
        Self
    }

    /// The variable means nothing here either.
    pub fn through(
        _variable: Option<&OsStr>,
        _send: impl Fn(&str) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self
    }

    pub fn send(&self, _message: &str) {}

    pub fn ready(&self) {}

    pub fn reload_failed(&self, _why: &str) {}

    pub fn reloading(&self) {}

    pub fn stopping(&self) {}

    pub fn alive(&self) {}
}
