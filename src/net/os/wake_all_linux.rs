//! Linux: an event that wakes every thread in the shared epoll.
//!
//! All other events are edge-triggered and wake one waiter, the one that came last. A worker that
//! has to leave may sleep far down in that stack, out of reach of such wakes while others come and
//! go on top. This event is level-triggered: while it is set, no wait sleeps, and the kernel wakes
//! the next waiter each time it has reported to one. So all threads return in turn. An event that
//! is not set costs a wait nothing.

use std::io;
use std::os::fd::OwnedFd;

use mio::Registry;
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, epoll, eventfd};

/// The event. Any thread may call anything here.
pub(crate) struct WakeAllEvent {
    descriptor: OwnedFd,
    /// The number of callers that have set it.
    users: Mutex<usize>,
}

impl WakeAllEvent {
    /// Creates the event, registered as `token`.
    pub(crate) fn new(registry: &Registry, token: usize) -> io::Result<Self> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let data = epoll::EventData::new_u64(token as u64);
        epoll::add(registry, &descriptor, data, epoll::EventFlags::IN)?;
        Ok(Self {
            descriptor,
            users: Mutex::new(0),
        })
    }

    /// Whether the descriptor is open.
    pub(crate) fn is_there(&self) -> bool {
        rustix::fs::fstat(&self.descriptor).is_ok()
    }

    pub(crate) fn set(&self) {
        let mut users = self.users.lock();
        *users += 1;
        if *users == 1
            && let Err(error) = rustix::io::write(&self.descriptor, &1u64.to_ne_bytes())
        {
            tracing::error!(%error, "cannot wake the workers that are to leave");
        }
    }

    /// Undoes one [`set`](Self::set); the last one resets the event.
    pub(crate) fn reset(&self) {
        let mut users = self.users.lock();
        *users = users.saturating_sub(1);
        if *users == 0
            && let Err(error) = rustix::io::read(&self.descriptor, &mut [0u8; 8])
        {
            tracing::error!(%error, "cannot let the workers sleep again");
        }
    }
}
