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
    Cron {
        /// The signal.
        number: u8,
        /// In which minutes.
        when: When,
    },
    /// A file or folder that changes.
    File {
        /// The signal.
        number: u8,
        /// What is watched.
        path: PathBuf,
    },
}
