//! One pass over what is ready: accept, read, parse, hand over, flush.
//!
//! Every thread that may take the poll's role has a `Turn` of its own: its read buffer and its spare
//! request memory. Several threads may be inside a turn at once, each with connections of its own. No
//! application code runs here, and nothing blocks but the wait itself.

mod files;
mod proxy_preamble;
mod receive;
mod respond;

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::Interest;

use crate::protocol::http::Refusal;
use crate::wsgi::environ::Peer;
use crate::wsgi::{HttpDate, Response};

use self::files::Taken;
use self::respond::is_probe;
use super::asides::Ticket;
use super::connection::{Answered, Connection, Phase};
use super::date::DateCache;
use super::poll::{Ready, SharedPoll, WaitBuffer};
use super::slots::SlotId;
use super::spare_heads::SpareHeads;
use super::stream::Stream;
use super::{Dispatch, Exchange, Net, Rejected, count};

const READ_BUFFER_BYTES: usize = 64 * 1024;
/// What one connection may read before the others have their turn.
const READ_BYTES_PER_TURN: usize = 1 << 20;
/// Accepted connections per listener before the others have their turn.
const ACCEPTS_PER_TURN: usize = 128;
/// Times so many that are accepted at the end.
const LAST_TURNS_MAX: usize = 64;
/// Files that are answered with on one connection before the others have their turn: a client may have asked for many
/// ahead.
const FILES_PER_TURN: usize = 32;

/// What to do with a connection next.
enum Next {
    /// Nothing until the poll says so.
    Park,
    /// It could go on, but others are waiting.
    Yield,
    /// A request is complete.
    Submit,
    /// Go on at once.
    Again,
    /// Its next request is begun elsewhere.
    GiveAway,
    /// It is over.
    Close,
}

/// How to wait at the beginning of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Beside other threads (Linux).
    Shared(Option<Duration>),
    /// As the only one.
    Alone(Option<Duration>),
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    /// It was sent, as far as the client took it.
    Sent {
        /// Further requests that were queued (pipelining).
        queued: usize,
    },
    /// It waits for [`Turn::release`].
    Held,
}

/// A thread's own part of the polling role.
pub struct Turn {
    wait_buffer: WaitBuffer,
    ready: Vec<Ready>,
    read_buffer: Box<[u8]>,
    spare_heads: SpareHeads,
    date: DateCache,
    /// For answers with files; made when it is first needed.
    response: Option<Box<Response>>,
    /// This thread was started to open files.
    opens_files: bool,
    queued: usize,
    /// What [`relieve`](Self::relieve) saw last: the newest answer aside, and how often answers had been released.
    looked: (Option<Ticket>, u64),
    /// The slot of the connection that was parked last.
    parked: Option<SlotId>,
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
            queued: 0,
            looked: (None, 0),
            parked: None,
            now: Instant::now(),
        }
    }
}

impl Turn {
    /// Waits for readiness and acts on it. Returns how many requests were queued.
    pub fn take(&mut self, net: &Net, dispatch: &dyn Dispatch, wait: Wait) -> io::Result<usize> {
        self.queued = 0;
        let mut ready = mem::take(&mut self.ready);
        ready.clear();
        let no_wait = Some(Duration::ZERO);
        // Connections that had to yield do not announce themselves again.
        let has_unfinished = !net.unfinished.is_empty();
        let poll: &SharedPoll = net.poll();
        let waited = match wait {
            Wait::Shared(timeout) => {
                let timeout = if has_unfinished { no_wait } else { timeout };
                poll.wait_shared(&mut self.wait_buffer, timeout, &mut ready)
            }
            Wait::Alone(timeout) => {
                let timeout = if has_unfinished { no_wait } else { timeout };
                poll.wait_alone(timeout, &mut ready)
            }
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
        // Counted now, after the wait: another thread's wake may have been about one of these.
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

    /// Closes, or answers and closes, every connection whose time is up. Returns when to look again, and
    /// how many requests were queued meanwhile.
    pub fn expire(&mut self, net: &Net, dispatch: &dyn Dispatch) -> (Option<Duration>, usize) {
        self.queued = 0;
        self.now = Instant::now();
        let now_ms = net.milliseconds(self.now);
        // While draining, one that became idle after that has a deadline of its own; the others have had their moment.
        let fresh_until_ms = now_ms.saturating_add(net.kept_grace_ms());
        let mut expired = Vec::new();
        let next = net.expired(self.now, |connection| expired.push(connection));
        for mut connection in expired {
            let is_due = connection.deadline_ms != 0 && connection.deadline_ms <= now_ms;
            let is_idle = connection.phase == Phase::Head
                && connection.reader.is_idle()
                && connection.unread.is_empty();
            // The moment that an idle one is given at a stop is no deadline that it missed.
            if is_due && !(is_idle && net.is_draining()) {
                count(&net.counters.expired);
            }
            if !is_due && net.keep(&mut connection) {
                self.close(net, connection);
                continue;
            }
            // Others serve meanwhile, so there is time for whoever has just come and cannot be handed on.
            let is_new = net.is_keeping() && !is_due && connection.since_ms != 0;
            match connection.phase {
                // The client may have sent its next request in this very moment: look once more.
                Phase::Head
                    if is_idle
                        && !is_new
                        && (is_due || connection.deadline_ms > fresh_until_ms) =>
                {
                    if !self.has_input(&mut connection) {
                        self.close(net, connection);
                        continue;
                    }
                }
                Phase::Greeting if !is_new => {
                    connection.io.broken = true;
                    self.close(net, connection);
                    continue;
                }
                // The server is stopping; what has begun may go on until its own deadline.
                _ if !is_due => {
                    let Some(slot) = connection.slot else {
                        continue;
                    };
                    let deadline_ms = connection.deadline_ms;
                    match net.slots.give_back(slot, connection, deadline_ms) {
                        Some(back) => connection = back,
                        None => continue,
                    }
                }
                Phase::Head | Phase::Body => {
                    let refusal = Refusal {
                        status: 408,
                        why: "the request did not arrive in time",
                    };
                    self.refuse(net, &mut connection, &refusal);
                }
                Phase::Greeting | Phase::Working | Phase::Flushing | Phase::Lingering => {
                    connection.io.broken = true;
                    self.close(net, connection);
                    continue;
                }
            }
            self.drive(net, dispatch, connection);
        }
        (next, self.queued)
    }

    /// The application is done with a request: send what is left, log it, go on with the connection. If the answer was held
    /// ([`ResponseSink::may_hold`](super::ResponseSink::may_hold)) that is left to [`release`](Self::release).
    pub fn complete(
        &mut self,
        net: &Net,
        dispatch: &dyn Dispatch,
        exchange: Exchange,
        answered: Answered,
    ) -> Completed {
        self.queued = 0;
        self.now = answered.at;
        let mut connection = exchange.0;
        connection.close_after = !answered.summary.keep_alive || answered.summary.aborted;
        connection.answered = Some(answered);
        connection.phase = Phase::Flushing;
        let is_held = mem::take(&mut connection.io.is_held);
        if let Some(ticket) = connection.io.aside.take() {
            let rest = net.asides.reclaim(ticket);
            if is_held {
                connection.io.output.push(&rest);
            }
        }
        if is_held {
            net.held.push(connection);
            return Completed::Held;
        }
        self.drive(net, dispatch, connection);
        Completed::Sent {
            queued: self.queued,
        }
    }

    /// Sends the answers that were held, by whatever thread, and goes on with their connections. Returns how many further
    /// requests were queued.
    pub fn release(&mut self, net: &Net, dispatch: &dyn Dispatch) -> usize {
        self.queued = 0;
        self.now = Instant::now();
        net.releases.fetch_add(1, Ordering::Relaxed);
        // Counted now: others may go on holding answers for as long as this thread sends them.
        for _ in 0..net.held.len() {
            let Some(connection) = net.held.pop() else {
                break;
            };
            self.drive(net, dispatch, connection);
        }
        self.queued
    }

    /// Does the same for workers that have kept answers for a moment and do not come back from a request: call it at intervals, it
    /// acts on what was there at the last call. Returns how many further requests were queued.
    pub fn relieve(&mut self, net: &Net, dispatch: &dyn Dispatch) -> usize {
        let (aside_seen, releases_seen) = &mut self.looked;
        let asides = net.asides.send(aside_seen);
        let releases = net.releases.load(Ordering::Relaxed);
        let is_stuck = std::mem::replace(releases_seen, releases) == releases;
        let held = if is_stuck { net.held.len() } else { 0 };
        if asides + held > 0 {
            tracing::debug!(asides, held, "sent what busy workers had kept");
        }
        if held == 0 {
            return 0;
        }
        self.release(net, dispatch)
    }

    /// Answers a request that could not be queued with 503, and goes on with its connection.
    pub fn turn_away(
        &mut self,
        net: &Net,
        dispatch: &dyn Dispatch,
        exchange: Exchange,
        rejected: Rejected,
    ) {
        self.now = Instant::now();
        let mut connection = exchange.0;
        self.shed(net, &mut connection, rejected);
        self.drive(net, dispatch, connection);
    }

    /// Lets go of a request that nobody waits for any more.
    pub fn abandon(&mut self, net: &Net, exchange: Exchange) {
        count(&net.counters.abandoned);
        self.close(net, exchange.0);
    }

    /// The text of the Date field for a response that begins now.
    pub fn date(&mut self) -> &HttpDate {
        self.date.now()
    }

    /// The server stops: takes on whoever has connected already, and would be reset when the listeners are closed. On Linux nobody
    /// connects any more. Returns how many requests were queued.
    pub fn accept_the_rest(&mut self, net: &Net, dispatch: &dyn Dispatch) -> usize {
        self.queued = 0;
        self.now = Instant::now();
        net.let_nobody_in();
        for index in 0..net.protocols.len() {
            // More than any backlog holds.
            for _ in 0..LAST_TURNS_MAX {
                let before = net.counters.accepted.load(Ordering::Relaxed);
                self.accept(net, dispatch, index);
                if net.counters.accepted.load(Ordering::Relaxed) == before {
                    break;
                }
            }
        }
        self.queued
    }

    /// Accepts what is waiting, and reads at once: most clients have sent their request by now, and a
    /// connection that is not kept never enters the poll.
    fn accept(&mut self, net: &Net, dispatch: &dyn Dispatch, index: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            if net.open_connections() >= net.settings.connections_max {
                net.accept_paused.store(true, Ordering::Release);
                return;
            }
            let accepted = {
                let listeners = net.listeners.read();
                let Some(listener) = listeners.get(index) else {
                    return;
                };
                (listener.accept(), listener.expects_proxy())
            };
            let (accepted, expects_proxy) = accepted;
            match accepted {
                Ok((_, address)) if expects_proxy && !self.may_greet(net, address) => {}
                Ok((stream, address)) => {
                    if !cfg!(target_os = "linux")
                        && let Err(error) = stream.set_nodelay()
                    {
                        tracing::debug!(%error, "setting TCP_NODELAY");
                    }
                    let phase = if expects_proxy {
                        Phase::Greeting
                    } else {
                        Phase::Head
                    };
                    self.begin(net, dispatch, (stream, address), (index, phase));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    // Out of descriptors or memory: the next sweep tries again.
                    tracing::warn!(%error, "cannot accept connections for now");
                    net.accept_paused.store(true, Ordering::Release);
                    return;
                }
            }
        }
        // More are waiting; the listener reports them again once it is re-armed.
        net.accept_paused.store(true, Ordering::Release);
        net.resume_accepting();
    }

    /// A connection that came from listener `index`.
    fn begin(
        &mut self,
        net: &Net,
        dispatch: &dyn Dispatch,
        accepted: (Stream, Option<SocketAddr>),
        begun: (usize, Phase),
    ) {
        self.begin_with(net, dispatch, accepted, begun, None);
    }

    /// `unread`: what was read from it already, of one that was used before.
    pub(super) fn begin_with(
        &mut self,
        net: &Net,
        dispatch: &dyn Dispatch,
        (stream, address): (Stream, Option<SocketAddr>),
        (index, phase): (usize, Phase),
        unread: Option<Vec<u8>>,
    ) {
        net.connection_opened();
        let peer = Peer::new(address);
        let protocol = net.protocol_of(index);
        let mut connection = Connection::new(stream, peer, (index, protocol), self.now);
        connection.phase = phase;
        connection.io.is_greeted = phase == Phase::Greeting;
        // One that was used before may be idle for as long as any other.
        if unread.as_ref().is_none_or(|unread| !unread.is_empty()) {
            connection.since_ms = net.milliseconds(self.now);
        }
        connection.unread = unread.unwrap_or_default();
        if let Some(proxies) = &net.settings.proxies {
            connection.is_trusted = proxies.trusted.trusts(address.map(|at| at.ip()));
        }
        self.drive(net, dispatch, connection);
    }

    fn drive(&mut self, net: &Net, dispatch: &dyn Dispatch, mut connection: Box<Connection>) {
        let mut files = 0;
        loop {
            let next = match connection.phase {
                Phase::Head | Phase::Body => self.read_request(net, &mut connection),
                Phase::Greeting => self.read_greeting(net, &mut connection),
                Phase::Flushing => self.flush(net, &mut connection),
                Phase::Lingering => self.linger(&mut connection),
                Phase::Working => Next::Park,
            };
            match next {
                Next::Again if files >= FILES_PER_TURN => {
                    return self.yield_turn(net, connection);
                }
                Next::Again => {}
                Next::Park => match self.park(net, connection) {
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
                Next::GiveAway => {
                    if net.keep(&mut connection) {
                        self.close(net, connection);
                        return;
                    }
                }
            }
        }
    }

    /// A request is complete: a file answers it, or it is queued. Gives the connection back when there is something to be
    /// sent.
    fn submit(
        &mut self,
        net: &Net,
        dispatch: &dyn Dispatch,
        connection: Box<Connection>,
    ) -> Option<Box<Connection>> {
        if let Some(path) = &net.settings.ready_path
            && is_probe(&connection.head, path)
        {
            return Some(self.tell_readiness(net, dispatch, connection));
        }
        let mut connection = match self.take_file(net, connection) {
            Taken::Answered(connection) => return Some(connection),
            Taken::HandedOver => return None,
            Taken::No(connection) => connection,
        };
        connection.phase = Phase::Working;
        match dispatch.submit(Exchange(connection)) {
            Ok(()) => {
                count(&net.counters.requests);
                self.queued += 1;
                None
            }
            Err((exchange, rejected)) => {
                connection = exchange.0;
                self.shed(net, &mut connection, rejected);
                Some(connection)
            }
        }
    }

    /// Lets the connection wait for its next event. Gives it back when that has already come.
    fn park(&mut self, net: &Net, mut connection: Box<Connection>) -> Option<Box<Connection>> {
        let wants_writable =
            connection.phase == Phase::Flushing || connection.io.stream.has_pending();
        let is_registered = connection.slot.is_some();
        if !is_registered || connection.wants_writable != wants_writable {
            let interest = if wants_writable {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            let slot = connection.slot.or_else(|| net.slots.open());
            let registered = match slot {
                Some(slot) => {
                    connection.slot = Some(slot);
                    let token = mio::Token(slot.token());
                    let registry = net.poll().registry();
                    if is_registered {
                        registry.reregister(&mut connection.io.stream, token, interest)
                    } else {
                        registry.register(&mut connection.io.stream, token, interest)
                    }
                }
                None => Err(io::ErrorKind::StorageFull.into()),
            };
            if let Err(error) = registered {
                tracing::warn!(%error, "cannot wait for a connection; closing it");
                self.close(net, connection);
                return None;
            }
            connection.wants_writable = wants_writable;
        }
        let slot = connection.slot?;
        self.parked = Some(slot);
        connection.deadline_ms = net.deadline(&connection, net.milliseconds(self.now));
        let deadline_ms = connection.deadline_ms;
        net.slots.give_back(slot, connection, deadline_ms)
    }

    /// Lets the others go first: the connection waits in the shared list of those that can go on at once.
    fn yield_turn(&mut self, net: &Net, mut connection: Box<Connection>) {
        loop {
            let slot = connection.slot;
            match self.park(net, connection) {
                // An event came meanwhile; it keeps, like the rest of this connection's work.
                Some(back) => connection = back,
                None => {
                    if let Some(slot) = slot.or(self.parked) {
                        net.unfinished.push(slot);
                        // This thread may be about to run the application, or to leave the poll to others.
                        net.poll().wake();
                    }
                    return;
                }
            }
        }
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
            connection.io.stream.say_goodbye();
        }
        drop(connection);
        net.connection_closed();
    }
}

/// `accept` also reports what became of one waiting connection; the next one may be fine (accept(2)).
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::TimedOut
    )
}
