//! More or fewer interpreters: requests from the operator, the policy (`autoscale`) and waiting
//! clients, and the reports about them. On the main thread; `resize` does the work.

use std::time::{Duration, Instant};

use super::state::{Action, Reloader};
use crate::app::Workers;
use crate::reload::autoscale::Advice;
use crate::reload::builder::can_roll;
use crate::reload::pending::Resize;
use crate::reload::resize::{Resized, WakeError};
use crate::reload::task::Failed;

impl Reloader {
    /// The server serves. With `--cheap` the interpreters end: they have shown that the application
    /// loads.
    pub fn begin(&mut self) {
        if self.builder.config().workers.autoscale.cheap {
            self.rest("--cheap");
        }
    }

    /// Ends every interpreter until the next request.
    pub fn rest(&mut self, by: &str) {
        // After a rest they would load other code than the one that serves.
        let has_other_code = self.disk_has_other_code();
        let can_rest =
            |workers: Workers| !has_other_code && can_roll(&workers) && !workers.is_idle();
        if !self.workers().is_some_and(can_rest) {
            tracing::info!("{by}: there is no interpreter that could be ended");
            return;
        }
        self.pending.ask_resize(Resize::Rest);
        self.start_next();
    }

    /// Starts or ends one interpreter, for the operator; the last one stays.
    pub fn adjust(&mut self, by: &str, is_up: bool) {
        let Some(workers) = self.workers().filter(can_roll) else {
            tracing::info!("{by}: the number of interpreters cannot be changed here");
            return;
        };
        let count = workers.groups().len();
        if is_up && self.disk_has_other_code() {
            tracing::info!("{by}: what serves is not the newest version; reload first");
            return;
        }
        if is_up && count >= workers.most() {
            tracing::info!("{by}: there are {count} interpreters already (--processes)");
            return;
        }
        let why = by.to_owned();
        self.pending.ask_resize(if is_up {
            Resize::Grow { count: 1, why }
        } else {
            Resize::Shrink { why }
        });
        self.start_next();
    }

    /// Generation `id` has requests and no interpreter. `is_stopping`: the requests are refused.
    pub fn wanted(&mut self, id: u64, is_stopping: bool) {
        let workers = self.workers();
        // A generation that is no longer in charge has passed its requests on.
        let Some(workers) =
            workers.filter(|workers| workers.generation() == id && workers.is_idle())
        else {
            return;
        };
        if workers.is_broken() || (is_stopping && !self.is_waking) {
            workers.turn_away();
            return;
        }
        self.pending.ask_resize(Resize::Wake);
        self.start_next();
    }

    /// Asks the policy. Call once every [`look_period`](Self::look_period).
    pub fn look(&mut self) -> Action {
        let Some(workers) = self.workers().filter(|_| !self.is_busy()) else {
            return Action::GoOn;
        };
        match self.autoscaler.look(&workers, Instant::now()) {
            Advice::Stay => {}
            Advice::Die => return Action::Stop,
            // Fresh interpreters would load other code than the one that serves.
            Advice::Resize(Resize::Grow { .. } | Resize::Rest) if self.disk_has_other_code() => {}
            Advice::Resize(change) => {
                self.pending.ask_resize(change);
                self.start_next();
            }
        }
        Action::GoOn
    }

    /// How often to [`look`](Self::look); `None`: never.
    pub fn look_period(&self) -> Option<Duration> {
        self.autoscaler.cycle(self.workers().as_ref())
    }

    pub(super) fn report_resized(&mut self, resized: Resized, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        let count = self.workers().map_or(0, |workers| workers.groups().len());
        match resized {
            Resized::Grew(Ok(workers)) if workers.is_empty() => {}
            Resized::Grew(Ok(workers)) => {
                self.autoscaler.note_start(true);
                tracing::info!(
                    "interpreters: {count} (worker {} is new, {seconds:.2} s)",
                    workers
                        .iter()
                        .map(usize::to_string)
                        .collect::<Vec<_>>()
                        .join(", ")
                );
            }
            Resized::Grew(Err(error)) => {
                if let Some(reason) = Failed::Start(error).reason() {
                    let pause = self.autoscaler.note_start(false).as_secs();
                    tracing::error!(
                        "no further interpreter, those that there are ({count}) serve on: \
                         {reason}; the next attempt in {pause} s or later"
                    );
                }
            }
            Resized::Shrank(Some(worker)) => {
                tracing::info!("interpreters: {count} (worker {worker} is cheap now)");
            }
            Resized::Shrank(None) => tracing::info!("the last interpreter stays"),
            Resized::Rested(true) => {
                tracing::info!("cheap mode enabled: waiting for a request, no interpreter runs");
            }
            Resized::Rested(false) => {
                tracing::info!("a request came: the interpreters stay");
                // A start or a reload without requests starts only one interpreter.
                let most = self.workers().map_or(0, |workers| workers.most());
                let missing = self.autoscaler.at_waking(most).saturating_sub(count);
                if missing > 0 {
                    let why = "there are requests".to_owned();
                    self.pending.ask_resize(Resize::Grow {
                        count: missing,
                        why,
                    });
                }
            }
            Resized::Woke(Ok(count)) => {
                tracing::info!("cheap mode disabled, interpreters: {count} ({seconds:.2} s)");
            }
            Resized::Woke(Err(WakeError { error, pause })) => {
                if let Some(reason) = Failed::Start(error).reason() {
                    tracing::error!(
                        "no interpreter could be started, requests are answered 503: {reason}; \
                         the next attempt at the first request in {} s",
                        pause.as_secs()
                    );
                }
            }
        }
    }
}
