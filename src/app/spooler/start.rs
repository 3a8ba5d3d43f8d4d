//! The spooler's threads of one generation: they start when it is in charge, and end with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::runner::SpoolerThread;
use crate::app::generation_state::GenerationState;
use crate::python::{InterpreterHandle, Isolation};

impl GenerationState {
    /// Tasks run in this generation from now on. It has the application, and is in charge.
    pub(in crate::app) fn start_spooler(self: &Arc<Self>) {
        let service = &self.setup.plan.process.spooler;
        if service.files.own().next().is_none() || !self.has_loaded() {
            return;
        }
        service.files.watch();
        service.files.take_charge(self.setup.id);
        if self.has_spooler.swap(true, Ordering::SeqCst) {
            return;
        }
        let main = match self.setup.isolation {
            Isolation::Main => self.main_interpreter(),
            Isolation::OwnGil | Isolation::SharedGil => None,
        };
        let mut number = 0;
        for directory in service.files.own() {
            for _ in 0..service.config.threads {
                number += 1;
                SpoolerThread::start(SpoolerThread {
                    shared: Arc::clone(self),
                    directory: Arc::clone(directory),
                    number,
                    main: main.clone(),
                });
            }
        }
    }

    fn has_loaded(&self) -> bool {
        let loadable = self.apps.loadable().unwrap_or_default();
        loadable.contains(&true) || self.setup.plan.apps.are_none_wanted()
    }

    fn main_interpreter(&self) -> Option<InterpreterHandle> {
        let records = self.setup.plan.process.harakiri.records();
        let own = records
            .iter()
            .find(|record| record.place.generation == self.setup.id);
        own.map(|record| record.interruption.interpreter())
    }
}
