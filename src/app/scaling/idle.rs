//! Whether a generation has any interpreter. `--cheap` and `--idle` stop the last one; the next
//! request starts one.
//!
//! Requests are queued meanwhile. The thread that queues the first one reports it, and an
//! interpreter is started. If that fails, waiting requests and, for a while, later ones get 503. No
//! Python; any thread.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

const AWAKE: u8 = 0;
/// No interpreter; a request starts one.
const ASLEEP: u8 = 1;
/// No interpreter: its start failed.
const BROKEN: u8 = 2;

/// The first pause after a failure; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(crate) struct IdleState {
    /// Read by each thread that queues a request; written rarely.
    state: AtomicU8,
    is_wanted: AtomicBool,
    failure: Mutex<Failure>,
}

#[derive(Debug, Default)]
struct Failure {
    count: u32,
    until: Option<Instant>,
}

impl IdleState {
    /// Whether no interpreter serves.
    ///
    /// A sender queues and then reads the state; the thread that stops the last interpreter writes
    /// the state and then looks into the queue, all sequentially consistent. So no request is
    /// missed.
    pub(crate) fn is_asleep(&self) -> bool {
        self.state.load(Ordering::SeqCst) != AWAKE
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.state.load(Ordering::Relaxed) == BROKEN && self.is_pausing()
    }

    fn is_pausing(&self) -> bool {
        self.failure
            .lock()
            .until
            .is_some_and(|until| Instant::now() < until)
    }

    pub(crate) fn fall_asleep(&self) {
        self.state.store(ASLEEP, Ordering::SeqCst);
    }

    pub(crate) fn wake(&self) {
        *self.failure.lock() = Failure::default();
        self.state.store(AWAKE, Ordering::SeqCst);
        self.is_wanted.store(false, Ordering::SeqCst);
    }

    /// A start failed. Returns the pause before the next attempt.
    pub(crate) fn fail(&self) -> Duration {
        let pause = {
            let mut failure = self.failure.lock();
            let pause = PAUSE_MIN
                .saturating_mul(1 << failure.count.min(8))
                .min(PAUSE_MAX);
            failure.count += 1;
            failure.until = Some(Instant::now() + pause);
            pause
        };
        self.state.store(BROKEN, Ordering::SeqCst);
        self.is_wanted.store(false, Ordering::SeqCst);
        pause
    }

    /// The waiting requests were answered.
    pub(crate) fn unwant(&self) {
        self.is_wanted.store(false, Ordering::SeqCst);
    }

    /// A request needs an interpreter. Returns `true` for the first one.
    pub(crate) fn becomes_wanted(&self) -> bool {
        !self.is_wanted.swap(true, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_first_asks() {
        let idle = IdleState::default();
        assert!(!idle.is_asleep());
        idle.fall_asleep();
        assert!(idle.is_asleep() && !idle.is_broken());
        assert!(idle.becomes_wanted() && !idle.becomes_wanted());
        idle.wake();
        assert!(!idle.is_asleep());
        assert!(idle.becomes_wanted(), "the next time");
    }

    #[test]
    fn pauses_grow_and_end_with_success() {
        let idle = IdleState::default();
        idle.fall_asleep();
        let pauses: Vec<_> = (0..7).map(|_| idle.fail().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert!(idle.is_asleep() && idle.is_broken());
        idle.wake();
        assert!(!idle.is_asleep() && !idle.is_broken());
        assert_eq!(idle.fail().as_secs(), 1);
    }
}
