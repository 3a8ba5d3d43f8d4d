//! What workers do at this moment, for callers outside Python: the same numbers that
//! `uwsgi.workers()` tells.
//!
//! Any thread; waits for no worker and no GIL. What is read was written by threads that go on
//! meanwhile, so numbers of one answer may be a request apart.

use std::time::{Duration, Instant};

use super::counters::GroupCounters;
use crate::app::apps::AppStats;
use crate::app::harakiri::worker_record::Work;
use crate::app::workers::Workers;
use crate::python::WorkerFacts;

/// One worker, as `uwsgi.workers()` knows it, and its threads.
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
    /// How long it has been at it, unless it is idle.
    pub time: Option<Duration>,
    /// What it works on, if requests are watched.
    pub work: Option<Work>,
}

impl Workers {
    /// All workers, in the order of their numbers.
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
            // The one that was made last is the one that takes requests.
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

    /// Requests that wait.
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
