//! The operating system's view of a thread. Data only.

use std::fmt;
use std::time::Duration;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NativeThread {
    pub name: String,
    /// A word of proc(5): `running`, `sleeping`, `uninterruptible`, ...
    pub state: String,
    /// The system call or kernel function that it waits in, if known.
    pub waits_in: Option<String>,
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
