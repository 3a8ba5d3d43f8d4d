//! Wakes the acceptor while it sleeps or waits in the poll. Any thread.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

use crate::net::Net;

/// The shortest time between two wakes out of the poll.
const CALL_PAUSE: Duration = Duration::from_millis(1);

#[derive(Default)]
pub struct AcceptorWaker {
    pub(super) is_asleep: AtomicBool,
    /// The acceptor waits in the poll without a timeout, and no other thread polls.
    pub(super) polls_alone: AtomicBool,
    pub(super) thread: OnceLock<Thread>,
}

impl AcceptorWaker {
    /// Something happened: the acceptor must look again. Costs one load while it is awake.
    pub fn wake(&self) {
        if self.is_asleep.load(Ordering::SeqCst) && self.is_asleep.swap(false, Ordering::SeqCst) {
            self.unpark();
        }
    }

    /// Wakes the acceptor out of the poll, where it waits alone while no interpreter serves. Call
    /// it when an interpreter serves, before that takes a turn.
    pub fn call_from_poll(&self, net: &Net) {
        while self.polls_alone.load(Ordering::SeqCst) {
            net.poll().wake();
            std::thread::sleep(CALL_PAUSE);
        }
    }

    pub(super) fn unpark(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}
