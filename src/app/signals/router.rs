//! Which interpreters take a signal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::background::registrations::{Registrations, Route};

use super::queue::SignalQueue;

pub(in crate::app) struct Signals {
    pub(in crate::app) registrations: Registrations,
    pub(in crate::app) queue: SignalQueue,
    /// Signals without a handler for which that was logged.
    undeliverable: [AtomicBool; 256],
}

impl Signals {
    pub(in crate::app) fn new(generation: u64) -> Self {
        Self {
            registrations: Registrations::new(generation),
            queue: SignalQueue::default(),
            undeliverable: [const { AtomicBool::new(false) }; 256],
        }
    }

    /// The serving workers that get a signal: one of each list takes it. A signal for the spooler is
    /// raised there.
    pub(super) fn recipients_of(
        &self,
        number: u8,
        serves: impl Fn(&usize) -> bool,
        raise_in_spooler: impl FnOnce() -> bool,
    ) -> Vec<Arc<[usize]>> {
        match self.registrations.route(number) {
            Route::Any(mut workers) => {
                workers.retain(serves);
                let is_any = !workers.is_empty();
                is_any.then(|| workers.into()).into_iter().collect()
            }
            Route::Each(workers) => {
                let workers = workers.into_iter().filter(serves);
                workers.map(|one| [one].into()).collect()
            }
            Route::Spooler => {
                if !raise_in_spooler() {
                    let why = format!(
                        "signal {number} was raised for the spooler, of which there is none"
                    );
                    self.warn(number, &why);
                }
                Vec::new()
            }
            Route::Nowhere(why) => {
                self.warn(number, &why);
                Vec::new()
            }
        }
    }

    /// Once: a timer raises a signal at every tick.
    fn warn(&self, number: u8, why: &str) {
        if !self.undeliverable[usize::from(number)].swap(true, Ordering::Relaxed) {
            tracing::warn!("{why}");
        } else {
            tracing::debug!("{why}");
        }
    }
}
