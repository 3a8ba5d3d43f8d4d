//! Settings of `--cheaper` and its algorithms. Data only.

use std::time::Duration;

use crate::config::{CheaperAlgorithm, CheaperRules};

/// uWSGI looks once a second.
const CYCLE_MAX: Duration = Duration::from_secs(1);
/// Shorter times are for tests.
pub(super) const CYCLE_MIN: Duration = Duration::from_millis(10);

impl CheaperRules {
    /// The time between two decisions.
    pub fn cycle(&self) -> Duration {
        let shortest = match self.algorithm {
            CheaperAlgorithm::Spare2 => self.overload.min(self.idle),
            CheaperAlgorithm::Backlog => CYCLE_MAX,
            _ => self.overload,
        };
        shortest.clamp(CYCLE_MIN, CYCLE_MAX)
    }

    pub(super) fn cycles(&self, time: Duration) -> u64 {
        let cycles = time.as_nanos() / self.cycle().as_nanos().max(1);
        u64::try_from(cycles).unwrap_or(u64::MAX).max(1)
    }
}
