//! What is done again and again, however often something else happens in between. Pure.

use std::time::{Duration, Instant};

/// Something that is done again and again, however often something else happens in between.
#[derive(Default)]
pub struct Beat(Option<Instant>);

impl Beat {
    /// When it is due next, if it is done so often; from now on if that begins only now.
    pub fn next(&mut self, every: Option<Duration>, now: Instant) -> Option<Instant> {
        let latest = every.map(|every| now + every);
        self.0 = match (self.0, latest) {
            (Some(due), Some(latest)) => Some(due.min(latest)),
            (_, latest) => latest,
        };
        self.0
    }

    /// Whether it is now; the next time counts from here.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_some_and(|due| due <= now);
        if is_due {
            self.0 = None;
        }
        is_due
    }
}
