//! The record of a worker's current request, for the thread that enforces deadlines: one per worker
//! thread.
//!
//! The worker writes it where a request begins and ends, if requests are watched; the watcher
//! (`harakiri`) reads and acts under its mutex, so its action ends before the request does. The
//! deadline is an atomic, which the watcher reads without the lock. No Python, no waiting.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::net::Exchange;
use crate::net::Net;
use crate::net::ownership::{ClientHandle, Outcome, ResponseOwner};
use crate::python::Interruption;
use crate::telemetry::in_progress::InProgress;

use super::limits::RequestLimits;
use crate::app::worker_group::WorkerGroup;
use crate::app::worker_id::WorkerId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Working,
    /// The deadline passed; the worker was interrupted.
    Struck,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadPhase {
    Loading,
    Serving,
    Leaving,
}

#[derive(Debug)]
pub(crate) struct CurrentRequest {
    /// The argument of [`Interruption::strike`].
    pub(crate) number: u64,
    pub(crate) since: Instant,
    pub(crate) stage: Stage,
    /// `None` if requests were not watched when it began.
    pub(crate) client: Option<ClientHandle>,
    /// The server's limit, in the watcher's milliseconds.
    general: Option<u64>,
    pub(crate) was_answered: bool,
}

const LOADING: u8 = 0;
const SERVING: u8 = 1;
const LEAVING: u8 = 2;

/// The texts keep their memory from request to request.
#[derive(Debug, Default)]
pub(crate) struct WatchedRequest {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) watched: Option<CurrentRequest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientOutcome {
    Application,
    /// The worker sends the 504.
    Owes504,
    /// The watcher sent a 504.
    Got504,
    BrokenOff,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub time: Duration,
}

/// The generation that a worker thread serves, as harakiri sees it.
pub(crate) trait ServedGeneration: Send + Sync {
    fn waiting(&self) -> usize;
    fn is_retired(&self) -> bool;
    fn net(&self) -> &Net;
    fn thread_is_abandoned(&self, record: &WorkerRecord);
    /// Replaces this worker; tries until it works. May take long.
    fn replace_abandoned(self: Arc<Self>, record: &WorkerRecord);
}

pub(crate) struct WorkerPlace {
    pub(crate) served: Weak<dyn ServedGeneration>,
    pub(crate) generation: u64,
    pub(crate) group: Arc<WorkerGroup>,
    pub(crate) id: WorkerId,
    /// Whether it joined an interpreter that another thread made.
    pub(crate) is_sibling: bool,
}

pub struct WorkerRecord {
    limits: Arc<RequestLimits>,
    pub(crate) place: WorkerPlace,
    pub(crate) interruption: Arc<Interruption>,
    pub(crate) owner: ResponseOwner,
    /// The next deadline, in the watcher's milliseconds; 0: none.
    deadline_ms: AtomicU64,
    current: Mutex<WatchedRequest>,
    is_abandoned: AtomicBool,
    phase: AtomicU8,
    in_progress: InProgress,
}

impl WorkerRecord {
    pub(crate) fn new(
        limits: &Arc<RequestLimits>,
        place: WorkerPlace,
        interruption: Arc<Interruption>,
    ) -> Self {
        let in_progress = InProgress::new(place.id.worker, place.id.core, interruption.ident());
        if !place.is_sibling {
            in_progress.begin(b"the start of", b"the application", Instant::now());
        }
        Self {
            in_progress,
            limits: Arc::clone(limits),
            place,
            interruption,
            owner: ResponseOwner::default(),
            deadline_ms: AtomicU64::new(0),
            current: Mutex::default(),
            is_abandoned: AtomicBool::new(false),
            phase: AtomicU8::new(LOADING),
        }
    }

    /// Notes a request. A few plain stores, if requests are not watched.
    pub(crate) fn begin(&self, exchange: &Exchange, net: &Net, now: Instant) {
        let head = exchange.head();
        self.in_progress.begin(head.method(), head.target(), now);
        let is_watched = self.limits.is_wanted();
        self.owner.begin(is_watched);
        if !is_watched {
            return;
        }
        let client = ClientHandle::new(exchange, net);
        let limit = self.limits.rules().limit;
        let general = limit.map(|limit| self.limits.ms_of(now + limit));
        let mut current = self.current.lock();
        let current = &mut *current;
        current.method.clear();
        current.method.extend_from_slice(exchange.head().method());
        current.target.clear();
        current.target.extend_from_slice(exchange.head().target());
        current.watched = Some(CurrentRequest {
            number: self.interruption.arm(),
            since: now,
            stage: Stage::Working,
            client: Some(client),
            general,
            was_answered: false,
        });
        self.set_deadline(general.unwrap_or(0));
    }

    /// Sets the limit of the worker's own request from now; `None` is the server's. Called by the
    /// worker.
    pub(crate) fn limit(&self, limit: Option<Duration>) {
        if !self.owner.watch() {
            return;
        }
        let now = Instant::now();
        let mut current = self.current.lock();
        let watched = current.watched.get_or_insert_with(|| CurrentRequest {
            number: self.interruption.arm(),
            since: now,
            stage: Stage::Working,
            client: None,
            general: None,
            was_answered: false,
        });
        if watched.stage != Stage::Working {
            return;
        }
        let own = limit.map(|limit| self.limits.ms_of(now + limit));
        let deadline = [own, watched.general].into_iter().flatten().min();
        self.set_deadline(deadline.unwrap_or(0));
        drop(current);
        self.limits.look();
    }

    /// The request has ended; from now on only the worker touches its client.
    pub(crate) fn end(&self) -> ClientOutcome {
        self.in_progress.end();
        let outcome = self.owner.end();
        if !self.limits.is_wanted() {
            return ClientOutcome::Application;
        }
        let watched = {
            let mut current = self.current.lock();
            self.set_deadline(0);
            current.watched.take()
        };
        match outcome {
            Outcome::Application => ClientOutcome::Application,
            Outcome::Silenced => ClientOutcome::Owes504,
            Outcome::Taken if watched.is_some_and(|watched| watched.was_answered) => {
                ClientOutcome::Got504
            }
            Outcome::Taken => ClientOutcome::BrokenOff,
        }
    }

    /// Notes a signal, which has no limit.
    pub(crate) fn begin_signal(&self, number: u8) {
        let mut text = itoa::Buffer::new();
        let number = text.format(number).as_bytes();
        self.in_progress.begin(b"signal", number, Instant::now());
    }

    pub(crate) fn end_signal(&self) {
        self.in_progress.end();
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        Some(self.deadline_ms.load(Ordering::Acquire)).filter(|deadline| *deadline > 0)
    }

    pub(crate) fn set_deadline(&self, deadline_ms: u64) {
        self.deadline_ms.store(deadline_ms, Ordering::Release);
    }

    pub(crate) fn current(&self) -> MutexGuard<'_, WatchedRequest> {
        self.current.lock()
    }

    pub(crate) fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::SeqCst);
    }

    /// Whether the thread was replaced, and leaves when it returns.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::SeqCst)
    }

    pub(crate) fn set_phase(&self, phase: ThreadPhase) {
        match phase {
            ThreadPhase::Loading => {}
            ThreadPhase::Serving => self.in_progress.end(),
            ThreadPhase::Leaving => {
                let (what, of) = (b"the end of", b"the interpreter");
                self.in_progress.begin(what, of, Instant::now());
            }
        }
        let phase = match phase {
            ThreadPhase::Loading => LOADING,
            ThreadPhase::Serving => SERVING,
            ThreadPhase::Leaving => LEAVING,
        };
        self.phase.store(phase, Ordering::Relaxed);
    }

    pub(crate) fn phase(&self) -> ThreadPhase {
        match self.phase.load(Ordering::Relaxed) {
            LOADING => ThreadPhase::Loading,
            SERVING => ThreadPhase::Serving,
            _ => ThreadPhase::Leaving,
        }
    }

    /// The request line, if the request was watched from its beginning.
    pub(crate) fn noted_line(&self) -> Option<String> {
        let current = self.current.lock();
        let watched = current.watched.as_ref()?;
        (watched.client.is_some()).then(|| Self::request_line(&current))
    }

    /// The request, as it is noted for the case of a crash.
    pub(crate) fn line_in_progress(&self) -> Option<String> {
        self.in_progress.text()
    }

    /// For the log.
    pub(crate) fn request_line(current: &WatchedRequest) -> String {
        if current.method.is_empty() {
            return "a request that began before anybody watched".to_owned();
        }
        format!(
            "{} {}",
            current.method.escape_ascii(),
            current.target.escape_ascii()
        )
    }
}
