//! The generation that serves, and the canary beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use crate::net::{Dispatch, Exchange, Net, Rejected};

use super::canary::Chooser;
use super::generation::Generation;
use super::worker_context::ServingGeneration;

/// Immutable; replaced as a whole.
struct Serving {
    generation: Arc<Generation>,
    canary: Option<Canary>,
}

struct Canary {
    generation: Arc<Generation>,
    chooser: Chooser,
}

/// The serving generation. Swapped as a whole, loaded once per queued request.
///
/// No request is lost by a swap: a thread that queues a request holds a reference to the generation
/// that it loaded; the generation retires when its last reference is dropped; the workers of a
/// retired generation leave after they have seen the queue empty *since*.
///
/// A canary's workers wait for their queue and not in the poll (`Generation::leave_poll`), so a
/// queued request wakes one of them.
#[derive(Default)]
pub struct Current {
    serving: ArcSwapOption<Serving>,
    /// Set before the swap, so that a thread can tell that it may have queued a request in a newer
    /// generation.
    id: AtomicU64,
}

impl Current {
    /// Puts a generation in charge and returns the previous one, which gets no more requests. A
    /// canary ends.
    pub fn swap(&self, next: Option<Arc<Generation>>) -> Option<Arc<Generation>> {
        let id = next.as_ref().map_or(0, |next| next.id());
        self.id.store(id, Ordering::SeqCst);
        let next = next.map(|generation| {
            Arc::new(Serving {
                generation,
                canary: None,
            })
        });
        let before = self.serving.swap(next)?;
        Some(Arc::clone(&before.generation))
    }

    /// Gives `share` of a million requests to `canary`, if there is a generation for the others.
    /// Main thread only, like `swap`.
    pub fn try_out(&self, canary: &Arc<Generation>, share: u32) {
        if let Some(generation) = self.load() {
            self.serving.store(Some(Arc::new(Serving {
                generation,
                canary: Some(Canary {
                    generation: Arc::clone(canary),
                    chooser: Chooser::new(share),
                }),
            })));
        }
    }

    pub fn load(&self) -> Option<Arc<Generation>> {
        let serving = self.serving.load();
        serving
            .as_ref()
            .map(|serving| Arc::clone(&serving.generation))
    }

    pub fn id(&self) -> u64 {
        self.id.load(Ordering::SeqCst)
    }

    /// Ticks the GIL gates of a canary. Returns whether a job runs there.
    pub(super) fn tick_canary(&self) -> bool {
        let serving = self.serving.load();
        let canary = serving.as_ref().and_then(|serving| serving.canary.as_ref());
        canary.is_some_and(|canary| canary.generation.tick())
    }
}

impl ServingGeneration for Current {
    fn wake_successor(&self, own: u64, net: &Net) {
        if self.id() != own
            && let Some(serving) = &*self.serving.load()
        {
            serving.generation.queue().wake_if_idle(net);
        }
    }

    fn pass_wake_on(&self, own: u64, net: &Net) -> bool {
        if self.id() == own {
            return false;
        }
        let serving = self.serving.load();
        let queue = serving.as_ref().map(|serving| serving.generation.queue());
        let Some(queue) = queue.filter(|queue| queue.has_jobs()) else {
            return false;
        };
        queue.wake_if_idle(net);
        true
    }
}

impl Dispatch for Current {
    fn submit(&self, exchange: Exchange) -> Result<(), (Exchange, Rejected)> {
        match &*self.serving.load() {
            Some(serving) => match &serving.canary {
                None => serving.generation.submit(exchange),
                Some(canary) => canary.submit(exchange, &serving.generation),
            },
            None => Err((exchange, Rejected::Stopped)),
        }
    }

    fn is_ready(&self) -> bool {
        let serving = self.serving.load();
        serving
            .as_ref()
            .is_some_and(|serving| serving.generation.is_healthy())
    }
}

impl Canary {
    /// A full canary passes requests to the others and refuses none.
    fn submit(&self, exchange: Exchange, others: &Generation) -> Result<(), (Exchange, Rejected)> {
        if !self.chooser.is_canarys() {
            return others.submit(exchange);
        }
        self.generation
            .submit(exchange)
            .or_else(|(exchange, _)| others.submit(exchange))
    }
}
