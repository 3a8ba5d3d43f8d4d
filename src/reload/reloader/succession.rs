//! Who is in charge: a new generation takes over at once, or after it was tried out with a share of the requests; the one
//! before it ends, or is kept for a while, so that it can be put back. All of it on the main thread, so no two changes meet.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Reloader;
use crate::app::{Due, Generation, Report, Roster};
use crate::config::ReloadMode;
use crate::python::Isolation;
use crate::reload::canary::{Counts, Step, Trial};
use crate::reload::history::{Outcome, Way, seconds};
use crate::reload::pending::Change;
use crate::reload::record::{Canary, Kept};
use crate::reload::report;

/// The generations beside the one in charge, and what follows from how that came to be.
#[derive(Default)]
pub(super) struct Succession {
    canary: Option<(Arc<Generation>, Trial)>,
    /// The one before, and until when it is kept.
    kept: Option<(Arc<Generation>, Instant)>,
    /// The generation in charge is not made of what lies on the disk now: a later one was withdrawn.
    is_put_back: bool,
    /// What is being made now is not to come into charge.
    is_unwanted: bool,
}

impl Succession {
    /// Every interpreter was made anew from what lies on the disk.
    pub(super) fn note_all_fresh(&mut self) {
        self.is_put_back = false;
    }

    pub(super) fn take_unwanted(&mut self) -> bool {
        std::mem::take(&mut self.is_unwanted)
    }
}

impl Reloader {
    /// A generation has been born: it is tried out, or takes over.
    pub(super) fn succeed(
        &mut self,
        generation: Arc<Generation>,
        report: &Report,
        elapsed: Duration,
    ) {
        let id = generation.id();
        let stages = &self.recipe.config.reload.canary;
        // Without an application to fall back on there is nothing to compare with.
        let before = self.roster().filter(Roster::has_application);
        let canary = before.as_ref().and_then(|before| {
            let counts = counts(&generation.roster(), before);
            Trial::begin(stages, counts, Instant::now())
        });
        let Some(trial) = canary else {
            self.take_over(&generation);
            tracing::info!("{}", report::reloaded(id, report, elapsed));
            return;
        };
        generation.serve_aside();
        let surroundings = &self.recipe.surroundings;
        surroundings.current.try_out(&generation, trial.share());
        surroundings.bell.ring();
        self.recipe.last_load.is_settled();
        tracing::info!("{}", report::born(id, report, elapsed));
        self.tell_share(id, &trial);
        self.note_canary(&trial);
        self.succession.canary = Some((generation, trial));
    }

    /// It gets all requests; the one before is kept or let go.
    fn take_over(&mut self, generation: &Arc<Generation>) {
        let surroundings = &self.recipe.surroundings;
        let before = surroundings.current.swap(Some(Arc::clone(generation)));
        // Those who queued something in it while it stood aside know now that it does not: see `Current`.
        generation.rejoin();
        generation.serve();
        surroundings.bell.ring();
        // Not before: a page that is told so asks again at once, and is not to meet the old version.
        self.recipe.last_load.is_settled();
        self.succession.is_put_back = false;
        self.journal.takes_over();
        self.journal.end(Outcome::Serves(generation.id()));
        let Some(before) = before else {
            return;
        };
        let roster = before.roster();
        let was_at_rest = roster.is_at_rest();
        let time = self.recipe.config.reload.keep_previous;
        match time.filter(|_| roster.has_application() && !was_at_rest) {
            Some(time) => self.keep(before, time),
            None => self.retire(before),
        }
        if was_at_rest {
            // The new version has shown that it loads; if somebody has come meanwhile it stays.
            self.agenda.ask_change(Change::Rest);
        }
    }

    fn keep(&mut self, generation: Arc<Generation>, time: Duration) {
        self.let_go();
        generation.stand_aside();
        let id = generation.id();
        tracing::info!(
            "generation {id} is kept for {} (--keep-previous)",
            report::time(time)
        );
        self.journal.keeps(Some(Kept {
            generation: id,
            until: seconds(SystemTime::now() + time),
        }));
        self.succession.kept = Some((generation, Instant::now() + time));
    }

    /// Nothing is kept any more.
    fn let_go(&mut self) {
        self.journal.keeps(None);
        if let Some((generation, _)) = self.succession.kept.take() {
            self.retire(generation);
        }
    }

    /// Goes back: a canary is withdrawn, or the generation before put back in charge. What is being loaded is given up then. Returns
    /// what was done.
    ///
    /// # Errors
    /// There is nothing to go back to.
    pub fn roll_back(&mut self, by: &str) -> Result<String, String> {
        let serving = self.recipe.surroundings.current.id();
        let done = if let Some((canary, _)) = &self.succession.canary {
            let id = canary.id();
            self.withdraw_canary(Outcome::Withdrawn(format!("taken back by hand, {by}")));
            format!("generation {id} is withdrawn; generation {serving} serves")
        } else if let Some((generation, _)) = self.succession.kept.take() {
            self.give_up_loading();
            self.journal.begin(by, Way::Rollback, serving);
            let id = generation.id();
            self.journal.makes(id);
            self.put_back(&generation);
            format!("generation {id} serves again, instead of generation {serving}")
        } else {
            let why = "there is nothing to go back to: no canary runs, and no generation is kept (--keep-previous)";
            tracing::error!("{by}: {why}");
            return Err(why.to_owned());
        };
        tracing::warn!("{by}: {done}");
        self.tell_of_disk();
        Ok(done)
    }

    fn put_back(&mut self, generation: &Arc<Generation>) {
        let surroundings = &self.recipe.surroundings;
        let failed = surroundings.current.swap(Some(Arc::clone(generation)));
        generation.rejoin();
        generation.serve();
        surroundings.bell.ring();
        self.journal.keeps(None);
        self.journal.takes_over();
        self.journal.end(Outcome::Serves(generation.id()));
        // Whoever went back knows what they want to see.
        self.recipe.last_load.is_settled();
        self.succession.is_put_back = true;
        if let Some(failed) = failed {
            self.retire(failed);
        }
    }

    /// There is hardly any memory left: nothing is kept any more. `used`: how much of it is used. Whether something was.
    pub(super) fn let_kept_go(&mut self, used: &str) -> bool {
        let Some((generation, _)) = &self.succession.kept else {
            return false;
        };
        tracing::warn!(
            "memory: {used} are used in the container (--reload-on-cgroup): generation {} is not kept any longer (--keep-previous)",
            generation.id()
        );
        self.let_go();
        true
    }

    /// A reload that is under way, or waits, is not wanted any more.
    fn give_up_loading(&mut self) {
        self.agenda.forget_reload();
        self.journal.give_up("a rollback came");
        // The birth is given up by that, unless it is complete.
        if self.is_busy() {
            self.interest = None;
            self.succession.is_unwanted = true;
        }
    }

    /// The next reload begins: whatever is tried out has had its time.
    pub(super) fn supersede_canary(&mut self) {
        if let Some((canary, _)) = &self.succession.canary {
            let (id, serving) = (canary.id(), self.recipe.surroundings.current.id());
            tracing::info!(
                "generation {id} is withdrawn before its time was over; generation {serving} serves until the next one is ready"
            );
            self.withdraw_canary(Outcome::GivenUp("another reload came".to_owned()));
        }
    }

    /// All requests go to the one in charge again, also those that wait in the canary.
    fn withdraw_canary(&mut self, outcome: Outcome) {
        let Some((canary, _)) = self.succession.canary.take() else {
            return;
        };
        let current = &self.recipe.surroundings.current;
        if let Some(serving) = current.load() {
            current.swap(Some(Arc::clone(&serving)));
            canary.pass_on(&serving);
        }
        self.journal.end(outcome);
        self.succession.is_put_back = true;
        self.retire(canary);
    }

    /// Looks at the canary, and whether what is kept has been kept for long enough. Once a tick.
    pub(super) fn look_after_succession(&mut self) {
        let now = Instant::now();
        if self
            .succession
            .kept
            .as_ref()
            .is_some_and(|(_, until)| *until <= now)
        {
            self.let_go();
        }
        let Some(others) = self.roster() else {
            return;
        };
        let Some((canary, mut trial)) = self.succession.canary.take() else {
            return;
        };
        let id = canary.id();
        let step = trial.look(counts(&canary.roster(), &others), now);
        self.note_canary(&trial);
        match step {
            Step::GoOn => self.succession.canary = Some((canary, trial)),
            Step::Share(share) => {
                self.recipe.surroundings.current.try_out(&canary, share);
                self.tell_share(id, &trial);
                self.succession.canary = Some((canary, trial));
            }
            Step::Complete => {
                let (score, _) = trial.scores();
                self.take_over(&canary);
                tracing::info!(
                    "generation {id} serves: {score} requests failed while it was tried out"
                );
            }
            Step::RollBack(why) => {
                self.succession.canary = Some((canary, trial));
                let serving = others.generation();
                tracing::error!(
                    "generation {id} is withdrawn: {why}; generation {serving} serves all requests (--reload-canary)"
                );
                self.withdraw_canary(Outcome::Withdrawn(why));
                self.tell_of_disk();
            }
        }
    }

    /// Whether something is tried out or kept, and so to be looked at.
    pub(super) fn is_succession_open(&self) -> bool {
        self.succession.canary.is_some() || self.succession.kept.is_some()
    }

    /// Whether an interpreter made now would not have the code of the one in charge.
    pub(super) fn is_code_another(&self) -> bool {
        self.succession.canary.is_some() || self.succession.is_put_back
    }

    /// An interpreter of a generation that is not in charge is due.
    pub(super) fn put_off(&self, due: &Due) {
        let canary = self.succession.canary.iter().map(|(canary, _)| canary);
        let kept = self.succession.kept.iter().map(|(kept, _)| kept);
        for generation in canary.chain(kept) {
            if generation.id() == due.generation {
                generation.roster().put_off(due.crew);
            }
        }
    }

    /// The server stops, or the process starts anew: only the one in charge has a future.
    pub(super) fn end_succession(&mut self) {
        let current = &self.recipe.surroundings.current;
        if self.succession.canary.is_some() {
            current.swap(current.load());
        }
        let canary = self.succession.canary.take().map(|(canary, _)| canary);
        let kept = self.succession.kept.take().map(|(kept, _)| kept);
        self.journal.keeps(None);
        let gone = canary.into_iter().chain(kept);
        self.retiring
            .extend(gone.map(|generation| generation.roster()));
    }

    /// What will not do what was asked for, and why.
    pub(super) fn warn_of_succession(&self, serving: Option<Isolation>) {
        let reload = &self.recipe.config.reload;
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

    fn note_canary(&self, trial: &Trial) {
        let (canary, others) = trial.scores();
        let (stage, stages) = trial.stage();
        self.journal.tries(Canary {
            share_percent: f64::from(trial.share()) / 10_000.0,
            stage,
            stages,
            until: seconds(SystemTime::now() + trial.left(Instant::now())),
            requests: canary.answered,
            failed: canary.failed,
            others_requests: others.answered,
            others_failed: others.failed,
        });
    }

    fn tell_share(&self, id: u64, trial: &Trial) {
        let serving = self.recipe.surroundings.current.id();
        tracing::info!(
            "generation {id} gets {} % of the requests for {}, generation {serving} the others (--reload-canary)",
            f64::from(trial.share()) / 10_000.0,
            report::time(trial.left(Instant::now()))
        );
    }

    fn tell_of_disk(&self) {
        if self.recipe.plan.recycling.is_wanted() || self.memory.cycle().is_some() {
            tracing::warn!(
                "interpreters are not replaced (--max-requests and its like) until the next reload: a fresh one would load what lies on \
                 the disk now"
            );
        }
    }
}

fn counts(canary: &Roster, others: &Roster) -> Counts {
    Counts {
        canary: canary.score(),
        others: others.score(),
        waiting: canary.waiting(),
    }
}
