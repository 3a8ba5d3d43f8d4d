//! How a generation was made: plain values that do not change.

use crate::python::{Isolation, Runtime};

use crate::app::gil_gate::GilKey;
use crate::app::plan::Plan;
use crate::app::worker_context::WorkerContext;

pub struct Setup {
    /// The generation's number.
    pub(in crate::app) id: u64,
    pub(in crate::app) plan: Plan,
    pub(in crate::app) runtime: &'static Runtime,
    pub(in crate::app) context: WorkerContext,
    pub(in crate::app) isolation: Isolation,
}

impl Setup {
    pub(in crate::app) fn interpreters(&self) -> usize {
        self.plan.shape(self.isolation).0
    }

    pub(in crate::app) fn interpreters_at_first(&self) -> usize {
        self.plan.at_first.clamp(1, self.interpreters())
    }

    pub(in crate::app) fn threads_per_interpreter(&self) -> usize {
        self.plan.shape(self.isolation).1
    }

    /// Whether several threads share a GIL.
    pub(in crate::app) fn shares_gil(&self) -> bool {
        !self.runtime.runs_in_parallel()
            && match self.isolation {
                Isolation::OwnGil => self.plan.threads > 1,
                Isolation::SharedGil | Isolation::Main => {
                    self.plan.threads * self.plan.interpreters > 1
                }
            }
    }

    /// The GIL of a group's threads.
    pub(super) fn gil_of(&self, group: u64) -> GilKey {
        let has_own = self.isolation == Isolation::OwnGil;
        GilKey(has_own.then_some(group))
    }
}
