//! Idle connections that wait to be handed to another process, and the listeners that were set
//! aside.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::listener::Listener;
use super::plain_stream::Handle;

/// A connection without a request under way.
#[derive(Debug)]
pub struct ParkedConnection {
    pub socket: Handle,
    pub listener: usize,
    /// Bytes of its next requests that were read already.
    pub unread: Vec<u8>,
}

#[derive(Default)]
pub(super) struct ParkedQueue {
    parked: Mutex<Parked>,
    /// A connection was queued, or the queue was closed.
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct Parked {
    is_open: bool,
    pub(super) connections: VecDeque<ParkedConnection>,
    /// The listeners, which accept nothing meanwhile.
    pub(super) listeners: Vec<Listener>,
}

impl ParkedQueue {
    pub(super) fn lock(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock()
    }

    /// Sets the listeners aside and accepts connections.
    pub(super) fn open(&self, listeners: Vec<Listener>) {
        let mut parked = self.lock();
        parked.listeners = listeners;
        parked.is_open = true;
    }

    /// Accepts no more connections. Those in the queue stay there.
    pub(super) fn close(&self) {
        self.lock().is_open = false;
        self.changed.notify_all();
    }

    /// Queues what `park` returns, unless the queue is closed. Returns whether it was queued.
    pub(super) fn push(&self, park: impl FnOnce() -> Option<ParkedConnection>) -> bool {
        let mut parked = self.lock();
        if !parked.is_open {
            return false;
        }
        let Some(connection) = park() else {
            return false;
        };
        parked.connections.push_back(connection);
        self.changed.notify_all();
        true
    }

    /// Waits for a connection. `None`: the queue is empty and closed.
    pub(super) fn wait(&self) -> Option<ParkedConnection> {
        let mut parked = self.lock();
        loop {
            if let Some(connection) = parked.connections.pop_front() {
                return Some(connection);
            }
            if !parked.is_open {
                return None;
            }
            self.changed.wait(&mut parked);
        }
    }
}
