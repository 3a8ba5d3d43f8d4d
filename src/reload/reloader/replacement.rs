//! Replaces one interpreter by a fresh one, which starts before or, where memory is short, after
//! the old one has ended. Decided on the main thread, done on `sm-reload`.

use std::time::{Duration, Instant};

use super::state::Reloader;
use crate::app::{Deadlines, RecycleRequest, StartError, Workers};
use crate::reload::builder::can_roll;
use crate::reload::pending::Resize;
use crate::reload::task::{Failed, MissingWorker, TaskOutcome};

impl Reloader {
    /// Replaces an interpreter. The fresh one starts first if there is room for both.
    pub(super) fn replace(&mut self, due: RecycleRequest, workers: Workers, deadlines: Deadlines) {
        let RecycleRequest {
            worker, group, why, ..
        } = due;
        let mercy = self.builder.config().process.reload_mercy;
        let shortage = self.memory.shortage(&workers);
        let Some(shortage) = shortage.filter(|_| can_roll(&workers)) else {
            tracing::info!("worker {worker}: {why}; it gets a fresh interpreter");
            let grace = self.builder.replaced_grace();
            self.run(move || TaskOutcome::Replaced {
                worker,
                result: workers.replace(group, &deadlines, grace, false),
            });
            return;
        };
        tracing::info!(
            "worker {worker}: {why}; it leaves before it gets a fresh interpreter: {shortage}"
        );
        // The time that the old interpreter takes to end does not count for the fresh one.
        let until = deadlines.until.and_then(|until| until.checked_add(mercy));
        let deadlines = Deadlines { until, ..deadlines };
        let missing = MissingWorker {
            generation: workers.generation(),
            group,
            worker,
            wanted: workers.groups().len(),
        };
        self.run(move || TaskOutcome::ReplacedOldFirst {
            missing,
            result: workers.replace_after_stop(group, &deadlines, mercy),
        });
    }

    /// Reports a replacement in which the fresh interpreter starts first.
    pub(super) fn report_replaced(worker: usize, result: Result<Duration, StartError>) {
        match result {
            Ok(elapsed) => report_fresh(worker, elapsed),
            Err(StartError::Gone | StartError::Cancelled) => {}
            Err(error) => {
                tracing::error!("worker {worker} gets no fresh interpreter and serves on: {error}");
            }
        }
    }

    pub(super) fn report_replaced_old_first(
        &mut self,
        missing: MissingWorker,
        result: Result<Option<Duration>, StartError>,
    ) {
        let worker = missing.worker;
        match result {
            Ok(Some(elapsed)) => {
                report_fresh(worker, elapsed);
                return;
            }
            Ok(None) => tracing::warn!(
                "worker {worker} is still in a request after {} s (--reload-mercy); it gets a \
                 fresh interpreter when it has left, or there is room for both",
                self.builder.config().process.reload_mercy.as_secs()
            ),
            Err(StartError::Gone) => return,
            Err(error) => {
                // `None`: the server stops.
                let Some(reason) = Failed::Start(error).reason() else {
                    return;
                };
                let count = self.workers().map_or(0, |workers| workers.groups().len());
                let pause = self.autoscaler.note_start(false).as_secs();
                tracing::error!(
                    "worker {worker} has left and has no fresh interpreter yet, those that there \
                     are ({count}) serve on: {reason}; the next attempt in {pause} s or later"
                );
            }
        }
        self.missing = Some(missing);
    }

    /// Starts the missing interpreter, if there is one. Once a look at the memory.
    pub(super) fn start_missing(&mut self, workers: &Workers) {
        let Some(one) = &self.missing else { return };
        let missing = one.wanted.saturating_sub(workers.groups().len());
        if one.generation != workers.generation() || missing == 0 || workers.is_idle() {
            self.missing = None;
            return;
        }
        let may_begin = self.autoscaler.may_grow(Instant::now())
            && (workers.has_left(one.group) || self.memory.has_room(workers));
        if may_begin {
            let why = format!("worker {} is missing", one.worker);
            self.pending.ask_resize(Resize::Grow {
                count: missing,
                why,
            });
            self.start_next();
        }
    }
}

fn report_fresh(worker: usize, elapsed: Duration) {
    tracing::info!(
        "worker {worker} has a fresh interpreter ({:.2} s)",
        elapsed.as_secs_f64()
    );
}
