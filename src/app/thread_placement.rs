//! Cores and names of worker threads. Runs on the thread itself, before anything else.

use super::generation_state::Setup;
use super::worker_id::WorkerId;
use crate::python::Isolation;

/// The number of the uWSGI worker that this thread would belong to, from 1. The main interpreter
/// has the threads of several.
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

/// Binds the calling thread to its cores (`--cpu-affinity`), by uWSGI's rule: each worker gets the
/// next cores behind those of the one before it, around and around.
#[cfg(target_os = "linux")]
pub(super) fn settle(setup: &Setup, id: WorkerId) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let Some(each) = setup.plan.cores_per_worker else {
        return;
    };
    let worker = uwsgi_worker(setup, id);
    let result = sched_getaffinity(None).and_then(|ours| {
        // A container may have a part of the machine.
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

/// Only Linux can do this; the server warns at start.
#[cfg(not(target_os = "linux"))]
pub(super) fn settle(_setup: &Setup, _id: WorkerId) {}

/// The cores of this worker, of `count`.
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
