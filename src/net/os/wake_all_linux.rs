//! A light that every thread in the shared epoll sees (Linux).
//!
//! Everything else in the poll is edge-triggered: an event wakes one waiter, the one that came last. A worker that is to
//! leave may sleep far down in that line, where no chain of such wakes gets to it while others come and go on top. The
//! beacon is level-triggered: as long as it is lit, no wait sleeps, and the kernel wakes the next waiter each time it has
//! told one. So all of them come out in turn, and the ones that are meant do not go back in. It burns for as long as
//! that takes; an unlit one costs a wait nothing.

use std::io;
use std::os::fd::OwnedFd;

use mio::Registry;
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, epoll, eventfd};

/// The beacon. Any thread may call anything here.
pub(crate) struct Beacon {
    descriptor: OwnedFd,
    /// How many want it lit.
    lit: Mutex<usize>,
}

impl Beacon {
    /// An unlit beacon in the poll of `registry`, reported as `token`.
    pub(crate) fn new(registry: &Registry, token: usize) -> io::Result<Self> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let data = epoll::EventData::new_u64(token as u64);
        epoll::add(registry, &descriptor, data, epoll::EventFlags::IN)?;
        Ok(Self {
            descriptor,
            lit: Mutex::new(0),
        })
    }

    /// Lights it, if nobody has yet.
    pub(crate) fn light(&self) {
        let mut lit = self.lit.lock();
        *lit += 1;
        if *lit == 1
            && let Err(error) = rustix::io::write(&self.descriptor, &1u64.to_ne_bytes())
        {
            tracing::error!(%error, "cannot wake the workers that are to leave");
        }
    }

    /// One less wants it lit; the last one puts it out.
    pub(crate) fn put_out(&self) {
        let mut lit = self.lit.lock();
        *lit = lit.saturating_sub(1);
        if *lit == 0
            && let Err(error) = rustix::io::read(&self.descriptor, &mut [0u8; 8])
        {
            tracing::error!(%error, "cannot let the workers sleep again");
        }
    }
}
