//! Replaces a worker that harakiri abandoned. Runs on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use crate::net::Net;
use crate::python::Isolation;

use super::generation_state::GenerationState;
use super::harakiri::worker_record::{ServedGeneration, WorkerRecord};
use super::load_generation::{ProbeRule, load_group, replace_thread};
use super::start_report::{Deadlines, StartError};
use super::worker_group::{StartGate, WorkerGroup};

impl ServedGeneration for GenerationState {
    fn waiting(&self) -> usize {
        self.queue().len()
    }

    fn is_retired(&self) -> bool {
        self.is_retired()
    }

    fn net(&self) -> &Net {
        &self.setup.context.net
    }

    fn thread_is_abandoned(&self, record: &WorkerRecord) {
        self.thread_is_abandoned(&record.place.group, record.place.is_sibling);
    }

    fn replace_abandoned(self: Arc<Self>, record: &WorkerRecord) {
        replace(&self, record);
    }
}

const REPLACE_PAUSE: Duration = Duration::from_secs(5);

fn replace(shared: &Arc<GenerationState>, record: &WorkerRecord) {
    let (worker, core) = (record.place.id.worker, record.place.id.core);
    let group = &record.place.group;
    let is_main = shared.setup.isolation == Isolation::Main;
    // The first abandoned thread of an interpreter replaces the whole interpreter.
    if !is_main && !group.becomes_replaced() {
        return;
    }
    while !group.is_stopped() {
        let replaced = if is_main {
            replace_thread(shared, group, core, record.interruption.interpreter())
        } else {
            replace_group(shared, group)
        };
        match replaced {
            Ok(()) => {
                tracing::warn!(worker, core, "a worker that was given up has a successor");
                return;
            }
            Err(error) => {
                tracing::error!(
                    worker,
                    core,
                    "cannot replace a worker that was given up: {error}; trying again in {} s",
                    REPLACE_PAUSE.as_secs()
                );
                std::thread::sleep(REPLACE_PAUSE);
            }
        }
    }
}

fn replace_group(
    shared: &Arc<GenerationState>,
    group: &Arc<WorkerGroup>,
) -> Result<(), StartError> {
    let fresh = shared.add_group(group.worker, StartGate::Shut);
    let reported = load_group(shared, &fresh, &Deadlines::endless(), ProbeRule::Free);
    match &reported {
        Ok(()) => {
            fresh.open_start_gate();
            shared.stop(group);
        }
        Err(_) => shared.stop(&fresh),
    }
    reported
}
