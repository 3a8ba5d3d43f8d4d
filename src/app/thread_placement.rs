//! Where a worker's thread runs, and what it is called. Runs on that thread, first of all.

use super::generation_state::Setup;
use super::worker_id::WorkerId;
use crate::python::Isolation;

/// uWSGI's number of the worker that this thread would be part of, from 1. In the main interpreter
/// all threads are one interpreter's, but as many as several workers would have.
pub(super) fn uwsgi_worker(setup: &Setup, id: WorkerId) -> usize {
    match setup.isolation {
        Isolation::Main => id.core / setup.plan.threads.max(1) + 1,
        Isolation::OwnGil | Isolation::SharedGil => id.worker,
    }
}

/// The name of the thread; Linux keeps 15 bytes of it.
pub(super) fn name(setup: &Setup, id: WorkerId) -> String {
    if setup.plan.uwsgi_names {
        format!("uWSGI worker {}", uwsgi_worker(setup, id))
    } else {
        format!("worker {}.{}", id.worker, id.core)
    }
}

/// Keeps the calling thread on its cores (`--cpu-affinity`), by uWSGI's rule: each worker gets as
/// many as were asked for, from where the one before it ended, and around again.
#[cfg(target_os = "linux")]
pub(super) fn settle(setup: &Setup, id: WorkerId) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let Some(each) = setup.plan.cores_per_worker else {
        return;
    };
    let worker = uwsgi_worker(setup, id);
    let result = sched_getaffinity(None).and_then(|ours| {
        // Those that this process may use: a container may have been given a part of the machine.
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|core| ours.is_set(*core))
            .collect();
        let mut wanted = CpuSet::new();
        for place in places(worker, each, cores.len()) {
            if let Some(core) = cores.get(place) {
                wanted.set(*core);
            }
        }
        sched_setaffinity(None, &wanted)
    });
    if let Err(error) = result {
        tracing::warn!(
            worker = id.worker,
            core = id.core,
            "cannot keep a worker on its cores (--cpu-affinity): {error}"
        );
    }
}

/// Only Linux lets a thread choose; the server says so at start.
#[cfg(not(target_os = "linux"))]
pub(super) fn settle(_setup: &Setup, _id: WorkerId) {}

/// Which of `count` cores the worker of this number gets.
#[cfg(any(target_os = "linux", test))]
fn places(worker: usize, each: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.max(1);
    let first = worker.saturating_sub(1).wrapping_mul(each) % count;
    (0..each.min(count)).map(move |step| (first + step) % count)
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn cores_are_dealt_as_uwsgi_deals_them() {
        let dealt = |each, count| -> Vec<Vec<usize>> {
            (1..=4)
                .map(|worker| places(worker, each, count).collect())
                .collect()
        };
        assert_eq!(dealt(1, 4), [[0], [1], [2], [3]]);
        assert_eq!(dealt(1, 2), [[0], [1], [0], [1]]);
        assert_eq!(dealt(2, 4), [[0, 1], [2, 3], [0, 1], [2, 3]]);
        assert_eq!(dealt(2, 3), [[0, 1], [2, 0], [1, 2], [0, 1]]);
        assert_eq!(dealt(9, 2), [[0, 1], [1, 0], [0, 1], [1, 0]]);
    }
}
