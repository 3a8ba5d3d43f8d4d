//! The generation that serves, and the one that is tried out beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use crate::net::{Dispatch, Exchange, Net, Rejected};

use super::canary::Chooser;
use super::generation::Generation;
use super::worker_context::ServingGeneration;

/// Who gets requests. Never changed: another one takes its place.
struct Serving {
    generation: Arc<Generation>,
    /// One that gets a share of them, while there is one.
    canary: Option<Canary>,
}

struct Canary {
    generation: Arc<Generation>,
    chooser: Chooser,
}

/// The one place where the serving generation is named. Swapped as a whole; loaded once per request
/// that is queued. No thread keeps what it has loaded, so a generation that was swapped out ends
/// when its queue is dry.
///
/// No request is lost to a swap: a thread that has loaded the old generation in order to queue a
/// request keeps it alive until it has done so (arc-swap hands it a reference of its own), the
/// generation is retired by the drop of its last reference, and only a retired generation's workers
/// leave, after they have seen the queue dry *since*.
///
/// A canary's workers stay out of the poll (`Generation::leave_poll`): they wait for their queue
/// and not in the poll, so a thread that queues a request in it wakes one of them by that.
#[derive(Default)]
pub struct Current {
    serving: ArcSwapOption<Serving>,
    /// The number of the generation; set before the swap, so that a thread that queued a request in
    /// a generation can tell whether it may have been another than his own.
    id: AtomicU64,
}

impl Current {
    /// Puts a generation in charge, alone; the previous one, if any, is returned and gets no more
    /// requests. Neither does a canary, which ends with its last reference.
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

    /// Gives `share` of a million requests to `canary`, if there is a generation for the others. A
    /// canary that had a share before has this one instead. The main thread's, like `swap`: two at
    /// once would undo each other.
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

    /// Its number; 0 if there is none.
    pub fn id(&self) -> u64 {
        self.id.load(Ordering::SeqCst)
    }

    /// Ticks the GIL gates of a canary. Whether a job runs there. The acceptor calls it once a
    /// tick.
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
    /// A canary whose queue is full passes its share on: a canary refuses no request.
    fn submit(&self, exchange: Exchange, others: &Generation) -> Result<(), (Exchange, Rejected)> {
        if !self.chooser.is_canarys() {
            return others.submit(exchange);
        }
        self.generation
            .submit(exchange)
            .or_else(|(exchange, _)| others.submit(exchange))
    }
}
