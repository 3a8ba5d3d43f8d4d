//! The generation that serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use crate::net::{Dispatch, Exchange, Net, Rejected};

use super::generation::Generation;

/// The one place where the serving generation is named. Swapped as a whole; loaded once per request that
/// is queued. Nobody keeps what was loaded, so a generation that was swapped out ends when its queue is dry.
///
/// No request is lost to a swap: a thread that has loaded the old generation in order to queue a request keeps it alive
/// until it has done so (arc-swap hands it a reference of its own), the generation is retired by the drop of its last
/// reference, and only a retired generation's workers leave, after they have seen the queue dry *since*.
#[derive(Default)]
pub struct Current {
    generation: ArcSwapOption<Generation>,
    /// The number of the generation; set before the swap, so that whoever queued a request in a generation can tell
    /// whether it may have been another than his own.
    id: AtomicU64,
}

impl Current {
    /// Puts a generation in charge; the previous one, if any, is returned and gets no more requests.
    pub fn swap(&self, next: Option<Arc<Generation>>) -> Option<Arc<Generation>> {
        let id = next.as_ref().map_or(0, |next| next.id());
        self.id.store(id, Ordering::SeqCst);
        self.generation.swap(next)
    }

    /// The generation in charge.
    pub fn load(&self) -> Option<Arc<Generation>> {
        self.generation.load_full()
    }

    /// Its number; 0 if there is none.
    pub fn id(&self) -> u64 {
        self.id.load(Ordering::SeqCst)
    }

    /// A worker of generation `own` has queued requests: if they went to another one, that one's workers may all be asleep.
    pub(super) fn wake_successor(&self, own: u64, net: &Net) {
        if self.id() != own
            && let Some(generation) = &*self.generation.load()
        {
            generation.queue().wake_if_idle(net);
        }
    }
}

impl Dispatch for Current {
    fn submit(&self, exchange: Exchange) -> Result<(), (Exchange, Rejected)> {
        match &*self.generation.load() {
            Some(generation) => generation.submit(exchange),
            None => Err((exchange, Rejected::Stopped)),
        }
    }

    fn is_ready(&self) -> bool {
        let generation = self.generation.load();
        generation
            .as_ref()
            .is_some_and(|generation| generation.is_healthy())
    }
}
