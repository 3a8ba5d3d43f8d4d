//! The workers of a generation: how one interpreter is replaced, how more are made and some
//! removed.
//!
//! A handle that outlives the generation: it is how one sees a retired generation's threads to
//! their end. It holds no sender, so it keeps no queue open. Calls that wait run on `sm-reload`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::python::Isolation;

use super::canary::Score;
use super::generation_state::GenerationState;
use super::load_generation::{self, ProbeRule};
use super::scaling::observation::WorkerLoad;
use super::start_report::{Deadlines, StartError};
use super::worker_group::StartGate;

/// What stood in the way of a replacement may be gone by then.
const PAUSE: Duration = Duration::from_secs(60);

/// Who works in a generation, or still does when it has been retired.
#[derive(Clone)]
pub struct Workers(Arc<GenerationState>);

impl Workers {
    pub(super) fn new(shared: &Arc<GenerationState>) -> Self {
        Self(Arc::clone(shared))
    }

    pub(super) fn shared(&self) -> &GenerationState {
        &self.0
    }

    /// The generation's number.
    pub fn generation(&self) -> u64 {
        self.0.setup.id
    }

    /// How its interpreters were made.
    pub fn isolation(&self) -> Isolation {
        self.0.setup.isolation
    }

    /// Whether it serves an application; without one it answers 500.
    pub fn has_application(&self) -> bool {
        self.0.setup.plan.apps.count() > 0
    }

    /// Its interpreters that serve, in the order of their numbers: group and worker.
    pub fn groups(&self) -> Vec<(u64, usize)> {
        let serving = self.0.groups.serving();
        let groups = serving.iter().map(|group| (group.serial, group.worker));
        let mut groups: Vec<_> = groups.collect();
        groups.sort_by_key(|(_, worker)| *worker);
        groups
    }

    /// Asks for the replacement of every interpreter that has lived long enough.
    pub fn recycle_aged(&self) {
        for group in self.0.groups.all() {
            let age = group.since.elapsed();
            let limit = self.0.setup.plan.recycling.lifetime_of(group.worker);
            if limit.is_some_and(|limit| age >= limit) {
                let why = || format!("{} s old (--max-worker-lifetime)", age.as_secs());
                self.0.ask_for_recycling(&group, why);
            }
        }
    }

    /// Asks for the replacement of the interpreter that has lived longest: memory belongs to the
    /// process, and it is unknown which interpreter holds it. Whether it is old enough.
    pub fn recycle_oldest(&self, why: &str) -> bool {
        let serving = self.0.groups.serving();
        let oldest = serving.iter().min_by_key(|group| group.since);
        oldest.is_some_and(|group| self.0.ask_for_recycling(group, || why.to_owned()))
    }

    /// This group is not replaced now: it is not due again for a minute.
    pub fn postpone_recycling(&self, group: u64) {
        for late in self.0.groups.all().iter().filter(|one| one.serial == group) {
            late.postpone_recycling(PAUSE);
        }
    }

    /// A fresh interpreter, with the application loaded as it is now, takes the place of this
    /// group's, which leaves after the requests it is in. Waits for that up to `grace`. One of a
    /// new version has to answer the probe first. Runs on `sm-reload`, detached from Python.
    ///
    /// # Errors
    /// There is no fresh one: the old one serves on, and is not due again for a minute.
    pub fn replace(
        &self,
        group: u64,
        deadlines: &Deadlines,
        grace: Duration,
        is_new_version: bool,
    ) -> Result<Duration, StartError> {
        let shared = &self.0;
        let groups = shared.groups.all();
        let old = groups
            .iter()
            .find(|old| old.serial == group && !old.is_stopped())
            .ok_or(StartError::Gone)?;
        if shared.setup.isolation == Isolation::Main {
            return Err(StartError::MainIsTaken);
        }
        let fresh = shared.add_group(old.worker, StartGate::Shut);
        let probe_rule = if is_new_version {
            ProbeRule::Renewed
        } else {
            ProbeRule::Free
        };
        match load_generation::load_group(shared, &fresh, deadlines, probe_rule) {
            Ok(()) => {
                let elapsed = fresh.since.elapsed();
                fresh.open_start_gate();
                shared.stop(old);
                old.wait_until_ended(Instant::now() + grace);
                Ok(elapsed)
            }
            Err(error) => {
                shared.stop(&fresh);
                old.postpone_recycling(PAUSE);
                if !matches!(error, StartError::TooLate | StartError::Cancelled) {
                    fresh.wait_until_ended(Instant::now() + shared.setup.plan.end_grace * 2);
                }
                Err(error)
            }
        }
    }

    /// The other way round, where there is no memory for both: this group leaves, after the
    /// requests it is in, and then a fresh interpreter is made. `None`: it has not left within
    /// `mercy`, and there is no fresh one. Runs on `sm-reload`, detached from Python.
    ///
    /// # Errors
    /// There is no fresh one.
    pub fn replace_after_stop(
        &self,
        group: u64,
        deadlines: &Deadlines,
        mercy: Duration,
    ) -> Result<Option<Duration>, StartError> {
        let shared = &self.0;
        let serving = shared.groups.serving();
        let old = serving.iter().find(|old| old.serial == group);
        let old = old.ok_or(StartError::Gone)?;
        shared.stop(old);
        if old.wait_until_ended(Instant::now() + mercy) > 0 {
            return Ok(None);
        }
        // The server may have begun to stop meanwhile.
        deadlines.pause(Duration::ZERO)?;
        let began = Instant::now();
        self.add_workers(1, deadlines)?;
        Ok(Some(began.elapsed()))
    }

    /// Whether this group's interpreter is gone.
    pub fn has_left(&self, group: u64) -> bool {
        self.0
            .groups
            .all()
            .iter()
            .all(|other| other.serial != group)
    }

    /// How many interpreters there may be.
    pub fn most(&self) -> usize {
        self.0.setup.interpreters()
    }

    /// What is to be seen of those that serve, in the order of their age.
    pub fn loads(&self) -> Vec<WorkerLoad> {
        let mut serving = self.0.groups.serving();
        serving.sort_by_key(|group| group.since);
        let seen = serving.iter().map(|group| WorkerLoad {
            group: group.serial,
            worker: group.worker,
            is_busy: group.counters.is_busy(),
            running: group.counters.running(),
        });
        seen.collect()
    }

    /// Requests that no thread has begun.
    pub fn waiting(&self) -> usize {
        self.0.queue().len()
    }

    /// Whether it has let the last interpreter go; the next request brings one back.
    pub fn is_idle(&self) -> bool {
        self.0.idle_state.is_asleep()
    }

    /// Whether no interpreter could be made just now, so that none is tried yet.
    pub fn is_broken(&self) -> bool {
        self.0.idle_state.is_broken()
    }

    /// Makes up to `count` more interpreters, side by side; each serves as soon as it is ready.
    /// Returns their numbers. Runs on `sm-reload`, detached from Python.
    ///
    /// # Errors
    /// One could not be made; others may have been.
    pub fn add_workers(
        &self,
        count: usize,
        deadlines: &Deadlines,
    ) -> Result<Vec<usize>, StartError> {
        let shared = &self.0;
        let taken: Vec<usize> = shared
            .groups
            .serving()
            .iter()
            .map(|group| group.worker)
            .collect();
        let free = (1..=self.most()).filter(|worker| !taken.contains(worker));
        let workers: Vec<usize> = free.take(count).collect();
        let reports: Vec<_> = std::thread::scope(|scope| {
            let reports: Vec<_> = workers
                .iter()
                .map(|&worker| scope.spawn(move || self.add_worker(worker, deadlines)))
                .collect();
            reports.into_iter().map(|report| report.join()).collect()
        });
        for report in reports {
            report.unwrap_or(Err(StartError::Panicked))?;
        }
        Ok(workers)
    }

    fn add_worker(&self, worker: usize, deadlines: &Deadlines) -> Result<(), StartError> {
        let shared = &self.0;
        let fresh = shared.add_group(worker, StartGate::Shut);
        match load_generation::load_group(shared, &fresh, deadlines, ProbeRule::Free) {
            Ok(()) => {
                shared.idle_state.wake();
                shared
                    .setup
                    .context
                    .acceptor_waker
                    .call_from_poll(&shared.setup.context.net);
                fresh.open_start_gate();
                Ok(())
            }
            Err(error) => {
                shared.stop(&fresh);
                if !matches!(error, StartError::TooLate | StartError::Cancelled) {
                    fresh.wait_until_ended(Instant::now() + shared.setup.plan.end_grace * 2);
                }
                Err(error)
            }
        }
    }

    /// Lets the interpreter go that has lived longest, after the requests it is in; waits for that
    /// up to `grace`. Returns its number. `None`: it is the last one. Runs on `sm-reload`.
    pub fn remove_oldest(&self, grace: Duration) -> Option<usize> {
        let shared = &self.0;
        let serving = shared.groups.serving();
        let oldest = serving.iter().min_by_key(|group| group.since)?;
        if serving.len() < 2 {
            return None;
        }
        shared.stop(oldest);
        self.drop_undeliverable_signals();
        oldest.wait_until_ended(Instant::now() + grace);
        Some(oldest.worker)
    }

    /// Lets all interpreters go, unless there is something to do; waits for their end up to
    /// `grace`. Whether they went. Runs on `sm-reload`.
    pub fn go_idle(&self, grace: Duration) -> bool {
        let shared = &self.0;
        shared.idle_state.fall_asleep();
        let serving = shared.groups.serving();
        let is_busy = || serving.iter().any(|group| group.counters.is_busy());
        if shared.queue().has_jobs() || is_busy() {
            shared.idle_state.wake();
            return false;
        }
        for group in &serving {
            shared.stop(group);
        }
        shared.signals.queue.clear();
        // From now on it polls.
        shared.setup.context.acceptor_waker.wake();
        let deadline = Instant::now() + grace;
        for group in &serving {
            group.wait_until_ended(deadline);
        }
        true
    }

    /// No interpreter could be made: waiting requests get 503. Returns the pause before the next
    /// attempt.
    pub fn fail_waking(&self) -> Duration {
        let pause = self.0.idle_state.fail();
        self.turn_away();
        pause
    }

    /// Answers what is queued in a generation at rest with 503.
    pub fn turn_away(&self) {
        if self.is_idle() {
            self.0.idle_state.unwant();
            self.0.pass_on(false);
        }
    }

    fn drop_undeliverable_signals(&self) {
        let serving = self.0.groups.serving();
        let present: Vec<usize> = serving.iter().map(|group| group.worker).collect();
        self.0.signals.queue.keep_for(&present);
    }

    /// Waits until every thread of the generation has ended, or until `deadline`. Returns how many
    /// have not.
    pub fn wait(&self, deadline: Instant) -> usize {
        self.0.counts.wait_for_threads(deadline)
    }

    pub fn answered(&self) -> u64 {
        self.0.counts.answered(&self.0.groups)
    }

    /// How its requests ended.
    pub fn score(&self) -> Score {
        let counts = &self.0.counts;
        let abandoned = counts.abandoned();
        Score {
            answered: self.answered() + abandoned,
            failed: counts.failed(&self.0.groups) + abandoned,
        }
    }

    /// Interpreters of it that could not be ended and stay for ever.
    pub fn parked(&self) -> usize {
        self.0.counts.parked()
    }
}
