//! The generation that serves.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::net::{Dispatch, Exchange, Rejected};

use super::generation::Generation;

/// The one place where the serving generation is named. Swapped as a whole; loaded once per request that
/// is queued. Nobody keeps what was loaded, so a generation that was swapped out ends when its queue is dry.
#[derive(Default)]
pub struct Current {
    generation: ArcSwapOption<Generation>,
}

impl Current {
    /// Puts a generation in charge; the previous one, if any, is returned and gets no more requests.
    pub fn swap(&self, next: Option<Arc<Generation>>) -> Option<Arc<Generation>> {
        self.generation.swap(next)
    }

    /// The generation in charge.
    pub fn load(&self) -> Option<Arc<Generation>> {
        self.generation.load_full()
    }
}

impl Dispatch for Current {
    fn submit(&self, exchange: Exchange) -> Result<(), (Exchange, Rejected)> {
        match &*self.generation.load() {
            Some(generation) => generation.submit(exchange),
            None => Err((exchange, Rejected::Stopped)),
        }
    }
}
