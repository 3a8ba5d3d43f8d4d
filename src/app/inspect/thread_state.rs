//! What the operating system knows of a thread. Data only.

use std::fmt;
use std::time::Duration;

/// What the system knows of a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NativeThread {
    /// The name that it gave itself.
    pub name: String,
    /// What it is up to, in a word of proc(5): `running`, `sleeping`, `uninterruptible`, ...
    pub state: String,
    /// The system call, or the function of the kernel, that it waits in, as far as that can be
    /// known.
    pub waits_in: Option<String>,
    /// Processor time that it has used so far.
    pub busy: Duration,
}

impl fmt::Display for NativeThread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.state)?;
        if let Some(place) = &self.waits_in {
            write!(out, " in {place}")?;
        }
        write!(out, ", {:.2} s of processor time", self.busy.as_secs_f64())
    }
}
