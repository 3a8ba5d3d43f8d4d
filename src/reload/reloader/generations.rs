//! Which generation serves: a new one takes over at once, or after a time as a canary; the previous
//! one ends, or is kept for a rollback. All on the main thread, so that no two changes meet.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::other_generations::{CanaryGeneration, PreviousGeneration};
use super::state::Reloader;
use crate::app::{Generation, RecycleRequest, Workers};
use crate::config::ReloadMode;
use crate::os::memory::of_this_process;
use crate::python;
use crate::python::Isolation;
use crate::reload::autoscale::Autoscaler;
use crate::reload::canary::{Canary, Counts, Step};
use crate::reload::history::{Outcome, Way, seconds};
use crate::reload::memory_watch::MemoryWatch;
use crate::reload::pending::Resize;
use crate::reload::record::{CanaryReport, RollbackTarget};
use crate::reload::report;
use crate::reload::task::Loaded;
use crate::reload::version::Version;

impl Reloader {
    /// A generation has loaded: it becomes the canary, or takes over.
    pub(super) fn activate(&mut self, loaded: Loaded, elapsed: Duration) {
        let Loaded {
            generation,
            report,
            version,
        } = loaded;
        let (id, report) = (generation.id(), &report);
        let stages = &version.config.reload.canary;
        // A canary is compared with the application that serves, if there is one.
        let serving = self.workers().filter(Workers::has_application);
        // What serves lacks an extension: nothing is to be compared, and nothing to be kept.
        let is_switched =
            std::mem::take(&mut self.is_switching) && generation.isolation() == Isolation::Main;
        let compared = serving.as_ref().filter(|_| !is_switched);
        let canary = compared.and_then(|serving| {
            let counts = counts(&generation.workers(), serving);
            Canary::begin(stages, counts, Instant::now())
        });
        let Some(canary) = canary else {
            self.take_over(&generation, version, !is_switched);
            tracing::info!("{}", report::reloaded(id, report, elapsed));
            if is_switched {
                self.warn_of_switch(report);
            }
            return;
        };
        generation.serve_off_poll();
        let context = &self.builder.context;
        self.builder.current.try_out(&generation, canary.share());
        context.acceptor_waker.wake();
        self.builder.last_load.is_settled();
        tracing::info!("{}", report::ready(id, report, elapsed));
        self.report_share(id, &canary);
        self.note_canary(&canary);
        self.others.canary = Some(CanaryGeneration {
            generation,
            version,
            canary,
        });
    }

    /// The main interpreter serves instead of several: tells what is different.
    fn warn_of_switch(&self, report: &crate::app::Report) {
        if let Some(change) = &report.shape_change {
            tracing::warn!("{change}");
        }
        self.warn_of_unused_options(Some(Isolation::Main));
    }

    /// Gives a generation all requests, and keeps or ends the previous one.
    fn take_over(&mut self, generation: &Arc<Generation>, version: Arc<Version>, may_keep: bool) {
        let before = self.adopt(version);
        let context = &self.builder.context;
        clean_environment(generation);
        let previous = self.builder.current.swap(Some(Arc::clone(generation)));
        // Threads that have queued a request in the canary see the swap now: see `Current`.
        generation.return_to_poll();
        generation.serve();
        context.acceptor_waker.wake();
        // Only now: the development page asks again at once, and must not meet the old version.
        self.builder.last_load.is_settled();
        self.others.is_put_back = false;
        self.history.note_takeover();
        self.history.end(Outcome::Serves(generation.id()));
        let Some(previous) = previous else {
            return;
        };
        let workers = previous.workers();
        let was_at_rest = workers.is_idle();
        let time = self.builder.config().reload.keep_previous;
        match time.filter(|_| may_keep && workers.has_application() && !was_at_rest) {
            Some(time) => self.keep(previous, before, time),
            None => self.retire(previous),
        }
        if was_at_rest {
            // The new version has shown that it loads. A request that has come keeps it awake.
            self.pending.ask_resize(Resize::Rest);
        }
    }

    /// A version comes into charge; its generation follows at once. Returns the one before.
    fn adopt(&mut self, version: Arc<Version>) -> Arc<Version> {
        let builder = &self.builder;
        builder.context.net.set_site(Arc::clone(&version.site));
        let before = std::mem::replace(&mut *builder.version.lock(), Arc::clone(&version));
        let (old, new) = (&before.config, &version.config);
        if old.limits.harakiri != new.limits.harakiri {
            let rules = new.limits.harakiri.clone();
            version.plan.process.harakiri.set_rules(rules);
        }
        if old.workers.autoscale != new.workers.autoscale {
            self.autoscaler = Autoscaler::new(new.workers.autoscale.clone(), of_this_process);
        }
        if old.reload != new.reload {
            self.memory = MemoryWatch::new(&new.reload, self.workers().as_ref());
        }
        before
    }

    fn keep(&mut self, generation: Arc<Generation>, version: Arc<Version>, time: Duration) {
        self.drop_previous();
        generation.leave_poll();
        let id = generation.id();
        tracing::info!(
            "generation {id} is kept for {} (--keep-previous)",
            report::time(time)
        );
        self.history.set_kept(Some(RollbackTarget {
            generation: id,
            until: seconds(SystemTime::now() + time),
        }));
        self.others.previous = Some(PreviousGeneration {
            generation,
            version,
            until: Instant::now() + time,
        });
    }

    fn drop_previous(&mut self) {
        self.history.set_kept(None);
        if let Some(previous) = self.others.previous.take() {
            self.retire(previous.generation);
        }
    }

    /// Withdraws the canary, or puts the previous generation back in charge and abandons a reload
    /// that loads. Returns what was done.
    pub fn roll_back(&mut self, by: &str) -> Result<String, String> {
        let serving = self.builder.current.id();
        let done = if let Some(canary) = &self.others.canary {
            let id = canary.generation.id();
            self.withdraw_canary(Outcome::Withdrawn(format!("taken back by hand, {by}")));
            format!("generation {id} is withdrawn; generation {serving} serves")
        } else if let Some(previous) = self.others.previous.take() {
            self.abandon_reload();
            self.history.begin(by, Way::Rollback, serving);
            let id = previous.generation.id();
            self.history.set_generation(id);
            self.put_back(&previous.generation, previous.version);
            format!("generation {id} serves again, instead of generation {serving}")
        } else {
            let why = "there is nothing to go back to: no canary runs, and no generation is kept \
                       (--keep-previous)";
            tracing::error!("{by}: {why}");
            return Err(why.to_owned());
        };
        tracing::warn!("{by}: {done}");
        self.warn_of_code_on_disk();
        Ok(done)
    }

    fn put_back(&mut self, generation: &Arc<Generation>, version: Arc<Version>) {
        self.builder.version().leave(&version);
        self.adopt(version);
        let context = &self.builder.context;
        clean_environment(generation);
        let failed = self.builder.current.swap(Some(Arc::clone(generation)));
        generation.return_to_poll();
        generation.serve();
        context.acceptor_waker.wake();
        self.history.set_kept(None);
        self.history.note_takeover();
        self.history.end(Outcome::Serves(generation.id()));
        // The operator has chosen this version: the development page goes away.
        self.builder.last_load.is_settled();
        self.others.is_put_back = true;
        if let Some(failed) = failed {
            self.retire(failed);
        }
    }

    /// Drops the previous generation because memory is short; `used` says how much is used.
    /// Returns whether there was one.
    pub(super) fn drop_previous_for_memory(&mut self, used: &str) -> bool {
        let Some(previous) = &self.others.previous else {
            return false;
        };
        tracing::warn!(
            "memory: {used} are used in the container (--reload-on-cgroup): generation {} is not \
             kept any longer (--keep-previous)",
            previous.generation.id()
        );
        self.drop_previous();
        true
    }

    fn abandon_reload(&mut self) {
        self.pending.cancel_reload();
        self.history.abandon("a rollback came");
        // This cancels the load, unless it is complete.
        if self.is_busy() {
            self.cancel = None;
            self.others.is_unwanted = true;
        }
    }

    /// The next reload begins and ends the canary.
    pub(super) fn supersede_canary(&mut self) {
        if let Some(canary) = &self.others.canary {
            let (id, serving) = (canary.generation.id(), self.builder.current.id());
            tracing::info!(
                "generation {id} is withdrawn before its time was over; generation {serving} \
                 serves until the next one is ready"
            );
            self.withdraw_canary(Outcome::Abandoned("another reload came".to_owned()));
        }
    }

    /// Gives all requests, also those in the canary's queue, to the generation in charge.
    fn withdraw_canary(&mut self, outcome: Outcome) {
        let Some(canary) = self.others.canary.take() else {
            return;
        };
        let current = &self.builder.current;
        if let Some(serving) = current.load() {
            current.swap(Some(Arc::clone(&serving)));
            canary.generation.pass_on(&serving);
        }
        canary.version.leave(&self.builder.version());
        self.history.end(outcome);
        self.others.is_put_back = true;
        self.retire(canary.generation);
    }

    /// Decides about the canary, and drops the previous generation when its time is over. Once a
    /// tick.
    pub(super) fn look_after_other_generations(&mut self) {
        let now = Instant::now();
        let previous = self.others.previous.as_ref();
        if previous.is_some_and(|previous| previous.until <= now) {
            self.drop_previous();
        }
        let Some(serving) = self.workers() else {
            return;
        };
        let Some(mut one) = self.others.canary.take() else {
            return;
        };
        let id = one.generation.id();
        let step = one
            .canary
            .look(counts(&one.generation.workers(), &serving), now);
        self.note_canary(&one.canary);
        match step {
            Step::GoOn => self.others.canary = Some(one),
            Step::Share(share) => {
                let current = &self.builder.current;
                current.try_out(&one.generation, share);
                self.report_share(id, &one.canary);
                self.others.canary = Some(one);
            }
            Step::Complete => {
                let (score, _) = one.canary.scores();
                self.take_over(&one.generation, one.version, true);
                tracing::info!(
                    "generation {id} serves: {score} requests failed while it was tried out"
                );
            }
            Step::RollBack(why) => {
                self.others.canary = Some(one);
                let serving = serving.generation();
                tracing::error!(
                    "generation {id} is withdrawn: {why}; generation {serving} serves all \
                     requests (--reload-canary)"
                );
                self.withdraw_canary(Outcome::Withdrawn(why));
                self.warn_of_code_on_disk();
            }
        }
    }

    /// Whether there is a canary or a previous generation, so that [`tick`](Self::tick) is needed.
    pub(super) fn has_other_generations(&self) -> bool {
        self.others.canary.is_some() || self.others.previous.is_some()
    }

    /// Whether a fresh interpreter would load other code than the generation in charge has.
    pub(super) fn disk_has_other_code(&self) -> bool {
        self.others.canary.is_some() || self.others.is_put_back
    }

    /// Postpones the replacement of an interpreter of the canary or the previous generation.
    pub(super) fn postpone_recycling(&self, due: &RecycleRequest) {
        let canary = self.others.canary.iter().map(|one| &one.generation);
        let previous = self.others.previous.iter().map(|one| &one.generation);
        for generation in canary.chain(previous) {
            if generation.id() == due.generation {
                generation.workers().postpone_recycling(due.group);
            }
        }
    }

    /// The server stops, or a successor takes over: ends all but the generation in charge.
    pub(super) fn end_other_generations(&mut self) {
        let current = &self.builder.current;
        if self.others.canary.is_some() {
            current.swap(current.load());
        }
        let canary = self.others.canary.take().map(|one| one.generation);
        let previous = self.others.previous.take().map(|one| one.generation);
        self.history.set_kept(None);
        let gone = canary.into_iter().chain(previous);
        self.retiring
            .extend(gone.map(|generation| generation.workers()));
    }

    pub(super) fn warn_of_unused_options(&self, serving: Option<Isolation>) {
        let reload = &self.builder.config().reload;
        let wanted: Vec<&str> = [
            (!reload.canary.is_empty()).then_some("--reload-canary"),
            reload.keep_previous.map(|_| "--keep-previous"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let why = match (reload.mode, serving) {
            (_, Some(Isolation::Main)) => {
                "the application lives in the main interpreter, of which there is one"
            }
            (ReloadMode::Swap, _) => return,
            (ReloadMode::Rolling, _) => "--reload-mode rolling has no second generation",
            (ReloadMode::Exec, _) => "--reload-mode exec starts the whole process anew",
        };
        if !wanted.is_empty() {
            tracing::warn!("{} without effect: {why}", wanted.join(" and "));
        }
    }

    fn note_canary(&self, canary: &Canary) {
        let (score, others) = canary.scores();
        let (stage, stages) = canary.stage();
        self.history.set_canary(CanaryReport {
            share_percent: percent(canary.share()),
            stage,
            stages,
            until: seconds(SystemTime::now() + canary.left(Instant::now())),
            requests: score.answered,
            failed: score.failed,
            others_requests: others.answered,
            others_failed: others.failed,
        });
    }

    fn report_share(&self, id: u64, canary: &Canary) {
        let serving = self.builder.current.id();
        tracing::info!(
            "generation {id} gets {} % of the requests for {}, generation {serving} the others \
             (--reload-canary)",
            percent(canary.share()),
            report::time(canary.time())
        );
    }

    fn warn_of_code_on_disk(&self) {
        if self.builder.version().plan.recycling.is_wanted() || self.memory.cycle().is_some() {
            tracing::warn!(
                "interpreters are not replaced (--max-requests and its like) until the next \
                 reload: a fresh one would load the newer code on the disk"
            );
        }
    }
}

/// The process has the variables of the generation in charge, and no longer those that the one
/// before it has set. C code and child processes see these.
fn clean_environment(generation: &Generation) {
    if let Some(environment) = generation.environment() {
        python::move_environment(&python::environment_now(), &environment);
    }
}

fn percent(millionths: u32) -> f64 {
    f64::from(millionths) / 10_000.0
}

fn counts(canary: &Workers, others: &Workers) -> Counts {
    Counts {
        canary: canary.score(),
        others: others.score(),
        waiting: canary.waiting(),
    }
}
