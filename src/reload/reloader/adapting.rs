//! The number of interpreters follows the load: what the supervisor asks for, and what came of it. All of it on the main thread;
//! the policy is `adaptation`, the work `changing`.

use std::time::{Duration, Instant};

use super::{Failed, Reloader, Then, can_roll};
use crate::app::Roster;
use crate::reload::autoscale::Found;
use crate::reload::pending::Change;
use crate::reload::resize::{Changed, listed};

impl Reloader {
    /// The server has begun. With `--cheap` it lets its interpreters go: they have shown that the application loads.
    pub fn begin(&mut self) {
        if self.recipe.autoscale.cheap {
            self.rest("--cheap");
        }
    }

    /// No interpreter is wanted until the next request.
    pub fn rest(&mut self, by: &str) {
        // It would wake with another version than the one that serves.
        let is_another = self.is_code_another();
        let can_rest = |roster: Roster| !is_another && can_roll(&roster) && !roster.is_at_rest();
        if !self.roster().is_some_and(can_rest) {
            tracing::info!("{by}: there is no interpreter that could be ended");
            return;
        }
        self.agenda.ask_change(Change::Rest);
        self.begin_next();
    }

    /// The operator wants one more interpreter, or one less; the last one stays.
    pub fn adjust(&mut self, by: &str, is_up: bool) {
        let Some(roster) = self.roster().filter(can_roll) else {
            tracing::info!("{by}: the number of interpreters cannot be changed here");
            return;
        };
        let count = roster.crews().len();
        if is_up && self.is_code_another() {
            tracing::info!("{by}: what serves is not the newest version; reload first");
            return;
        }
        if is_up && count >= roster.most() {
            tracing::info!("{by}: there are {count} interpreters already (--processes)");
            return;
        }
        let why = by.to_owned();
        self.agenda.ask_change(if is_up {
            Change::Grow { count: 1, why }
        } else {
            Change::Shrink { why }
        });
        self.begin_next();
    }

    /// Generation `id` has requests and no interpreter. `is_stopping`: it gets none any more.
    pub fn wanted(&mut self, id: u64, is_stopping: bool) {
        let roster = self.roster();
        // One that is in charge no more has handed its requests on.
        let Some(roster) = roster.filter(|roster| roster.generation() == id && roster.is_at_rest())
        else {
            return;
        };
        if roster.is_broken() || (is_stopping && !self.is_waking) {
            roster.turn_away();
            return;
        }
        self.agenda.ask_change(Change::Wake);
        self.begin_next();
    }

    /// Looks whether there are to be more or fewer interpreters. Once every [`looks_every`](Self::looks_every).
    pub fn look(&mut self) -> Then {
        let Some(roster) = self.roster().filter(|_| !self.is_busy()) else {
            return Then::GoOn;
        };
        match self.adaptation.look(&roster, Instant::now()) {
            Found::Nothing => {}
            Found::Die => return Then::Stop,
            // They would load another version than the one that serves, or wake with it.
            Found::Change(Change::Grow { .. } | Change::Rest) if self.is_code_another() => {}
            Found::Change(change) => {
                self.agenda.ask_change(change);
                self.begin_next();
            }
        }
        Then::GoOn
    }

    /// How often to [`look`](Self::look); `None`: never.
    pub fn looks_every(&self) -> Option<Duration> {
        self.adaptation.cycle(self.roster().as_ref())
    }

    pub(super) fn tell_changed(&mut self, changed: Changed, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        let count = self.roster().map_or(0, |roster| roster.crews().len());
        match changed {
            Changed::Grew(Ok(workers)) if workers.is_empty() => {}
            Changed::Grew(Ok(workers)) => {
                self.adaptation.note_birth(true);
                tracing::info!(
                    "interpreters: {count} (worker {} is new, {seconds:.2} s)",
                    listed(&workers)
                );
            }
            Changed::Grew(Err(error)) => {
                if let Some(reason) = Failed::Start(error).reason() {
                    let pause = self.adaptation.note_birth(false).as_secs();
                    tracing::error!(
                        "no further interpreter, those that there are ({count}) serve on: {reason}; the next attempt in {pause} s or later"
                    );
                }
            }
            Changed::Shrank(Some(worker)) => {
                tracing::info!("interpreters: {count} (worker {worker} is cheap now)");
            }
            Changed::Shrank(None) => tracing::info!("the last interpreter stays"),
            Changed::Rested(true) => {
                tracing::info!("cheap mode enabled: waiting for a request, no interpreter runs");
            }
            Changed::Rested(false) => {
                tracing::info!("a request came: the interpreters stay");
                // At a start or a reload without requests only one is made.
                let most = self.roster().map_or(0, |roster| roster.most());
                let missing = self.adaptation.at_waking(most).saturating_sub(count);
                if missing > 0 {
                    let why = "there are requests".to_owned();
                    self.agenda.ask_change(Change::Grow {
                        count: missing,
                        why,
                    });
                }
            }
            Changed::Woke(Ok(count)) => {
                tracing::info!("cheap mode disabled, interpreters: {count} ({seconds:.2} s)");
            }
            Changed::Woke(Err((error, pause))) => {
                if let Some(reason) = Failed::Start(error).reason() {
                    tracing::error!(
                        "no interpreter could be started, requests are answered 503: {reason}; the next attempt at the first request in {} s",
                        pause.as_secs()
                    );
                }
            }
        }
    }
}
