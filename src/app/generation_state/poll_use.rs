//! Whether the workers of a generation wait in the poll or for the queue alone.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

#[derive(Default)]
pub(super) struct PollUse {
    is_off: AtomicBool,
    /// Disconnects when the workers may poll again.
    recall: Mutex<Option<(Sender<Infallible>, Receiver<Infallible>)>>,
}

impl PollUse {
    pub(super) fn is_off(&self) -> bool {
        self.is_off.load(Ordering::SeqCst)
    }

    pub(super) fn end(&self) {
        self.recall.lock().get_or_insert_with(|| bounded(0));
        self.is_off.store(true, Ordering::SeqCst);
    }

    pub(super) fn resume(&self) {
        self.is_off.store(false, Ordering::SeqCst);
        self.recall.lock().take();
    }

    pub(super) fn recall(&self) -> Receiver<Infallible> {
        match &*self.recall.lock() {
            Some((_, recall)) => recall.clone(),
            None => bounded(0).1,
        }
    }
}
