//! What workers do at this moment, for whoever asks from outside Python: the same numbers that `uwsgi.workers()` tells.
//!
//! Any thread; waits for no worker and no GIL. What is read was written by threads that go on meanwhile, so numbers of one answer may
//! be a request apart.

use std::time::{Duration, Instant};

use super::counters::Tallies;
use crate::app::apps::AppStats;
use crate::app::workers::Roster;
use crate::python::WorkerFacts;

/// One worker, as `uwsgi.workers()` knows it, and its threads.
#[derive(Clone, Debug)]
pub struct WorkerSurvey {
    /// The worker.
    pub facts: WorkerFacts,
    /// Its threads, in their order.
    pub threads: Vec<ThreadSurvey>,
    /// Its applications.
    pub apps: Vec<AppStats>,
}

/// One thread.
#[derive(Clone, Debug)]
pub struct ThreadSurvey {
    /// From 0 (uWSGI's core).
    pub core: usize,
    /// `idle`, `busy` or `sigN`.
    pub status: String,
    /// Requests that it was given.
    pub requests: u64,
    /// How long it has been at it, unless it is idle.
    pub time: Option<Duration>,
    /// What it works on, if requests are watched.
    pub work: Option<Work>,
}

/// A request in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// As it was sent.
    pub method: Vec<u8>,
    /// As it was sent.
    pub target: Vec<u8>,
    /// How long it has been at work.
    pub time: Duration,
}

impl Roster {
    /// All workers, in the order of their numbers.
    pub fn survey(&self) -> Vec<WorkerSurvey> {
        let shared = self.shared();
        let crews = shared.crews();
        let now = Instant::now();
        let mut works = shared.plan.process.harakiri.works(shared.id, now);
        let apps = shared.apps.stats(&shared.plan.apps);
        let workers = shared.worker_facts().into_iter().map(|facts| {
            // The one that was made last is the one that takes requests.
            let crew = crews.iter().rev().find(|crew| crew.worker == facts.id);
            let threads = crew.map_or_else(Vec::new, |crew| threads(&crew.tallies, now));
            let threads = threads.into_iter().map(|thread| {
                let found = works
                    .iter()
                    .position(|(seat, _)| seat.worker == facts.id && seat.core == thread.core);
                let is_busy = thread.status == "busy";
                let work = found.filter(|_| is_busy).map(|at| works.swap_remove(at).1);
                ThreadSurvey { work, ..thread }
            });
            WorkerSurvey {
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

fn threads(tallies: &Tallies, now: Instant) -> Vec<ThreadSurvey> {
    let threads = tallies.each().enumerate();
    threads
        .map(|(core, (status, since, requests))| ThreadSurvey {
            time: since.map(|since| now.saturating_duration_since(since)),
            core,
            status,
            requests,
            work: None,
        })
        .collect()
}
