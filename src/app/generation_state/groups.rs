//! The worker groups of a generation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::app::worker_group::{StartGate, WorkerGroup};
use crate::net::SharedPoll;

#[derive(Default)]
struct List {
    present: Vec<Arc<WorkerGroup>>,
    made: u64,
}

#[derive(Default)]
pub struct Groups {
    list: Mutex<List>,
    is_retired: AtomicBool,
}

pub(super) struct Present<'a>(MutexGuard<'a, List>);

impl Present<'_> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &WorkerGroup> {
        self.0.present.iter().map(|group| &**group)
    }

    pub(super) fn remove(&mut self, serial: u64) {
        self.0.present.retain(|other| other.serial != serial);
    }
}

impl Groups {
    pub(super) fn lock(&self) -> Present<'_> {
        Present(self.list.lock())
    }

    pub(in crate::app) fn all(&self) -> Vec<Arc<WorkerGroup>> {
        self.list.lock().present.clone()
    }

    pub(in crate::app) fn serving(&self) -> Vec<Arc<WorkerGroup>> {
        let mut groups = self.all();
        groups.retain(|group| !group.is_stopped());
        groups
    }

    pub(super) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::SeqCst)
    }

    /// From now on a group that is added is stopped. The caller stops the others afterwards: a
    /// thread that sees itself stopped sees the generation retired too, and leaves no request
    /// behind.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::SeqCst);
    }

    pub(super) fn add(
        &self,
        worker: usize,
        start_gate: StartGate,
        threads: usize,
        poll: &SharedPoll,
    ) -> Arc<WorkerGroup> {
        let mut list = self.list.lock();
        list.made += 1;
        let group = WorkerGroup::new(worker, list.made, start_gate, threads);
        list.present.push(Arc::clone(&group));
        if self.is_retired() {
            group.stop(poll);
        }
        group
    }
}
