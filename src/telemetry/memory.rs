//! The memory of the process in request lines: read once a second at most.

use std::time::{Duration, Instant};

/// How long figures are used.
const MAX_AGE: Duration = Duration::from_secs(1);

/// Bytes of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsed {
    pub resident: u64,
    pub address_space: u64,
    /// What no other process shares; if it was asked for.
    pub unshared: u64,
    /// With its share of what others share; if it was asked for.
    pub proportional: u64,
}

/// Reads the figures; the argument says whether all of them are needed, which takes longer.
pub type ReadMemory = fn(bool) -> MemoryUsed;

pub(super) struct Memory {
    read: ReadMemory,
    read_at: Option<Instant>,
    used: MemoryUsed,
}

impl Memory {
    pub(super) fn new(read: ReadMemory) -> Self {
        Self {
            read,
            read_at: None,
            used: MemoryUsed::default(),
        }
    }

    pub(super) fn used(&mut self, has_shares: bool) -> MemoryUsed {
        if self.read_at.is_none_or(|at| at.elapsed() >= MAX_AGE) {
            self.used = (self.read)(has_shares);
            self.read_at = Some(Instant::now());
        }
        self.used
    }
}
