//! Windows: a child process and its end.

use std::fmt;
use std::process::Child;

/// A child.
#[derive(Debug)]
pub(super) struct ChildProcess(Child);

/// How a process ended: with this exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended(pub(super) i32);

impl Ended {
    pub(super) fn from_code(code: i32) -> Self {
        Self(code)
    }
}

impl ChildProcess {
    pub(super) fn of(child: Child) -> Self {
        Self(child)
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<Ended> {
        match self.0.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(Ended(status.code().unwrap_or(1))),
            Err(error) => {
                tracing::error!(%error, pid = self.0.id(), "a child cannot be waited for");
                Some(Ended(1))
            }
        }
    }

    /// Ends it.
    pub(super) fn kill(&mut self) {
        let _gone = self.0.kill();
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => out.write_str("has left"),
            // The code of a crash is one of the system's, known by its hexadecimal digits.
            code if code < 0 => write!(out, "left with exit code {code:#x}"),
            code => write!(out, "left with exit code {code}"),
        }
    }
}
