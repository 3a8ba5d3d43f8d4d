//! The input and output of the algorithms. Data only.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerLoad {
    pub group: u64,
    pub worker: usize,
    pub is_busy: bool,
    /// Time in requests that have ended.
    pub running: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Observation<'s> {
    /// The time, since any fixed point.
    pub at: Duration,
    pub workers: &'s [WorkerLoad],
    pub most: usize,
    pub waiting: usize,
    pub resident_bytes: u64,
    /// Whether no start has failed recently.
    pub may_grow: bool,
}

impl Observation<'_> {
    pub(crate) fn count(&self) -> usize {
        self.workers.len()
    }

    pub(crate) fn idle(&self) -> usize {
        self.workers.iter().filter(|seen| !seen.is_busy).count()
    }

    /// How many can be added, at most `wanted`.
    pub(crate) fn room(&self, wanted: usize) -> usize {
        wanted.min(self.most.saturating_sub(self.count()))
    }
}

/// A decision, and the reason for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Stay,
    Grow(usize, String),
    Shrink(String),
}

impl Decision {
    pub(crate) fn grow(count: usize, why: impl FnOnce() -> String) -> Self {
        if count == 0 {
            Decision::Stay
        } else {
            Decision::Grow(count, why())
        }
    }
}
