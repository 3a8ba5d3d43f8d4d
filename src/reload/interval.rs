//! A periodic deadline that survives other events. Pure.

use std::time::{Duration, Instant};

/// A periodic deadline that survives other events.
#[derive(Default)]
pub struct Interval(Option<Instant>);

impl Interval {
    /// The next deadline with this period. The first one counts from `now`; a longer period does
    /// not postpone a deadline that is set. `None` clears it.
    pub fn next(&mut self, period: Option<Duration>, now: Instant) -> Option<Instant> {
        let latest = period.map(|period| now + period);
        self.0 = match (self.0, latest) {
            (Some(due), Some(latest)) => Some(due.min(latest)),
            (_, latest) => latest,
        };
        self.0
    }

    /// Whether the deadline has passed; the next one counts from the next call of
    /// [`next`](Self::next).
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_some_and(|due| due <= now);
        if is_due {
            self.0 = None;
        }
        is_due
    }
}
