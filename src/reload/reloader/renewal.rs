//! One interpreter is replaced by a fresh one: which of the two comes first, and what becomes of a place that stays empty. All of it
//! on the main thread; the work is the roster's, on `sm-reload`.

use std::time::{Duration, Instant};

use super::{Failed, Outcome, REPLACED_GRACE, Reloader, can_roll};
use crate::app::{Due, Patience, Roster, StartError};
use crate::reload::pending::Change;

/// An interpreter has left, or will, and there is no fresh one in its place.
pub(super) struct Vacancy {
    generation: u64,
    crew: u64,
    worker: usize,
    /// How many there were.
    wanted: usize,
}

impl Reloader {
    /// The fresh one comes first, if there is room for both.
    pub(super) fn renew(&mut self, due: Due, roster: Roster, patience: Patience) {
        let Due {
            worker, crew, why, ..
        } = due;
        let mercy = self.recipe.config.process.reload_mercy;
        let shortage = self.memory.shortage(&roster);
        let Some(shortage) = shortage.filter(|_| can_roll(&roster)) else {
            tracing::info!("worker {worker}: {why}; it gets a fresh interpreter");
            let grace = (REPLACED_GRACE.min(mercy), false);
            self.run(move || Outcome::Replaced {
                worker,
                result: roster.replace(crew, &patience, grace),
            });
            return;
        };
        tracing::info!(
            "worker {worker}: {why}; it leaves before it gets a fresh interpreter: {shortage}"
        );
        // What the old one takes to leave is not the fresh one's.
        let until = patience.until.and_then(|until| until.checked_add(mercy));
        let patience = Patience { until, ..patience };
        let vacancy = Vacancy {
            generation: roster.generation(),
            crew,
            worker,
            wanted: roster.crews().len(),
        };
        self.run(move || Outcome::ReplacedOldFirst {
            vacancy,
            result: roster.replace_old_first(crew, &patience, mercy),
        });
    }

    /// What came of one that was to have its successor before it leaves.
    pub(super) fn tell_replaced(worker: usize, result: Result<Duration, StartError>) {
        match result {
            Ok(elapsed) => tell_fresh(worker, elapsed),
            Err(StartError::Gone | StartError::GivenUp) => {}
            Err(error) => {
                tracing::error!("worker {worker} gets no fresh interpreter and serves on: {error}");
            }
        }
    }

    /// What came of one that was to leave first.
    pub(super) fn tell_replaced_old_first(
        &mut self,
        vacancy: Vacancy,
        result: Result<Option<Duration>, StartError>,
    ) {
        let worker = vacancy.worker;
        match result {
            Ok(Some(elapsed)) => {
                tell_fresh(worker, elapsed);
                return;
            }
            Ok(None) => tracing::warn!(
                "worker {worker} is still in a request after {} s (--reload-mercy); it gets a fresh interpreter when it has left, or \
                 there is room for both",
                self.recipe.config.process.reload_mercy.as_secs()
            ),
            Err(StartError::Gone) => return,
            Err(error) => {
                // `None`: the server stops.
                let Some(reason) = Failed::Start(error).reason() else {
                    return;
                };
                let count = self.roster().map_or(0, |roster| roster.crews().len());
                let pause = self.adaptation.note_birth(false).as_secs();
                tracing::error!(
                    "worker {worker} has left and has no fresh interpreter yet, those that there are ({count}) serve on: {reason}; the \
                     next attempt in {pause} s or later"
                );
            }
        }
        self.vacancy = Some(vacancy);
    }

    /// Whether a place is empty.
    pub(super) fn has_vacancy(&self) -> bool {
        self.vacancy.is_some()
    }

    /// Tries to fill the place that is empty, if there is one. Once a look at the memory.
    pub(super) fn fill_vacancy(&mut self, roster: &Roster) {
        let Some(vacancy) = &self.vacancy else { return };
        let missing = vacancy.wanted.saturating_sub(roster.crews().len());
        if vacancy.generation != roster.generation() || missing == 0 || roster.is_at_rest() {
            self.vacancy = None;
            return;
        }
        let may_begin = self.adaptation.may_grow(Instant::now())
            && (roster.has_left(vacancy.crew) || self.memory.has_room(roster));
        if may_begin {
            let why = format!("worker {} is missing", vacancy.worker);
            self.agenda.ask_change(Change::Grow {
                count: missing,
                why,
            });
            self.begin_next();
        }
    }
}

fn tell_fresh(worker: usize, elapsed: Duration) {
    tracing::info!(
        "worker {worker} has a fresh interpreter ({:.2} s)",
        elapsed.as_secs_f64()
    );
}
