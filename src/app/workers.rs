//! The workers of a generation: replacement, addition and removal of interpreters.
//!
//! The handle outlives the generation and holds no sender, so it keeps no queue open. Calls that
//! wait run on `sm-reload`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::python::Isolation;

use super::canary::Score;
use super::generation_state::GenerationState;
use super::load_generation::{self, ProbeRule};
use super::scaling::observation::WorkerLoad;
use super::start_report::{Deadlines, StartError};
use super::worker_group::StartGate;

/// The pause after a failed replacement.
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Workers(Arc<GenerationState>);

impl Workers {
    pub(super) fn new(shared: &Arc<GenerationState>) -> Self {
        Self(Arc::clone(shared))
    }

    pub(super) fn shared(&self) -> &GenerationState {
        &self.0
    }

    pub fn generation(&self) -> u64 {
        self.0.setup.id
    }

    pub fn isolation(&self) -> Isolation {
        self.0.setup.isolation
    }

    pub fn has_application(&self) -> bool {
        let apps = &self.0.setup.plan.apps;
        apps.count() > 0 || apps.are_none_wanted()
    }

    /// The serial numbers and worker numbers of serving groups, by worker number.
    pub fn groups(&self) -> Vec<(u64, usize)> {
        let serving = self.0.groups.serving();
        let groups = serving.iter().map(|group| (group.serial, group.worker));
        let mut groups: Vec<_> = groups.collect();
        groups.sort_by_key(|(_, worker)| *worker);
        groups
    }

    /// Requests the replacement of every interpreter over its maximum age.
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

    /// Requests the replacement of the oldest interpreter: it is unknown which one holds the
    /// process's memory. Returns whether it is old enough.
    pub fn recycle_oldest(&self, why: &str) -> bool {
        let serving = self.0.groups.serving();
        let oldest = serving.iter().min_by_key(|group| group.since);
        oldest.is_some_and(|group| self.0.ask_for_recycling(group, || why.to_owned()))
    }

    pub fn postpone_recycling(&self, group: u64) {
        for late in self.0.groups.all().iter().filter(|one| one.serial == group) {
            late.postpone_recycling(PAUSE);
        }
    }

    /// Replaces this group by a fresh interpreter with the present application, and waits up to
    /// `grace` until the old one has left. One with a new version must pass the probe first. Runs
    /// on `sm-reload`, detached from Python. On an error the old one keeps serving.
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

    /// As [`replace`](Self::replace) without memory for both: stops the group first. `None`: the
    /// group has not left within `mercy`, and there is no fresh one.
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
        // The server may be stopping.
        deadlines.pause(Duration::ZERO)?;
        let began = Instant::now();
        self.add_workers(1, deadlines)?;
        Ok(Some(began.elapsed()))
    }

    /// The spooler's interpreters are renewed when their tasks have ended.
    pub fn renew_spooler(&self) {
        self.0.setup.plan.process.spooler.renew();
    }

    pub fn has_left(&self, group: u64) -> bool {
        self.0
            .groups
            .all()
            .iter()
            .all(|other| other.serial != group)
    }

    pub fn most(&self) -> usize {
        self.0.setup.interpreters()
    }

    /// The load of serving groups, oldest first.
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

    pub fn waiting(&self) -> usize {
        self.0.queue().len()
    }

    /// Whether it has no interpreter; the next request starts one.
    pub fn is_idle(&self) -> bool {
        self.0.idle_state.is_asleep()
    }

    /// Whether starting an interpreter failed recently, so that none is tried.
    pub fn is_broken(&self) -> bool {
        self.0.idle_state.is_broken()
    }

    /// Adds up to `count` interpreters in parallel; each serves as soon as it is ready. Returns
    /// their numbers. After an error others may have been added. Runs on `sm-reload`, detached from
    /// Python.
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

    /// Stops the oldest interpreter unless it is the last one, and waits up to `grace` for its end.
    /// Returns its number. Runs on `sm-reload`.
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

    /// Stops all interpreters unless there is work, and waits up to `grace` for their end. Returns
    /// whether it did. Runs on `sm-reload`.
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
        // From now on the acceptor polls.
        shared.setup.context.acceptor_waker.wake();
        let deadline = Instant::now() + grace;
        for group in &serving {
            group.wait_until_ended(deadline);
        }
        true
    }

    /// No interpreter could be started: answers waiting requests with 503. Returns the pause before
    /// the next attempt.
    pub fn fail_waking(&self) -> Duration {
        let pause = self.0.idle_state.fail();
        self.turn_away();
        pause
    }

    /// Answers the queued requests of an idle generation with 503.
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

    /// Waits until every thread of the generation has ended, or until `deadline`. Returns the
    /// number of the others.
    pub fn wait(&self, deadline: Instant) -> usize {
        self.0.counts.wait_for_threads(deadline)
    }

    pub fn answered(&self) -> u64 {
        self.0.counts.answered(&self.0.groups)
    }

    pub fn score(&self) -> Score {
        let counts = &self.0.counts;
        let abandoned = counts.abandoned();
        Score {
            answered: self.answered() + abandoned,
            failed: counts.failed(&self.0.groups) + abandoned,
        }
    }

    pub fn parked(&self) -> usize {
        self.0.counts.parked()
    }
}
