//! Sockets, the poll, and everything that happens to a connection while no application code runs.
//!
//! This is the only room that owns sockets, and it does not know that Python exists: it hands complete
//! requests to a [`Dispatch`] and gets them back through [`Turn::complete`]. Reading order:
//!
//! - [`listener`], [`stream`], [`tls_stream`]: sockets as they come from the system, and TLS on them (`last_call_linux` lets nobody in any more)
//! - [`slots`]: where a connection waits, and who may take it
//! - `reader`: which protocol a connection speaks, and the machine that reads it
//! - `client`: who is at the other end, if a proxy is believed
//! - [`connection`], [`output`]: one connection and what it owes its client
//! - `asides`: answers that wait for others while application code still runs
//! - [`poll`]: waiting for readiness; where several threads can, they wait in the same poll (and `beacon_linux` wakes them all)
//! - [`turn`]: one pass over what is ready: accept, read, parse, hand over, flush
//! - [`deadlines`]: what happens to clients that take too long
//!
//! Polling is a role, not a thread: whoever has nothing else to do takes a [`turn::Turn`].

mod asides;
mod client;
pub mod connection;
mod date;
pub mod deadlines;
pub mod listener;
mod os;
pub mod output;
mod parked;
pub mod poll;
mod port_owner;
mod reader;
mod records;
pub mod slots;
mod spare_heads;
pub mod speaker;
pub mod stream;
pub mod tls_stream;
pub mod turn;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam::channel::Sender;
use crossbeam::queue::SegQueue;
use mio::Interest;
use parking_lot::{Condvar, Mutex, RwLock};

use crate::protocol::http::Limits;
use crate::protocol::proxy::{Believed, Trusted};
use crate::wsgi::environ::Peer;
use crate::wsgi::{AddedFields, BodyMemory, Delivery, Head, Response, Sink};

pub use connection::{Answered, Exchange, ResponseSink};
pub use listener::{Address, Listener, Redirect, SocketOptions};
pub use parked::{Handle, Kept};
use poll::SharedPoll;
pub use reader::Protocol;
use slots::Slots;
pub use turn::Turn;

/// Every bound and deadline of a connection. Durations are time-outs; one of centuries turns it off.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bounds of the protocol.
    pub limits: Limits,
    /// Where bodies are kept, and past which bounds they go to temporary files.
    pub body_memory: Arc<BodyMemory>,
    /// A response that the client does not read may hold this many bytes in memory before the
    /// application has to wait.
    pub output_bytes_max: usize,
    /// From a request's first byte (or the connection's start) to the end of its head.
    pub header_timeout: Duration,
    /// The longest pause while a body arrives.
    pub body_timeout: Duration,
    /// A body that arrives more slowly than this (bytes per second, after ten seconds) is refused.
    pub body_rate_min: u64,
    /// How long a connection may wait for its next request; zero closes it after each response.
    pub keep_alive_timeout: Duration,
    /// How long a client may take to make room for more of a response.
    pub write_timeout: Duration,
    /// Connections at once; further ones wait in the kernel.
    pub connections_max: usize,
    /// Handshakes that fail are worth a warning.
    pub tells_handshakes: bool,
    /// Whose word about clients counts; `None` if nobody's does.
    pub proxies: Option<Proxies>,
    /// Who may greet us with the PROXY protocol.
    pub greeters: Trusted,
    /// The path that is answered with whether the server is ready.
    pub ready_path: Option<String>,
    /// What every response says.
    pub added_fields: Arc<AddedFields>,
}

/// Proxies in front, and what is taken from them.
#[derive(Clone, Debug)]
pub struct Proxies {
    /// Who they are.
    pub trusted: Trusted,
    /// The fields that count.
    pub believed: Believed,
}

/// Everybody is served, and may come again.
const SERVING: u8 = 0;
/// The server is about to stop: everybody is served, and told not to come again.
const LEAVING: u8 = 1;
/// Nobody new is served.
const DRAINING: u8 = 2;

/// How long a stopping server leaves a kept connection open on which nothing is under way: a request may be on its way, sent
/// before the client could know.
const KEPT_GRACE: Duration = Duration::from_millis(500);

/// How long a closing connection waits for the client to take notice (RFC 9112, 9.6).
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// Seconds that a client is told to wait when the queue is full.
const RETRY_AFTER_S: u32 = 1;

/// Why a request could not be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The queue is full.
    Full,
    /// Nobody serves any more.
    Stopped,
}

/// Who takes complete requests. Called by whoever takes a turn.
pub trait Dispatch: Sync {
    /// Queues the request, or gives it back.
    fn submit(&self, exchange: Exchange) -> Result<(), (Exchange, Rejected)>;

    /// Whether a request would be answered by the application.
    fn is_ready(&self) -> bool;
}

/// What a [`FileService`] has given a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Nothing was said: it goes to the application.
    Nothing,
    /// A file, or why it is not to be had.
    File,
    /// A word of the server's own, in the application's place.
    Notice,
    /// Likewise, again and again: not worth a line in the log.
    Unlogged,
}

/// Who answers some requests before they are queued: with static files, or in development with why there is no new version. Called
/// by whoever takes a turn, so it may open a file but not wait for anything slower; and asked by workers about what their
/// application may name.
pub trait FileService: Send + Sync {
    /// Whether the request may mean a file, as far as that can be told without a look at the disk.
    fn concerns(&self, head: &Head) -> bool;

    /// Answers the request of this client completely, or gives it nothing.
    fn answer(&self, asked: (&Head, &Peer), response: &mut Response, sink: &mut dyn Sink) -> Given;

    /// Who finds the files that the application may name in its response to this request, if it may at all.
    fn offer(&self, head: &Head) -> Option<Box<dyn Delivery>>;
}

/// One answered request, when its last byte has left or its connection has died.
pub struct Record<'a> {
    /// The client.
    pub peer: &'a Peer,
    /// The request's head. May be incomplete for a request that was refused.
    pub head: &'a Head,
    /// What was sent, by whom, and how long it took.
    pub answered: &'a Answered,
    /// From the application's end to the last byte.
    pub write: Duration,
    /// The connection died before everything was sent.
    pub broken: bool,
}

/// Who is told about answered requests. Called on the thread that finished the response; must not block.
pub trait RequestLog: Sync + Send {
    /// Takes note.
    fn record(&self, record: &Record<'_>);
}

/// Numbers since the start, for stats and tests.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Requests handed to the application.
    pub requests: AtomicU64,
    /// Requests answered with files before they were queued.
    pub files: AtomicU64,
    /// Requests refused by the protocol's rules or limits.
    pub refused: AtomicU64,
    /// Requests answered 503 because the queue was full.
    pub shed: AtomicU64,
    /// TLS handshakes that failed.
    pub handshakes_failed: AtomicU64,
    /// Connections closed because a deadline passed.
    pub expired: AtomicU64,
    /// Queued requests that were dropped because their client had gone.
    pub abandoned: AtomicU64,
}

/// Adds one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Everything the threads that take turns share.
pub struct Net {
    /// Bounds and deadlines.
    pub settings: Settings,
    /// Numbers since the start.
    pub counters: Counters,
    log: Box<dyn RequestLog>,
    files: Option<Box<dyn FileService>>,
    /// Where requests that may mean files go, if there are threads for them.
    openers: OnceLock<Sender<Exchange>>,
    poll: SharedPoll,
    slots: Slots,
    listeners: RwLock<Vec<Listener>>,
    /// What stays known of each listener when it is closed.
    redirects: Box<[Option<Redirect>]>,
    /// A connection was refused because its peer is no trusted proxy, and this was said.
    stranger_told: AtomicBool,
    /// What each of them speaks.
    protocols: Box<[Protocol]>,
    /// Connections that could go on but had used up their share of a turn.
    unfinished: SegQueue<slots::SlotId>,
    /// Connections whose answers are made and wait to be sent together.
    held: SegQueue<Box<connection::Connection>>,
    /// How often they were.
    releases: AtomicU64,
    /// Such answers whose applications have not come to their end.
    asides: asides::Asides,
    open: AtomicUsize,
    /// Accepting stopped at the connection limit or for want of descriptors.
    accept_paused: AtomicBool,
    /// `SERVING`, `LEAVING` or `DRAINING`.
    stage: AtomicU8,
    /// When it began to drain, in milliseconds since the start.
    draining_since_ms: AtomicU64,
    /// Draining, but another process serves: connections are kept for it.
    keeping: AtomicBool,
    kept: parked::Keeper,
    all_closed: (Mutex<()>, Condvar),
    started: Instant,
}

impl Net {
    /// Makes the poll and registers the listeners, of which each speaks the protocol of its place in `protocols`. Nothing
    /// is accepted before the first turn.
    pub fn new(
        settings: Settings,
        mut listeners: Vec<Listener>,
        protocols: Vec<Protocol>,
        log: Box<dyn RequestLog>,
        files: Option<Box<dyn FileService>>,
    ) -> std::io::Result<Self> {
        let poll = SharedPoll::new()?;
        for (index, listener) in listeners.iter_mut().enumerate() {
            poll.registry()
                .register(listener, poll::listener_token(index), Interest::READABLE)?;
        }
        Ok(Self {
            settings,
            counters: Counters::default(),
            log,
            files,
            openers: OnceLock::new(),
            poll,
            slots: Slots::default(),
            stranger_told: AtomicBool::new(false),
            redirects: listeners.iter().map(Listener::redirect).collect(),
            listeners: RwLock::new(listeners),
            protocols: protocols.into_boxed_slice(),
            unfinished: SegQueue::new(),
            held: SegQueue::new(),
            releases: AtomicU64::new(0),
            asides: asides::Asides::default(),
            open: AtomicUsize::new(0),
            accept_paused: AtomicBool::new(false),
            stage: AtomicU8::new(SERVING),
            draining_since_ms: AtomicU64::new(0),
            keeping: AtomicBool::new(false),
            kept: parked::Keeper::default(),
            all_closed: (Mutex::new(()), Condvar::new()),
            started: Instant::now(),
        })
    }

    /// The poll, for those who wait in it.
    pub fn poll(&self) -> &SharedPoll {
        &self.poll
    }

    fn redirect(&self, listener: usize) -> Option<Redirect> {
        self.redirects.get(listener).copied().flatten()
    }

    /// Who answers with files, if anything was configured about them.
    pub fn files(&self) -> Option<&dyn FileService> {
        self.files.as_deref()
    }

    /// From now on requests that may mean files go there while there is room. Once.
    pub fn open_files_by(&self, openers: Sender<Exchange>) {
        let had_none = self.openers.set(openers);
        debug_assert!(had_none.is_ok(), "there is one queue for files");
    }

    fn openers(&self) -> Option<&Sender<Exchange>> {
        self.openers.get()
    }

    fn protocol_of(&self, listener: usize) -> Protocol {
        self.protocols.get(listener).copied().unwrap_or_default()
    }

    /// Open connections.
    pub fn open_connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether the server is stopping: connections are not kept after their next response.
    pub fn is_draining(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == DRAINING
    }

    /// Whether the server stops, or is about to.
    fn is_leaving(&self) -> bool {
        self.stage.load(Ordering::Relaxed) != SERVING
    }

    /// The server is about to stop: connections are taken on as before, but end with their next response, and whoever asks
    /// whether the server is ready hears that it is not.
    pub fn start_leaving(&self) {
        self.stage.fetch_max(LEAVING, Ordering::SeqCst);
    }

    /// What a kept connection without a request is given when the server drains, in milliseconds. The next image goes on
    /// with those that are kept for it, so they need not wait.
    fn kept_grace_ms(&self) -> u64 {
        if self.is_keeping() {
            return 0;
        }
        u64::try_from(KEPT_GRACE.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether connections that were idle when the server began to drain have been open for long enough.
    fn is_grace_over(&self, now_ms: u64) -> bool {
        let since = self.draining_since_ms.load(Ordering::Relaxed);
        now_ms >= since.saturating_add(self.kept_grace_ms())
    }

    /// Whether connections are kept for another process.
    fn is_keeping(&self) -> bool {
        self.keeping.load(Ordering::Relaxed)
    }

    /// Whether a connection ends with the response under way because the server stops, or another process serves and cannot go on
    /// with it.
    fn ends(&self, io: &connection::Io) -> bool {
        self.is_leaving() && !(self.is_keeping() && io.can_move())
    }

    /// Where the system can, nobody joins those who wait for being accepted; see [`Turn::accept_the_rest`].
    fn let_nobody_in(&self) {
        let listeners = self.listeners.read();
        for listener in listeners.iter() {
            if let Err(error) = listener.let_nobody_in() {
                tracing::debug!(%error, "{} stays open until it is closed", listener.address());
            }
        }
    }

    /// Stops accepting and closes the listeners. Idle connections are closed by a sweep, after a moment.
    pub fn start_draining(&self) {
        self.drain_now();
        drop(self.stop_listening());
    }

    fn drain_now(&self) {
        let now_ms = self.milliseconds(Instant::now());
        self.draining_since_ms.store(now_ms, Ordering::SeqCst);
        self.stage.store(DRAINING, Ordering::SeqCst);
    }

    /// Nobody accepts from them any more.
    fn stop_listening(&self) -> Vec<Listener> {
        let mut listeners = self.listeners.write();
        for listener in listeners.iter_mut() {
            if let Err(error) = self.poll.registry().deregister(listener) {
                tracing::debug!(%error, "deregistering {}", listener.address());
            }
        }
        std::mem::take(&mut *listeners)
    }

    /// Waits until every connection is closed, until `deadline`, or until the draining is over. Whether they are closed.
    pub fn wait_until_closed(&self, deadline: Instant) -> bool {
        let (lock, closed) = &self.all_closed;
        let mut guard = lock.lock();
        loop {
            if self.open.load(Ordering::SeqCst) == 0 {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.is_draining() {
                return false;
            }
            closed.wait_for(&mut guard, left);
        }
    }

    fn milliseconds(&self, at: Instant) -> u64 {
        // 0 means "no deadline", so time starts at 1.
        u64::try_from(at.saturating_duration_since(self.started).as_millis())
            .unwrap_or(u64::MAX - 1)
            + 1
    }

    /// A connection is not to be waited for, and counts no more: its worker may never come back.
    pub fn disregard_connection(&self) {
        self.connection_closed();
    }

    /// The worker has come back with it.
    pub fn regard_connection(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    fn connection_opened(&self) {
        count(&self.counters.accepted);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    fn connection_closed(&self) {
        let was = self.open.fetch_sub(1, Ordering::SeqCst);
        if was == 1 && self.is_draining() {
            let (lock, closed) = &self.all_closed;
            drop(lock.lock());
            closed.notify_all();
        }
        if self.accept_paused.load(Ordering::Relaxed) {
            self.resume_accepting();
        }
    }

    /// Makes the poll report the listeners again, if they were left with connections waiting.
    fn resume_accepting(&self) {
        if !self.accept_paused.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut listeners = self.listeners.write();
        for (index, listener) in listeners.iter_mut().enumerate() {
            let rearmed = self.poll.registry().reregister(
                listener,
                poll::listener_token(index),
                Interest::READABLE,
            );
            if let Err(error) = rearmed {
                tracing::error!(%error, "cannot accept on {} any more", listener.address());
            }
        }
    }
}
