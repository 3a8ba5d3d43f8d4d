//! The time limits of requests, and the clock and waker of the watching thread. Any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};

use crate::config::HarakiriRules;
use parking_lot::{Condvar, Mutex};

pub(crate) struct RequestLimits {
    rules: ArcSwap<HarakiriRules>,
    started: Instant,
    is_wanted: AtomicBool,
    must_look: (Mutex<bool>, Condvar),
}

impl RequestLimits {
    pub(super) fn new(rules: HarakiriRules) -> Self {
        Self {
            is_wanted: AtomicBool::new(rules.limit.is_some()),
            rules: ArcSwap::from_pointee(rules),
            started: Instant::now(),
            must_look: Default::default(),
        }
    }

    /// Whether requests are watched. One load.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    pub(crate) fn rules(&self) -> Guard<Arc<HarakiriRules>> {
        self.rules.load()
    }

    /// Sets the rules of requests that begin from now on.
    pub(super) fn set_rules(&self, rules: HarakiriRules) {
        self.rules.store(Arc::new(rules));
    }

    pub(super) fn want(&self) {
        self.is_wanted.store(true, Ordering::SeqCst);
    }

    pub(crate) fn ms_of(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.started);
        // Rounded up: never early, and never 0, which means no deadline.
        u64::try_from(since.as_micros().div_ceil(1000)).map_or(u64::MAX, |ms| ms.max(1))
    }

    /// Wakes the watching thread: a deadline may be nearer.
    pub(crate) fn look(&self) {
        *self.must_look.0.lock() = true;
        self.must_look.1.notify_all();
    }

    /// Waits up to `timeout`, or until [`look`](Self::look) is called.
    pub(super) fn wait(&self, timeout: Option<Duration>) {
        let mut must_look = self.must_look.0.lock();
        if !*must_look {
            match timeout {
                Some(timeout) => {
                    self.must_look.1.wait_for(&mut must_look, timeout);
                }
                None => self.must_look.1.wait(&mut must_look),
            }
        }
        *must_look = false;
    }
}
