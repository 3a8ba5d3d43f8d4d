//! Timers, cron entries and file monitors, as values.

use std::path::PathBuf;

use super::cron::When;
use super::timers::TimerSpec;

/// What raises a signal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// A timer, with or without an end.
    Timer(TimerSpec),
    /// The clock on the wall.
    Cron { number: u8, when: When },
    /// A file or folder that changes.
    File { number: u8, path: PathBuf },
}
