//! The counters of a generation that outlive its worker groups, and its living threads.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use super::groups::Groups;
use crate::app::inspect::counters::WorkerTotals;
use crate::app::worker_group::{ThreadCount, WorkerGroup};

#[derive(Default)]
pub struct Counts {
    pub(super) totals: WorkerTotals,
    pub(super) threads: ThreadCount,
    /// Requests that groups which have ended answered.
    answered: AtomicU64,
    /// Of these, failed ones.
    failed: AtomicU64,
    /// Requests whose threads were abandoned.
    abandoned: AtomicU64,
    parked: AtomicUsize,
}

impl Counts {
    pub(in crate::app) fn note_spawn(&self, worker: usize) {
        self.totals.note_spawn(worker);
    }

    pub(super) fn keep(&self, group: &WorkerGroup) {
        self.totals.keep(group.worker, &group.counters);
        self.answered.fetch_add(group.answered(), Ordering::Relaxed);
        let failed = group.counters.failed();
        self.failed.fetch_add(failed, Ordering::Relaxed);
    }

    pub(super) fn add_abandoned(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    /// An abandoned thread came back; its request is counted as answered or failed.
    pub(super) fn remove_abandoned(&self) {
        self.abandoned.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts an interpreter that could not be ended and stays for ever.
    pub(in crate::app) fn add_parked(&self) {
        self.parked.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::app) fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    pub(in crate::app) fn answered(&self, groups: &Groups) -> u64 {
        let groups = groups.lock();
        let present: u64 = groups.iter().map(WorkerGroup::answered).sum();
        present + self.answered.load(Ordering::Relaxed)
    }

    pub(in crate::app) fn failed(&self, groups: &Groups) -> u64 {
        let groups = groups.lock();
        let present: u64 = groups.iter().map(|group| group.counters.failed()).sum();
        present + self.failed.load(Ordering::Relaxed)
    }

    pub(in crate::app) fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Waits until every thread has ended, or until `deadline`. Returns how many have not.
    pub(in crate::app) fn wait_for_threads(&self, deadline: Instant) -> usize {
        self.threads.wait_for_none(deadline)
    }
}
