//! A generation's answers to the `uwsgi` module of its interpreters, and the delivery of signals to them.
//!
//! A signal becomes a letter in the generation's [`Postbox`](super::signal_queue::Postbox), and a worker of an interpreter that it is
//! for runs it between two jobs. Waking the right one: where workers sleep in one poll, the kernel wakes any of them; one that
//! finds no letter of its own wakes the next while a thread that could take one sleeps (`Shared::has_letter_for_sleeper`).
//! Threads that share a GIL sleep elsewhere: the domain makes one of them active. Where the acceptor polls, each
//! interpreter has a bell.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::background::TimerSpec;
use crate::background::cron::When;
use crate::background::registrations::{Route, Trigger};
use crate::python::{Backend, Facts, Isolation, LockRefused, SignalSource, WorkerFacts};
use crate::shared::locks::{Holder, LockError};

use super::apps::AppStats;
use super::process::{Process, Wish};
use super::workers::Shared;

/// What the interpreters of one generation are told.
pub(super) struct GenerationHost {
    shared: Weak<Shared>,
    process: Arc<Process>,
    facts: Facts,
    has_first: AtomicBool,
}

impl GenerationHost {
    pub(super) fn new(generation: u64, shared: Weak<Shared>, process: &Arc<Process>) -> Self {
        Self {
            shared,
            process: Arc::clone(process),
            has_first: AtomicBool::new(false),
            facts: Facts {
                is_reload: generation > 1 || process.facts.is_reload,
                ..process.facts.clone()
            },
        }
    }
}

impl Backend for GenerationHost {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn register_signal(&self, worker: usize, number: u8, target: &str) -> Result<(), String> {
        let Some(shared) = self.shared.upgrade() else {
            return Ok(());
        };
        let target = shared.existing_target(target);
        shared
            .registrations
            .register(worker, number, target)
            .map_err(|refused| refused.to_string())
    }

    fn raise_signal(&self, number: u8) {
        if let Some(shared) = self.shared.upgrade() {
            shared.raise(number);
        }
    }

    fn add_source(
        &self,
        worker: usize,
        is_loading: bool,
        number: u8,
        source: SignalSource,
    ) -> Result<(), String> {
        let trigger = match source {
            SignalSource::Timer { period, iterations } => Trigger::Timer(TimerSpec {
                number,
                period,
                iterations,
            }),
            SignalSource::Cron([minute, hour, day, month, weekday]) => {
                let when = When::new(minute, hour, day, month, weekday);
                let when = when.map_err(|never| never.to_string())?;
                Trigger::Cron { number, when }
            }
            SignalSource::File(path) => Trigger::File { number, path },
        };
        let Some(shared) = self.shared.upgrade() else {
            return Ok(());
        };
        shared
            .registrations
            .add(worker, is_loading, trigger)
            .map_err(|refused| refused.to_string())
    }

    fn is_first(&self) -> bool {
        !self.has_first.swap(true, Ordering::SeqCst)
    }

    fn reload(&self) {
        (self.process.wish)(Wish::Reload);
    }

    fn stop(&self) {
        (self.process.wish)(Wish::Stop);
    }

    fn set_process_name(&self, name: &str) {
        (self.process.set_title)(name);
    }

    fn raise_alarm(&self, name: &str, message: &str) -> bool {
        self.process.alarms.raise(name, message)
    }

    fn workers(&self) -> Vec<WorkerFacts> {
        self.shared
            .upgrade()
            .map_or_else(Vec::new, |shared| shared.worker_facts())
    }

    fn queued_requests(&self) -> usize {
        self.shared
            .upgrade()
            .map_or(0, |shared| shared.queue().len())
    }

    fn memory(&self) -> (u64, u64) {
        (self.process.memory)()
    }

    fn lock(&self, number: usize, interpreter: u64, thread: u64) -> Result<(), LockRefused> {
        let holder = Holder {
            interpreter,
            thread,
        };
        self.process.locks.lock(number, holder).map_err(refused)
    }

    fn unlock(&self, number: usize, interpreter: u64, thread: u64) -> Result<bool, LockRefused> {
        let holder = Holder {
            interpreter,
            thread,
        };
        self.process.locks.unlock(number, holder).map_err(refused)
    }

    fn is_locked(&self, number: usize) -> Result<bool, LockRefused> {
        self.process.locks.is_locked(number).map_err(refused)
    }

    fn limit_request(&self, _interpreter: u64, thread: u64, limit: Option<Duration>) {
        let harakiri = &self.process.harakiri;
        harakiri.want();
        let watch = self
            .shared
            .upgrade()
            .and_then(|shared| harakiri.watch_of(shared.id, thread));
        // A thread of the application's own works on no request.
        if let Some(watch) = watch {
            watch.limit(limit);
        }
    }

    fn release_locks(&self, interpreter: u64, thread: Option<u64>) -> Vec<usize> {
        self.process.locks.release(interpreter, thread)
    }
}

fn refused(error: LockError) -> LockRefused {
    match error {
        LockError::Unknown(_) => LockRefused::Unknown(error.to_string()),
        LockError::WaitsForItself => LockRefused::Impossible(error.to_string()),
    }
}

impl Shared {
    /// `workerN` of a server whose one interpreter does the work of N workers is that interpreter.
    fn existing_target<'t>(&self, target: &'t str) -> &'t str {
        let number = target
            .strip_prefix("worker")
            .and_then(|number| number.parse::<usize>().ok());
        match number {
            Some(number)
                if self.isolation == Isolation::Main
                    && (1..=self.plan.interpreters).contains(&number) =>
            {
                "worker1"
            }
            _ => target,
        }
    }

    /// Delivers a signal. Any thread; does not wait for the handler.
    pub(super) fn raise(&self, number: u8) {
        if self.is_retired() {
            return;
        }
        // Those that were ended because they were not needed take nothing.
        let crews = self.crews();
        let serves = |worker: &usize| {
            let mut crews = crews.iter();
            crews.any(|crew| crew.worker == *worker && !crew.is_dismissed())
        };
        let letters: Vec<Arc<[usize]>> = match self.registrations.route(number) {
            Route::Any(mut workers) => {
                workers.retain(serves);
                let is_any = !workers.is_empty();
                is_any.then(|| workers.into()).into_iter().collect()
            }
            Route::Each(workers) => {
                let workers = workers.into_iter().filter(serves);
                workers.map(|one| [one].into()).collect()
            }
            Route::Nowhere(why) => {
                // A timer would say it at every tick.
                if !self.undeliverable[usize::from(number)].swap(true, Ordering::Relaxed) {
                    tracing::warn!("{why}");
                } else {
                    tracing::debug!("{why}");
                }
                return;
            }
        };
        for to in &letters {
            if self.postbox.put(number, Arc::clone(to)) {
                self.rouse(to);
            }
        }
        if self.surroundings.shares_poll && !self.is_aside() {
            // As with jobs: first the letter, then the look whether anybody sleeps.
            self.queue().wake_if_idle(&self.surroundings.net);
        } else {
            for worker in letters.iter().flat_map(|to| to.iter()) {
                self.queue().ring(*worker);
            }
        }
    }

    /// Sees to it that one of these interpreters has a thread that looks for letters.
    fn rouse(&self, to: &[usize]) {
        let domains = self.domains.lock();
        let is_seen_to = domains.values().any(|domain| domain.looks_for_work(to));
        if !is_seen_to {
            let _nobody_is_parked = domains.values().any(|domain| domain.rouse(to));
        }
    }

    /// Looks after letters whose interpreter has only stuck and parked threads. The acceptor calls it, by its tick.
    pub(super) fn rouse_addressees(&self) {
        for to in self.postbox.addressees() {
            self.rouse(&to);
        }
    }

    /// Whether a letter waits that a thread could take which sleeps in the poll.
    pub(super) fn has_letter_for_sleeper(&self) -> bool {
        if self.postbox.waiting() == 0 {
            return false;
        }
        let crews = self.crews();
        let sleepers: Vec<usize> = crews
            .iter()
            .filter(|crew| crew.sleeps() && !crew.is_dismissed())
            .map(|crew| crew.worker)
            .collect();
        let mut addressees = self.postbox.addressees().into_iter();
        addressees.any(|to| to.iter().any(|worker| sleepers.contains(worker)))
    }

    /// The generation is in charge: its timers count from now on.
    pub(super) fn take_charge_of_signals(self: &Arc<Self>) {
        let shared = Arc::downgrade(self);
        let deliver = move |number| {
            if let Some(shared) = shared.upgrade() {
                shared.raise(number);
            }
        };
        let clockwork = &self.plan.process.clockwork;
        self.registrations.take_charge(clockwork, Arc::new(deliver));
    }

    pub(super) fn worker_facts(&self) -> Vec<WorkerFacts> {
        let crews = self.crews();
        let apps = self.apps.stats(&self.plan.apps);
        (1..=self.interpreters())
            .map(|worker| {
                let present = crews.iter().filter(|crew| crew.worker == worker);
                let tallies = present.map(|crew| &crew.tallies);
                let mut facts = self.ledger.facts(worker, tallies);
                let loaded = apps.iter().filter(|app| app.worker == worker);
                facts.apps = loaded.map(AppStats::facts).collect();
                facts
            })
            .collect()
    }
}
