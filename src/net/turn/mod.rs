//! One pass over what is ready: accept, read, parse, queue, send.
//!
//! Each thread that may poll has a [`Turn`] of its own, with its read buffer and spare request
//! memory. Several threads may be inside a turn at once, each with connections of its own. No
//! application code runs here, and nothing blocks except the wait itself. `drive` moves one
//! connection through its phases; the steps of each phase are in the files of this folder.

mod accept;
mod complete;
mod expire;
mod preamble;
mod receive;
mod respond;
mod route;
mod submit;

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::Interest;

use crate::wsgi::{HttpDate, Response};

use super::connection::{Connection, Phase};
use super::date::DateCache;
use super::poll::{Ready, WaitBuffer};
use super::services::Dispatch;
use super::slots::SlotId;
use super::spare_heads::SpareHeads;
use super::state::Net;
use super::stream::Stream;

const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes that one connection may read before the others are served.
const READ_BYTES_PER_TURN: usize = 1 << 20;
/// Files sent on one connection before the others are served: a client may pipeline many requests.
const FILES_PER_TURN: usize = 32;

enum Next {
    Wait,
    /// Continue after the other connections.
    Yield,
    /// Queue the complete request.
    Submit,
    Again,
    /// Another process begins the next request.
    HandOver,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Beside other threads (Linux).
    Shared(Option<Duration>),
    Alone(Option<Duration>),
}

/// A connection that begins in this process.
pub(super) struct Accepted {
    pub(super) stream: Stream,
    /// The peer; `None` for a unix socket.
    pub(super) address: Option<SocketAddr>,
    pub(super) listener: usize,
    /// Whether a PROXY preamble comes first.
    pub(super) expects_preamble: bool,
}

/// A thread's own part of the polling role.
pub struct Turn {
    wait_buffer: WaitBuffer,
    ready: Vec<Ready>,
    read_buffer: Box<[u8]>,
    spare_heads: SpareHeads,
    date: DateCache,
    /// For answers with files; allocated by the first one.
    response: Option<Box<Response>>,
    opens_files: bool,
    /// Rules may take long on this thread.
    may_wait: bool,
    queued: usize,
    now: Instant,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            wait_buffer: WaitBuffer::default(),
            ready: Vec::new(),
            read_buffer: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            spare_heads: SpareHeads::default(),
            date: DateCache::default(),
            response: None,
            opens_files: false,
            may_wait: false,
            queued: 0,
            now: Instant::now(),
        }
    }
}

impl Turn {
    /// Waits for readiness and acts on it. Returns the number of requests that were queued.
    pub fn take(&mut self, net: &Net, dispatch: &dyn Dispatch, wait: Wait) -> io::Result<usize> {
        self.queued = 0;
        let mut ready = mem::take(&mut self.ready);
        ready.clear();
        // Connections that yielded get no further event.
        let has_unfinished = !net.unfinished.is_empty();
        let bounded = |timeout| match timeout {
            _ if has_unfinished => Some(Duration::ZERO),
            timeout => timeout,
        };
        let (poll, buffer) = (net.poll(), &mut self.wait_buffer);
        let waited = match wait {
            Wait::Shared(timeout) => poll.wait_shared(buffer, bounded(timeout), &mut ready),
            Wait::Alone(timeout) => poll.wait_alone(bounded(timeout), &mut ready),
        };
        self.now = Instant::now();
        for event in ready.drain(..) {
            match event {
                Ready::Listener(index) => self.accept(net, dispatch, index),
                Ready::Connection {
                    token,
                    peer_finished,
                } => {
                    if let Some(mut connection) =
                        net.slots.claim_for_event(SlotId::from_token(token))
                    {
                        connection.peer_finished |= peer_finished;
                        self.drive(net, dispatch, connection);
                    }
                }
            }
        }
        self.ready = ready;
        // Counted after the wait: another thread's wake may have been for one of these.
        for _ in 0..net.unfinished.len() {
            let Some(slot) = net.unfinished.pop() else {
                break;
            };
            if let Some(connection) = net.slots.claim_for_event(slot) {
                self.drive(net, dispatch, connection);
            }
        }
        waited.map(|()| self.queued)
    }

    /// The value of the Date field for a response that begins now.
    pub fn date(&mut self) -> &HttpDate {
        self.date.now()
    }

    fn drive(&mut self, net: &Net, dispatch: &dyn Dispatch, mut connection: Box<Connection>) {
        let mut files = 0;
        loop {
            let next = match connection.phase {
                Phase::Head | Phase::Body => self.read_request(net, &mut connection),
                Phase::Preamble => self.read_preamble(net, &mut connection),
                Phase::Flushing => self.flush(net, &mut connection),
                Phase::Lingering => self.linger(&mut connection),
                Phase::Working => Next::Wait,
            };
            match next {
                Next::Again if files >= FILES_PER_TURN => {
                    return self.yield_turn(net, connection);
                }
                Next::Again => {}
                Next::Wait => match self.wait(net, connection) {
                    Some(back) => connection = back,
                    None => return,
                },
                Next::Yield => return self.yield_turn(net, connection),
                Next::Submit if net.redirect(connection.listener).is_some() => {
                    self.redirect(net, &mut connection);
                }
                Next::Submit => {
                    files += 1;
                    connection.received_at = self.now;
                    match self.submit(net, dispatch, connection) {
                        Some(back) => connection = back,
                        None => return,
                    }
                }
                Next::Close => {
                    self.close(net, connection);
                    return;
                }
                Next::HandOver => {
                    if net.park(&mut connection) {
                        self.close(net, connection);
                        return;
                    }
                }
            }
        }
    }

    /// Lets the connection wait for its next event. Returns it if that has already come.
    fn wait(&mut self, net: &Net, connection: Box<Connection>) -> Option<Box<Connection>> {
        let (slot, connection) = self.register(net, connection)?;
        let deadline_ms = connection.deadline_ms;
        net.slots.give_back(slot, connection, deadline_ms)
    }

    /// Puts the connection behind the others that can continue.
    fn yield_turn(&mut self, net: &Net, mut connection: Box<Connection>) {
        while let Some((slot, registered)) = self.register(net, connection) {
            let deadline_ms = registered.deadline_ms;
            match net.slots.give_back(slot, registered, deadline_ms) {
                // An event came meanwhile; it can wait like the rest of this connection's work.
                Some(back) => connection = back,
                None => {
                    net.unfinished.push(slot);
                    // This thread may be about to run the application or to leave the poll.
                    net.poll().wake();
                    return;
                }
            }
        }
    }

    /// Gives the connection a slot, the events it needs and a deadline. Closes it if the system
    /// refuses.
    fn register(
        &mut self,
        net: &Net,
        mut connection: Box<Connection>,
    ) -> Option<(SlotId, Box<Connection>)> {
        let wants_writable =
            connection.phase == Phase::Flushing || connection.io.stream.has_pending();
        let is_registered = connection.slot.is_some();
        if !is_registered || connection.wants_writable != wants_writable {
            let interest = if wants_writable {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            connection.slot = connection.slot.or_else(|| net.slots.open());
            let stream = &mut connection.io.stream;
            let registry = net.poll().registry();
            let registered = match connection.slot.map(|slot| mio::Token(slot.token())) {
                Some(token) if is_registered => registry.reregister(stream, token, interest),
                Some(token) => registry.register(stream, token, interest),
                None => Err(io::ErrorKind::StorageFull.into()),
            };
            if let Err(error) = registered {
                tracing::warn!(%error, "cannot wait for a connection; closing it");
                self.close(net, connection);
                return None;
            }
            connection.wants_writable = wants_writable;
        }
        connection.deadline_ms = net.deadline(&connection, net.milliseconds(self.now));
        Some((connection.slot?, connection))
    }

    fn close(&mut self, net: &Net, mut connection: Box<Connection>) {
        if connection.answered.is_some() {
            connection.io.broken = true;
            self.log(net, &mut connection);
        }
        if let Some(slot) = connection.slot.take() {
            // Closing the descriptor takes it out of the poll; the slot must be free before that.
            net.slots.close(slot);
        }
        if !connection.io.broken {
            connection.io.stream.close_tls();
        }
        net.note_freed(connection.io.output_bytes());
        if connection.body.is_in_memory() {
            net.note_freed(usize::try_from(connection.body.len()).unwrap_or(usize::MAX));
        }
        drop(connection);
        net.connection_closed();
    }
}
