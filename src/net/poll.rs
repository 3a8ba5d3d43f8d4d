//! Waiting for readiness.
//!
//! On Linux every idle worker waits in the same epoll: the kernel wakes one of them per event, the
//! one that came last first, so a thread with warm caches works and the others sleep. mio
//! registers, deregisters and wakes; only the wait itself bypasses it, because `mio::Poll::poll`
//! needs exclusive access. Where several threads cannot wait in one poll, one thread at a time does
//! (`wait_alone`), and workers wait for the queue instead.

use std::io;
use std::time::Duration;

use mio::{Events, Poll, Registry, Token, Waker};
use parking_lot::Mutex;

#[cfg(target_os = "linux")]
use super::os::wake_all_linux::WakeAllEvent;
use super::vital::{Identity, is_loss, lost};

pub(super) const EVENTS_PER_TURN: usize = 64;

/// Tokens of the poll itself count down from the top. Those of slots are below (`slots::SlotId`).
const WAKER: usize = usize::MAX;
const WAKE_ALL: usize = WAKER - 1;
const FIRST_LISTENER: usize = WAKER - 2;

const POLL_NAME: &str = "the poll";
const WAKER_NAME: &str = "an event of the poll";

/// The token of listener `index`.
pub(super) fn listener_token(index: usize) -> Token {
    Token(FIRST_LISTENER - index)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    Listener(usize),
    /// A connection can be read or written.
    Connection {
        token: usize,
        /// The client sends no more.
        peer_finished: bool,
    },
}

fn decode(token: usize, peer_finished: bool) -> Option<Ready> {
    if token >= WAKE_ALL {
        return None;
    }
    // Serials have 30 bits, so tokens with the top bit are the poll's own.
    if token >> (usize::BITS - 1) == 1 {
        return Some(Ready::Listener(FIRST_LISTENER - token));
    }
    Some(Ready::Connection {
        token,
        peer_finished,
    })
}

pub struct SharedPoll {
    registry: Registry,
    identity: Identity,
    waker: Waker,
    #[cfg(target_os = "linux")]
    wake_all: WakeAllEvent,
    /// Locked during a wait alone.
    poll: Mutex<(Poll, Events)>,
}

impl SharedPoll {
    pub(super) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = Waker::new(&registry, Token(WAKER))?;
        Ok(Self {
            #[cfg(target_os = "linux")]
            wake_all: WakeAllEvent::new(&registry, WAKE_ALL)?,
            identity: Identity::of(&registry),
            registry,
            waker,
            poll: Mutex::new((poll, Events::with_capacity(EVENTS_PER_TURN))),
        })
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Wakes one of the waiting threads.
    pub fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            if is_loss(&error) {
                lost(WAKER_NAME);
            }
            tracing::error!(%error, "cannot wake a worker");
        }
    }

    /// Ends the process if a descriptor of the poll is not there any more.
    pub(super) fn look(&self) {
        if Identity::of(&self.registry) != self.identity {
            lost(POLL_NAME);
        }
        #[cfg(target_os = "linux")]
        if !self.wake_all.is_there() {
            lost(WAKER_NAME);
        }
    }

    /// A wait has failed: ends the process if the poll is lost.
    pub fn note_failure(error: &io::Error) {
        if is_loss(error) {
            lost(POLL_NAME);
        }
    }

    /// Until [`let_sleep`](Self::let_sleep) no thread sleeps in a shared wait: those that do wake
    /// up, and further waits return at once. Calls are counted.
    pub fn wake_all(&self) {
        #[cfg(target_os = "linux")]
        self.wake_all.set();
        // Where threads wait alone, there is only one to wake.
        #[cfg(not(target_os = "linux"))]
        self.wake();
    }

    /// Undoes one [`wake_all`](Self::wake_all).
    pub fn let_sleep(&self) {
        #[cfg(target_os = "linux")]
        self.wake_all.reset();
    }

    /// Whether several threads may wait at once on this system.
    pub const fn can_be_shared() -> bool {
        cfg!(target_os = "linux")
    }

    /// Waits beside other threads; `None` waits for an event. May return without events.
    #[cfg(target_os = "linux")]
    pub fn wait_shared(
        &self,
        buffer: &mut WaitBuffer,
        timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()> {
        use rustix::event::epoll;

        let timeout = timeout.map(|timeout| rustix::event::Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        buffer.events.clear();
        match epoll::wait(
            &self.registry,
            rustix::buffer::spare_capacity(&mut buffer.events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &buffer.events {
            let finished =
                epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
            let data = event.data;
            let token = usize::try_from(data.u64()).unwrap_or(WAKER);
            let flags = event.flags;
            ready.extend(decode(token, flags.intersects(finished)));
        }
        Ok(())
    }

    /// The poll cannot be shared on this system: waits alone.
    #[cfg(not(target_os = "linux"))]
    pub fn wait_shared(
        &self,
        _buffer: &mut WaitBuffer,
        timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()> {
        self.wait_alone(timeout, ready)
    }

    /// Waits as the only thread; others that call wait for this one first.
    pub fn wait_alone(&self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let mut guard = self.poll.lock();
        let (poll, events) = &mut *guard;
        match poll.poll(events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        for event in events.iter() {
            let finished = event.is_read_closed() || event.is_write_closed() || event.is_error();
            ready.extend(decode(event.token().0, finished));
        }
        Ok(())
    }
}

/// A thread's buffer for events.
pub struct WaitBuffer {
    #[cfg(target_os = "linux")]
    events: Vec<rustix::event::epoll::Event>,
}

impl Default for WaitBuffer {
    fn default() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            events: Vec::with_capacity(EVENTS_PER_TURN),
        }
    }
}
