//! Timers, cron entries and file monitors, as values.

use std::path::PathBuf;

use super::cron::When;
use super::timers::TimerSpec;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    Timer(TimerSpec),
    Cron { number: u8, when: When },
    File { number: u8, path: PathBuf },
}
