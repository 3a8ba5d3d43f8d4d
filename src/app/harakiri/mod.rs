//! Harakiri: ends a request that takes too long, and only that request.
//!
//! At the deadline the client gets 504 (or is disconnected, if the response has begun), and
//! `uwsgi.Harakiri` is raised in the worker's thread. A worker that does not return in the grace
//! time is abandoned: another takes its place, with a fresh interpreter of the same number
//! (isolation main: with a further thread of the only one), and the old one leaves when its code
//! returns, if ever.
//!
//! The thread `sm-harakiri` compares the deadlines; it waits for no worker and no GIL. What may
//! wait runs on a thread of its own (`spawn_disposable`). Workers write a
//! [`worker_record::WorkerRecord`] each. Read that file first. docs/harakiri.md is for users.

mod limits;
pub mod worker_record;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::HarakiriRules;
use crate::net::ownership::{Claim, ClientHandle};
use crate::python::STACK_BYTES_MIN;

use limits::RequestLimits;
use worker_record::{ServedGeneration, Stage, WatchedRequest, Work, WorkerRecord};

use super::worker_id::WorkerId;

/// Pause before the next look at an application that is sending.
const MOMENT_MS: u64 = 1;
/// Pause before the next look when too few requests wait (`--harakiri-queue-threshold`).
const QUEUE_LOOK_MS: u64 = 1000;

/// The watching thread and the records of all worker threads. One per process.
pub struct Harakiri {
    pub(super) limits: Arc<RequestLimits>,
    records: Mutex<Vec<Weak<WorkerRecord>>>,
    is_running: Mutex<bool>,
    /// Held while stacks are collected.
    pub(super) looks: Mutex<()>,
    abandoned: AtomicUsize,
    /// More abandoned workers than this renew the process.
    abandoned_max: usize,
    on_overrun: Box<dyn Fn(String) + Send + Sync>,
}

impl Harakiri {
    /// Watches no thread yet. `on_overrun` gets the reason why the process should be renewed, on
    /// any thread; it must not wait.
    pub fn new(
        rules: HarakiriRules,
        abandoned_max: usize,
        on_overrun: impl Fn(String) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            limits: Arc::new(RequestLimits::new(rules)),
            records: Mutex::default(),
            is_running: Mutex::default(),
            looks: Mutex::default(),
            abandoned: AtomicUsize::new(0),
            abandoned_max,
            on_overrun: Box::new(on_overrun),
        })
    }

    /// Requests are watched from now on.
    pub(super) fn want(self: &Arc<Self>) {
        self.limits.want();
        self.run();
    }

    /// Sets the rules of requests that begin from now on.
    pub fn set_rules(self: &Arc<Self>, rules: HarakiriRules) {
        let has_limit = rules.limit.is_some();
        self.limits.set_rules(rules);
        if has_limit {
            self.look_on();
        }
    }

    pub(super) fn add(self: &Arc<Self>, watch: &Arc<WorkerRecord>) {
        let mut records = self.records.lock();
        records.retain(|watch| watch.strong_count() > 0);
        records.push(Arc::downgrade(watch));
        drop(records);
        if self.limits.is_wanted() {
            self.run();
        }
    }

    pub(super) fn records(&self) -> Vec<Arc<WorkerRecord>> {
        let records = self.records.lock();
        records.iter().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn record_of(&self, generation: u64, thread: u64) -> Option<Arc<WorkerRecord>> {
        let records = self.records.lock();
        records.iter().filter_map(Weak::upgrade).find(|watch| {
            watch.interruption.ident() == thread && watch.place.generation == generation
        })
    }

    /// Watches requests from now on, so that their state can be shown.
    pub fn look_on(self: &Arc<Self>) {
        if !self.limits.is_wanted() {
            self.want();
        }
    }

    /// How long a thread may go on after its exception.
    pub(super) fn grace(&self) -> Duration {
        self.limits.rules().grace
    }

    /// Abandoned threads that have not returned.
    pub fn stuck(&self) -> usize {
        self.abandoned.load(Ordering::SeqCst)
    }

    pub(super) fn works(&self, generation: u64, now: Instant) -> Vec<(WorkerId, Work)> {
        let records = self.records.lock().clone();
        let records = records.iter().filter_map(Weak::upgrade);
        let records = records
            .filter(|record| record.place.generation == generation && !record.is_abandoned());
        records
            .filter_map(|watch| {
                let current = watch.current();
                let watched = current.watched.as_ref()?;
                let work = Work {
                    method: current.method.clone(),
                    target: current.target.clone(),
                    time: now.saturating_duration_since(watched.since),
                };
                Some((watch.place.id, work))
            })
            .collect()
    }

    fn run(self: &Arc<Self>) {
        let mut is_running = self.is_running.lock();
        if *is_running {
            return;
        }
        let harakiri = Arc::clone(self);
        let spawned = std::thread::Builder::new()
            .name("sm-harakiri".to_owned())
            .spawn(move || harakiri.watch());
        match spawned {
            Ok(_) => *is_running = true,
            Err(error) => {
                tracing::error!(%error, "no thread could be started for --harakiri: requests are not ended for their time");
            }
        }
    }

    fn watch(self: Arc<Self>) {
        loop {
            let mut next = self
                .limits
                .rules()
                .limit
                .map(|limit| self.limits.ms_of(Instant::now() + limit));
            for watch in self.records() {
                if watch
                    .deadline()
                    .is_some_and(|due| self.limits.ms_of(Instant::now()) >= due)
                {
                    self.act(&watch);
                }
                next = [next, watch.deadline()].into_iter().flatten().min();
            }
            // A request that begins now has its whole limit left; a nearer deadline wakes this
            // thread.
            self.limits.wait(next.map(|next| {
                let wait = next.saturating_sub(self.limits.ms_of(Instant::now()));
                Duration::from_millis(wait.max(MOMENT_MS))
            }));
        }
    }

    /// Acts on a deadline, unless the request has ended.
    fn act(self: &Arc<Self>, watch: &Arc<WorkerRecord>) {
        let now = self.limits.ms_of(Instant::now());
        let mut current = watch.current();
        if watch.deadline().is_none_or(|due| now < due) {
            return;
        }
        let Some(watched) = &current.watched else {
            watch.set_deadline(0);
            return;
        };
        match watched.stage {
            Stage::Working if self.too_few_wait(watch) => watch.set_deadline(now + QUEUE_LOOK_MS),
            Stage::Working => self.end_request(watch, &mut current, now),
            Stage::Struck => {
                watch.set_deadline(0);
                if let Some(client) = &watched.client {
                    watch.owner.abandon();
                    client.end().ok();
                }
                let request = WorkerRecord::request_line(&current);
                let Some(served) = watch.place.served.upgrade() else {
                    return;
                };
                served.thread_is_abandoned(watch);
                served.net().forget_connection();
                // Under the mutex that the end of the request takes: the worker sees the mark
                // before anything else.
                watch.abandon();
                drop(current);
                self.abandon(served, watch, &request);
            }
        }
    }

    fn too_few_wait(&self, watch: &WorkerRecord) -> bool {
        let least = self.limits.rules().waiting_min;
        let served = watch.place.served.upgrade();
        least > 0 && served.is_some_and(|served| served.waiting() < least)
    }

    fn end_request(
        self: &Arc<Self>,
        watch: &Arc<WorkerRecord>,
        current: &mut WatchedRequest,
        now: u64,
    ) {
        let request = WorkerRecord::request_line(current);
        let Some(watched) = &mut current.watched else {
            return;
        };
        let client = watched.client.as_ref();
        let claim = watch
            .owner
            .take(client.is_some_and(ClientHandle::can_answer));
        let heard = match (claim, client) {
            (Claim::Sending, _) => return watch.set_deadline(now + MOMENT_MS),
            (Claim::Unsent, Some(client)) if client.can_answer() => {
                watched.was_answered = true;
                let served = watch.place.served.upgrade();
                let added =
                    served.map(|served| Arc::clone(&served.net().site().settings.added_fields));
                match client.answer(504, &added.unwrap_or_default()) {
                    Ok(()) => "the client got 504",
                    Err(_) => "the client had gone",
                }
            }
            (Claim::Unsent, _) => "the client gets 504 when the worker comes back",
            (Claim::Begun, client) => {
                client.map(ClientHandle::cut).and_then(Result::ok);
                "the client was broken off in the middle of the response"
            }
            (Claim::Refused, _) => return,
        };
        let took = watched.since.elapsed();
        watched.stage = Stage::Struck;
        let grace = u64::try_from(self.limits.rules().grace.as_millis()).unwrap_or(u64::MAX);
        watch.set_deadline(now.saturating_add(grace.max(MOMENT_MS)));
        let (worker, core) = (watch.place.id.worker, watch.place.id.core);
        watch.place.group.counters.of(core).count_harakiri();
        let generation = watch.place.generation;
        tracing::warn!(
            "*** HARAKIRI ON WORKER {worker} (core {core}, generation {generation}) ***\n\
             HARAKIRI [core {core}] {request} since {:.3} s; {heard}",
            took.as_secs_f64()
        );
        let number = watched.number;
        let is_verbose = self.limits.rules().is_verbose;
        let interruption = Arc::clone(&watch.interruption);
        spawn_disposable("sm-strike", move || {
            interruption.strike(number, is_verbose, |stack| {
                let stack = stack.map_or_else(
                    || "  it runs no Python code".to_owned(),
                    |stack| stack.to_string(),
                );
                let stack = stack.trim_end_matches('\n');
                tracing::warn!(
                    "HARAKIRI [core {core}] the Python stack of worker {worker}:\n{stack}"
                );
            });
        });
    }

    /// The worker has not returned in the grace time.
    fn abandon(&self, served: Arc<dyn ServedGeneration>, watch: &Arc<WorkerRecord>, request: &str) {
        let (worker, core) = (watch.place.id.worker, watch.place.id.core);
        let abandoned = self.abandoned.fetch_add(1, Ordering::SeqCst) + 1;
        tracing::error!(
            worker,
            core,
            "a worker is given up: {request} goes on {} s after its exception (--harakiri-graceful-timeout). It was caught, or code \
             outside of Python does not return",
            self.limits.rules().grace.as_secs_f64()
        );
        if abandoned > self.abandoned_max {
            tracing::error!(
                "{abandoned} workers have been given up and are not back; each keeps its memory. Look for what the log says they were \
                 doing"
            );
            (self.on_overrun)(format!("{abandoned} workers given up (--harakiri)"));
        }
        // In a retired generation the other workers empty the queue.
        if served.is_retired() {
            return;
        }
        let record = Arc::clone(watch);
        spawn_disposable("sm-successor", move || served.replace_abandoned(&record));
    }

    pub(super) fn note_return(&self, watch: &WorkerRecord) {
        self.abandoned.fetch_sub(1, Ordering::SeqCst);
        let (worker, core) = (watch.place.id.worker, watch.place.id.core);
        tracing::warn!(
            worker,
            core,
            "a worker that was given up has come back; it leaves"
        );
    }
}

/// Runs code that may never end, on a thread of its own.
pub(super) fn spawn_disposable(name: &str, body: impl FnOnce() + Send + 'static) {
    let spawned = std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_BYTES_MIN)
        .spawn(body);
    if let Err(error) = spawned {
        tracing::error!(%error, "no thread could be started ({name})");
    }
}
