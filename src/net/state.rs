//! [`Net`]: what all threads that poll share.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use crossbeam::channel::Sender;
use crossbeam::queue::SegQueue;
use mio::Interest;
use parking_lot::{Condvar, Mutex, RwLock, RwLockWriteGuard};

use super::connection::{Connection, Exchange};
use super::listener::Listener;
use super::occasionally::Occasionally;
use super::output::Io;
use super::parked::ParkedQueue;
use super::poll::{self, SharedPoll};
use super::services::RequestLog;
use super::site::Site;
use super::slots::{SlotId, Slots};
use super::vital;
use crate::protocol::listen::{Protocol, Redirect};
use crate::wsgi::SpoolSpace;

/// Requests are served and connections stay open.
const SERVING: u8 = 0;
/// The server is about to stop: requests are served, and their connections end.
const LEAVING: u8 = 1;
const DRAINING: u8 = 2;

/// Smaller pieces of freed memory are not counted: small requests reuse them.
const NOTED_BYTES_MIN: usize = 16 * 1024;

/// How long a stopping server keeps an idle connection open: a request may be in transit, sent
/// before the client could know.
const IDLE_GRACE: Duration = Duration::from_millis(500);

/// Totals since the start, for statistics and tests.
#[derive(Debug, Default)]
pub struct Counters {
    pub accepted: AtomicU64,
    pub requests: AtomicU64,
    /// Requests answered with a file before they were queued.
    pub files: AtomicU64,
    /// Requests answered by rules before they were queued.
    pub routed: AtomicU64,
    /// Requests refused by the protocol's rules or limits.
    pub refused: AtomicU64,
    /// Requests answered 503 because the queue was full.
    pub shed: AtomicU64,
    pub handshakes_failed: AtomicU64,
    /// Connections closed because a deadline passed.
    pub expired: AtomicU64,
    /// Queued requests that were dropped because their client had gone.
    pub abandoned: AtomicU64,
}

pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// State shared by all threads that poll.
pub struct Net {
    /// Totals since the start.
    pub counters: Counters,
    pub(super) log: Box<dyn RequestLog>,
    /// Replaced as a whole by a reload.
    site: ArcSwap<Site>,
    /// The queue of requests that may mean files, if threads were started for them.
    openers: OnceLock<Sender<Exchange>>,
    /// The queue of requests with slow rules, likewise.
    checkers: OnceLock<Sender<Exchange>>,
    poll: SharedPoll,
    pub(super) slots: Slots<Connection>,
    listeners: RwLock<Vec<Listener>>,
    /// The redirect of each listener, known after it is closed.
    redirects: Box<[Option<Redirect>]>,
    /// A connection from an untrusted address was refused and logged.
    pub(super) has_warned_untrusted: AtomicBool,
    /// A request body could not be stored.
    pub(super) body_warning: Occasionally,
    /// As many connections are open as may be.
    pub(super) full_warning: Occasionally,
    /// Bytes of bodies and responses that were freed since memory went back to the system.
    freed_bytes: AtomicUsize,
    /// Temporary files have no room for a response.
    pub(super) output_warning: Occasionally,
    /// What complete responses may hold in memory together, beyond what each one may.
    pub(super) output_memory: Arc<SpoolSpace>,
    /// What temporary files of responses may hold together.
    pub(super) output_files: Arc<SpoolSpace>,
    /// The system gives no descriptor for a connection.
    pub(super) accept_warning: Occasionally,
    pub(super) protocols: Box<[Protocol]>,
    /// Connections that used up their share of a turn and can continue.
    pub(super) unfinished: SegQueue<SlotId>,
    open: AtomicUsize,
    /// Accepting stopped at the connection limit or because no descriptor was free.
    pub(super) accept_paused: AtomicBool,
    /// `SERVING`, `LEAVING` or `DRAINING`.
    stage: AtomicU8,
    /// The beginning of the drain, in milliseconds since the start.
    draining_since_ms: AtomicU64,
    /// Draining while another process serves: idle connections are parked for it.
    pub(super) is_parking: AtomicBool,
    pub(super) parked: ParkedQueue,
    all_closed: (Mutex<()>, Condvar),
    started: Instant,
}

impl Net {
    /// Creates the poll and registers the listeners; `protocols` are theirs, in the same order. No
    /// connection is accepted before the first turn.
    pub fn new(
        site: Arc<Site>,
        mut listeners: Vec<Listener>,
        protocols: Vec<Protocol>,
        log: Box<dyn RequestLog>,
    ) -> std::io::Result<Self> {
        let poll = SharedPoll::new()?;
        for (index, listener) in listeners.iter_mut().enumerate() {
            poll.registry()
                .register(listener, poll::listener_token(index), Interest::READABLE)?;
        }
        let output_memory = site.settings.output_memory_bytes_max;
        let output_files = site.settings.output_file_bytes_max;
        Ok(Self {
            site: ArcSwap::new(site),
            counters: Counters::default(),
            log,
            openers: OnceLock::new(),
            checkers: OnceLock::new(),
            poll,
            slots: Slots::default(),
            has_warned_untrusted: AtomicBool::new(false),
            body_warning: Occasionally::default(),
            full_warning: Occasionally::default(),
            freed_bytes: AtomicUsize::new(0),
            output_warning: Occasionally::default(),
            output_memory: Arc::new(SpoolSpace::new(output_memory)),
            output_files: Arc::new(SpoolSpace::new(output_files)),
            accept_warning: Occasionally::default(),
            redirects: listeners.iter().map(Listener::redirect).collect(),
            listeners: RwLock::new(listeners),
            protocols: protocols.into_boxed_slice(),
            unfinished: SegQueue::new(),
            open: AtomicUsize::new(0),
            accept_paused: AtomicBool::new(false),
            stage: AtomicU8::new(SERVING),
            draining_since_ms: AtomicU64::new(0),
            is_parking: AtomicBool::new(false),
            parked: ParkedQueue::default(),
            all_closed: (Mutex::new(()), Condvar::new()),
            started: Instant::now(),
        })
    }

    pub fn poll(&self) -> &SharedPoll {
        &self.poll
    }

    /// Ends the process if a descriptor is lost without which the server cannot go on.
    pub fn look_for_loss(&self) {
        self.poll.look();
        let is_whole = self.with_listeners(|listeners| listeners.iter().all(Listener::is_there));
        if !is_whole {
            vital::lost("a listener");
        }
        vital::look();
    }

    pub(super) fn redirect(&self, listener: usize) -> Option<Redirect> {
        self.redirects.get(listener).copied().flatten()
    }

    /// What connections and static files go by. Ask anew for each request: a reload may replace
    /// it.
    pub fn site(&self) -> Guard<Arc<Site>> {
        self.site.load()
    }

    /// Replaces it, from the next request on.
    pub fn set_site(&self, site: Arc<Site>) {
        self.site.store(site);
    }

    /// Sends requests that may mean files to this queue while it has room. Called once.
    pub fn open_files_by(&self, openers: Sender<Exchange>) {
        let was_unset = self.openers.set(openers);
        debug_assert!(was_unset.is_ok(), "files have one queue");
    }

    pub(super) fn openers(&self) -> Option<&Sender<Exchange>> {
        self.openers.get()
    }

    /// Sends requests with slow rules to this queue while it has room. Called once.
    pub fn check_slowly_by(&self, checkers: Sender<Exchange>) {
        let was_unset = self.checkers.set(checkers);
        debug_assert!(was_unset.is_ok(), "slow checks have one queue");
    }

    pub(super) fn checkers(&self) -> Option<&Sender<Exchange>> {
        self.checkers.get()
    }

    pub(super) fn protocol_of(&self, listener: usize) -> Protocol {
        self.protocols.get(listener).copied().unwrap_or_default()
    }

    pub fn open_connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether the server stops: connections end with their next response.
    pub fn is_draining(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == DRAINING
    }

    /// Whether the server stops or is about to.
    pub(super) fn is_leaving(&self) -> bool {
        self.stage.load(Ordering::Relaxed) != SERVING
    }

    /// The server is about to stop: connections are accepted as before, but end with their next
    /// response, and readiness probes get 503.
    pub fn start_leaving(&self) {
        self.stage.fetch_max(LEAVING, Ordering::SeqCst);
    }

    /// How long an idle connection stays open when the server drains, in milliseconds. Zero while
    /// connections are parked, because another process continues them.
    pub(super) fn idle_grace_ms(&self) -> u64 {
        if self.is_parking() {
            return 0;
        }
        u64::try_from(IDLE_GRACE.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether the grace time of connections that were idle when the drain began is over.
    pub(super) fn is_grace_over(&self, now_ms: u64) -> bool {
        let since = self.draining_since_ms.load(Ordering::Relaxed);
        now_ms >= since.saturating_add(self.idle_grace_ms())
    }

    /// Whether connections are parked for another process.
    pub(super) fn is_parking(&self) -> bool {
        self.is_parking.load(Ordering::Relaxed)
    }

    /// Whether a connection ends with the response under way because the server stops, and no other
    /// process can continue it.
    pub(super) fn ends(&self, io: &Io) -> bool {
        self.is_leaving() && !(self.is_parking() && io.can_move())
    }

    pub(super) fn with_listeners<T>(&self, read: impl FnOnce(&[Listener]) -> T) -> T {
        read(&self.listeners.read())
    }

    fn listeners_mut(&self) -> RwLockWriteGuard<'_, Vec<Listener>> {
        self.listeners.write()
    }

    /// Closes the backlogs to new connections where the system can; see [`Turn::accept_the_rest`].
    ///
    /// [`Turn::accept_the_rest`]: super::Turn::accept_the_rest
    pub(super) fn close_backlogs(&self) {
        self.with_listeners(|listeners| {
            for listener in listeners {
                if let Err(error) = listener.close_backlog() {
                    let address = listener.address();
                    tracing::debug!(%error, "{address} accepts connections until it is closed");
                }
            }
        });
    }

    /// Stops accepting and closes the listeners. A sweep closes idle connections after a grace
    /// time.
    pub fn start_draining(&self) {
        self.drain_now();
        drop(self.stop_listening());
    }

    pub(super) fn drain_now(&self) {
        let now_ms = self.milliseconds(Instant::now());
        self.draining_since_ms.store(now_ms, Ordering::SeqCst);
        self.stage.store(DRAINING, Ordering::SeqCst);
    }

    /// Takes the listeners out of the poll.
    pub(super) fn stop_listening(&self) -> Vec<Listener> {
        let mut listeners = self.listeners_mut();
        for listener in listeners.iter_mut() {
            if let Err(error) = self.poll.registry().deregister(listener) {
                tracing::debug!(%error, "deregistering {}", listener.address());
            }
        }
        std::mem::take(&mut *listeners)
    }

    /// Puts listeners back into the poll, and ends the drain.
    pub(super) fn start_listening(&self, mut listeners: Vec<Listener>) {
        for (index, listener) in listeners.iter_mut().enumerate() {
            let token = poll::listener_token(index);
            let registry = self.poll.registry();
            let registered = registry.register(listener, token, Interest::READABLE);
            if let Err(error) = registered {
                tracing::error!(%error, "cannot accept on {} any more", listener.address());
            }
        }
        *self.listeners_mut() = listeners;
        self.stage.store(SERVING, Ordering::SeqCst);
        self.notify_closed();
    }

    /// So many bytes of a body or a response were freed, or soon are.
    pub(super) fn note_freed(&self, bytes: usize) {
        if bytes >= NOTED_BYTES_MIN {
            self.freed_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes that were freed since [`forget_freed`](Self::forget_freed): the allocator may keep
    /// them.
    pub fn freed_bytes(&self) -> usize {
        self.freed_bytes.load(Ordering::Relaxed)
    }

    /// The allocator is about to give them back.
    pub fn forget_freed(&self) {
        self.freed_bytes.store(0, Ordering::Relaxed);
    }

    fn notify_closed(&self) {
        let (lock, closed) = &self.all_closed;
        drop(lock.lock());
        closed.notify_all();
    }

    /// Waits until every connection is closed, `deadline` has passed or the drain was cancelled.
    /// Returns whether all are closed.
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

    /// Milliseconds since the start.
    pub(super) fn milliseconds(&self, at: Instant) -> u64 {
        // 0 means "no deadline", so time starts at 1.
        u64::try_from(at.saturating_duration_since(self.started).as_millis())
            .unwrap_or(u64::MAX - 1)
            + 1
    }

    /// Stops counting a connection: its worker was abandoned and may never return.
    pub fn forget_connection(&self) {
        self.connection_closed();
    }

    /// Counts it again: its worker has returned.
    pub fn recount_connection(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn connection_opened(&self) {
        count(&self.counters.accepted);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn connection_closed(&self) {
        let was = self.open.fetch_sub(1, Ordering::SeqCst);
        if was == 1 && self.is_draining() {
            self.notify_closed();
        }
        if self.accept_paused.load(Ordering::Relaxed) {
            self.resume_accepting();
        }
    }

    /// Makes the poll report the listeners again, if connections were left waiting.
    pub(super) fn resume_accepting(&self) {
        if !self.accept_paused.swap(false, Ordering::AcqRel) {
            return;
        }
        for (index, listener) in self.listeners_mut().iter_mut().enumerate() {
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
