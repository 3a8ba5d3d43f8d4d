//! What the algorithms are shown and what they decide. Data only.

use std::time::Duration;

/// One interpreter that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerLoad {
    pub group: u64,
    /// Its number, from 1.
    pub worker: usize,
    /// One of its threads is in a request or a signal's handler.
    pub is_busy: bool,
    /// Time in requests that have ended.
    pub running: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Observation<'s> {
    /// The time, since any fixed point.
    pub at: Duration,
    /// Those that serve.
    pub workers: &'s [WorkerLoad],
    /// There can be no more.
    pub most: usize,
    /// Requests that no thread has begun.
    pub waiting: usize,
    /// Memory of the process.
    pub resident_bytes: u64,
    /// None has failed to start lately.
    pub may_grow: bool,
}

impl Observation<'_> {
    pub(crate) fn count(&self) -> usize {
        self.workers.len()
    }

    pub(crate) fn idle(&self) -> usize {
        self.workers.iter().filter(|seen| !seen.is_busy).count()
    }

    /// How many can be added, no more than `wanted` of them.
    pub(crate) fn room(&self, wanted: usize) -> usize {
        wanted.min(self.most.saturating_sub(self.count()))
    }
}

/// What a policy decisions, and why, for the log.
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
