//! What a worker works on, for the thread that enforces deadlines: one record for
//! each worker thread.
//!
//! The worker writes it where a request begins and ends, if anybody watches; the watcher
//! (`harakiri`) reads and acts under its mutex, so that what it does is over when the request is.
//! The deadline stands in a word of its own, which costs the watcher no lock to look at. No Python
//! in here, and no waiting.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::net::Exchange;
use crate::net::Net;
use crate::net::ownership::{ClientHandle, Outcome, ResponseOwner};
use crate::python::Interruption;

use super::limits::RequestLimits;
use crate::app::worker_group::WorkerGroup;
use crate::app::worker_id::WorkerId;

/// How far it has come with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It may take its time.
    Working,
    /// Its time was up; it was interrupted.
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
    /// What [`Interruption::strike`] wants.
    pub(crate) number: u64,
    pub(crate) since: Instant,
    pub(crate) stage: Stage,
    /// To the client; `None` if requests were not watched when it began.
    pub(crate) client: Option<ClientHandle>,
    /// The server's limit, in the watcher's milliseconds.
    general: Option<u64>,
    /// Whether the client was answered with 504.
    pub(crate) was_answered: bool,
}

const LOADING: u8 = 0;
const SERVING: u8 = 1;
const LEAVING: u8 = 2;

/// What is behind the mutex. The texts keep their memory from request to request.
#[derive(Debug, Default)]
pub(crate) struct WatchedRequest {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) watched: Option<CurrentRequest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientOutcome {
    Application,
    /// It waits for a 504.
    Owes504,
    /// It has a 504.
    Got504,
    BrokenOff,
}

/// A request in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    /// How long it has been at work.
    pub time: Duration,
}

/// What harakiri needs of the generation that a worker thread serves.
pub(crate) trait ServedGeneration: Send + Sync {
    /// Requests that wait in its queue.
    fn waiting(&self) -> usize;
    /// Whether it serves no more.
    fn is_retired(&self) -> bool;
    fn net(&self) -> &Net;
    /// This thread is not waited for any longer.
    fn thread_is_abandoned(&self, record: &WorkerRecord);
    /// Puts another worker in the place of this one; tries until it works. May take long.
    fn replace_abandoned(self: Arc<Self>, record: &WorkerRecord);
}

/// Which thread of which generation a record is about.
pub(crate) struct WorkerPlace {
    pub(crate) served: Weak<dyn ServedGeneration>,
    /// The generation's number.
    pub(crate) generation: u64,
    pub(crate) group: Arc<WorkerGroup>,
    pub(crate) id: WorkerId,
    /// It joined its interpreter, which another thread made.
    pub(crate) is_sibling: bool,
}

/// See the file's header.
pub struct WorkerRecord {
    limits: Arc<RequestLimits>,
    pub(crate) place: WorkerPlace,
    pub(crate) interruption: Arc<Interruption>,
    pub(crate) owner: ResponseOwner,
    /// When something is due, in the watcher's milliseconds; 0: never.
    deadline_ms: AtomicU64,
    current: Mutex<WatchedRequest>,
    is_abandoned: AtomicBool,
    phase: AtomicU8,
}

impl WorkerRecord {
    pub(crate) fn new(
        limits: &Arc<RequestLimits>,
        place: WorkerPlace,
        interruption: Arc<Interruption>,
    ) -> Self {
        Self {
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

    /// A request begins. Two plain stores, if requests are not watched.
    pub(crate) fn begin(&self, exchange: &Exchange, net: &Net, now: Instant) {
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

    /// The worker's own request gets `limit` from now, or (`None`) what the server allows. Called
    /// by the worker.
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

    /// The request has ended; from here on only the worker touches its client.
    pub(crate) fn end(&self) -> ClientOutcome {
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

    /// When something is due, in the watcher's milliseconds.
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

    /// Whether the thread was given up: it has been replaced, and leaves when it comes back.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::SeqCst)
    }

    /// The thread serves from now on, or no more.
    pub(crate) fn set_phase(&self, phase: ThreadPhase) {
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

    /// The line of the request, if it was watched from its beginning.
    pub(crate) fn noted_line(&self) -> Option<String> {
        let current = self.current.lock();
        let watched = current.watched.as_ref()?;
        (watched.client.is_some()).then(|| Self::request_line(&current))
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
