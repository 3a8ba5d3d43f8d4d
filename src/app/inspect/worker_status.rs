//! The status of workers for callers outside Python: the numbers of `uwsgi.workers()`.
//!
//! Any thread; waits for no worker and no GIL. Threads go on meanwhile, so the numbers of one
//! answer may be a request apart.

use std::time::{Duration, Instant};

use super::counters::GroupCounters;
use crate::app::apps::AppStats;
use crate::app::harakiri::worker_record::Work;
use crate::app::workers::Workers;
use crate::python::WorkerFacts;

#[derive(Clone, Debug)]
pub struct WorkerStatus {
    pub facts: WorkerFacts,
    pub threads: Vec<ThreadStatus>,
    pub apps: Vec<AppStats>,
}

#[derive(Clone, Debug)]
pub struct ThreadStatus {
    /// From 0 (uWSGI's core).
    pub core: usize,
    /// `idle`, `busy` or `sigN`.
    pub status: String,
    pub requests: u64,
    pub time: Option<Duration>,
    pub work: Option<Work>,
}

impl Workers {
    pub fn status(&self) -> Vec<WorkerStatus> {
        let shared = self.shared();
        let groups = shared.groups.all();
        let now = Instant::now();
        let mut works = shared
            .setup
            .plan
            .process
            .harakiri
            .works(shared.setup.id, now);
        let apps = shared.apps.stats(&shared.setup.plan.apps);
        let workers = shared.worker_facts().into_iter().map(|facts| {
            // The newest group takes the requests.
            let group = groups.iter().rev().find(|group| group.worker == facts.id);
            let threads = group.map_or_else(Vec::new, |group| threads(&group.counters, now));
            let threads = threads.into_iter().map(|thread| {
                let found = works
                    .iter()
                    .position(|(id, _)| id.worker == facts.id && id.core == thread.core);
                let is_busy = thread.status == "busy";
                let work = found.filter(|_| is_busy).map(|at| works.swap_remove(at).1);
                ThreadStatus { work, ..thread }
            });
            WorkerStatus {
                threads: threads.collect(),
                apps: apps
                    .iter()
                    .filter(|app| app.worker == facts.id)
                    .cloned()
                    .collect(),
                facts,
            }
        });
        workers.collect()
    }

    pub fn queued(&self) -> usize {
        self.shared().queue().len()
    }
}

fn threads(counters: &GroupCounters, now: Instant) -> Vec<ThreadStatus> {
    let threads = counters.each().enumerate();
    threads
        .map(|(core, (status, since, requests))| ThreadStatus {
            time: since.map(|since| now.saturating_duration_since(since)),
            core,
            status,
            requests,
            work: None,
        })
        .collect()
}
