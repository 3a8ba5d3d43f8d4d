//! Windows: a process never starts anew in its own place, so it leaves nothing to itself; what there is comes from the process before it
//! (`successor`).

use std::io;

use super::listeners::AdminListener;
use crate::net::Handle;
use crate::os::file_locks::Locks;

/// The variable that has a meaning elsewhere.
pub const VARIABLE: &str = "_SINGLEMALT_BEQUEST";

/// What was left, in the order in which it is opened.
#[derive(Debug, Default)]
pub struct InheritedSockets {
    /// Sockets of control.
    pub control: Vec<Handle>,
    /// The socket of statistics.
    pub stats: Option<Handle>,
    /// None.
    pub locks: Locks,
    /// See `Journal::carried`.
    pub journal: String,
}

impl InheritedSockets {
    /// Nothing was left in the environment.
    pub fn read() -> Self {
        Self::default()
    }

    /// Nothing.
    pub fn journal_alone(&self) -> String {
        String::new()
    }

    /// Never asked for.
    ///
    /// # Errors
    /// Always.
    pub fn write(
        _control: &[&AdminListener],
        _stats: Option<&AdminListener>,
        _locks: [&Locks; 2],
        _journal: &str,
    ) -> io::Result<String> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
