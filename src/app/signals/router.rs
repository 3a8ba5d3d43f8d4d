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

    /// The serving workers that get a signal: one of each list takes it.
    pub(super) fn recipients_of(
        &self,
        number: u8,
        serves: impl Fn(&usize) -> bool,
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
            Route::Nowhere(why) => {
                // Once: a timer raises it at every tick.
                if !self.undeliverable[usize::from(number)].swap(true, Ordering::Relaxed) {
                    tracing::warn!("{why}");
                } else {
                    tracing::debug!("{why}");
                }
                Vec::new()
            }
        }
    }
}
