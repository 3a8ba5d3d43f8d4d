//! The signals that wait for workers of one generation.
//!
//! A job is for any interpreter; a signal may be for one. Signals are few, so a mutex around a list
//! will do; between two jobs a worker reads one number. Any thread.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Waiting signals of one number; uWSGI's pipe holds fewer. Further ones are dropped and logged.
const WAITING_MAX: usize = 4096;

struct QueuedSignal {
    number: u8,
    to: Arc<[usize]>,
}

#[derive(Default)]
struct QueuedSignals {
    all: VecDeque<QueuedSignal>,
    counts: HashMap<u8, usize>,
    /// Numbers of which a signal was dropped since there was room.
    overflown: BTreeSet<u8>,
}

#[derive(Default)]
pub(in crate::app) struct SignalQueue {
    waiting: AtomicUsize,
    queued: Mutex<QueuedSignals>,
}

impl SignalQueue {
    pub(in crate::app) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Queues a signal for the first of these interpreters that takes it. Returns `false` if it was
    /// dropped.
    pub(in crate::app) fn put(&self, number: u8, to: Arc<[usize]>) -> bool {
        let mut queued = self.queued.lock();
        let count = queued.counts.entry(number).or_default();
        if *count >= WAITING_MAX {
            let is_first = queued.overflown.insert(number);
            drop(queued);
            if is_first {
                tracing::error!(
                    "*** SIGNAL QUEUE IS FULL: {WAITING_MAX} signals {number} wait for a worker; further ones are dropped until \
                     there is room ***"
                );
            }
            return false;
        }
        *count += 1;
        queued.all.push_back(QueuedSignal { number, to });
        self.waiting.store(queued.all.len(), Ordering::SeqCst);
        true
    }

    /// The oldest signal for this interpreter.
    pub(in crate::app) fn take(&self, worker: usize) -> Option<u8> {
        if self.waiting() == 0 {
            return None;
        }
        let mut queued = self.queued.lock();
        let at = queued
            .all
            .iter()
            .position(|signal| signal.to.contains(&worker))?;
        let number = queued.all.remove(at)?.number;
        if let Some(count) = queued.counts.get_mut(&number) {
            *count -= 1;
        }
        queued.overflown.remove(&number);
        self.waiting.store(queued.all.len(), Ordering::SeqCst);
        Some(number)
    }

    pub(in crate::app) fn has_for(&self, worker: usize) -> bool {
        self.waiting() > 0
            && self
                .queued
                .lock()
                .all
                .iter()
                .any(|signal| signal.to.contains(&worker))
    }

    /// The sets of interpreters for which signals wait.
    pub(in crate::app) fn recipients(&self) -> BTreeSet<Arc<[usize]>> {
        if self.waiting() == 0 {
            return BTreeSet::new();
        }
        let queued = self.queued.lock();
        queued
            .all
            .iter()
            .map(|signal| Arc::clone(&signal.to))
            .collect()
    }

    /// Drops signals for none of these interpreters.
    pub(in crate::app) fn keep_for(&self, present: &[usize]) {
        let mut queued = self.queued.lock();
        let QueuedSignals { all, counts, .. } = &mut *queued;
        all.retain(|signal| {
            let has_taker = signal.to.iter().any(|worker| present.contains(worker));
            if !has_taker && let Some(count) = counts.get_mut(&signal.number) {
                *count -= 1;
            }
            has_taker
        });
        self.waiting.store(queued.all.len(), Ordering::SeqCst);
    }

    pub(in crate::app) fn clear(&self) {
        let mut queued = self.queued.lock();
        *queued = QueuedSignals::default();
        self.waiting.store(0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(workers: &[usize]) -> Arc<[usize]> {
        workers.into()
    }

    #[test]
    fn each_letter_reaches_one_interpreter_it_is_for_in_order() {
        let post = SignalQueue::default();
        assert!(post.put(1, to(&[1, 2])));
        assert!(post.put(2, to(&[2])));
        assert!(post.put(3, to(&[1])));
        assert_eq!(post.waiting(), 3);
        let recipients: Vec<_> = post.recipients().into_iter().collect();
        assert_eq!(recipients, [to(&[1]), to(&[1, 2]), to(&[2])]);
        assert_eq!(post.take(2), Some(1));
        assert_eq!(post.take(1), Some(3));
        assert_eq!(post.take(1), None);
        assert!(post.has_for(2) && !post.has_for(1));
        assert_eq!(post.take(2), Some(2));
        assert_eq!(post.waiting(), 0);
        assert!(post.recipients().is_empty());
    }

    #[test]
    fn too_many_of_one_number_are_dropped_and_others_are_not() {
        let post = SignalQueue::default();
        for _ in 0..WAITING_MAX {
            assert!(post.put(7, to(&[1])));
        }
        assert!(!post.put(7, to(&[1])));
        assert!(post.put(8, to(&[1])));
        assert_eq!(post.take(1), Some(7));
        assert!(post.put(7, to(&[1])));
        post.clear();
        assert_eq!(post.take(1), None);
        assert!(post.put(7, to(&[1])));
    }
}
