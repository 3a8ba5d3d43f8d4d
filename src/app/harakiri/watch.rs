//! What a worker works on, for whoever sees to it that it does not take too long: one record for each worker thread.
//!
//! The worker writes it where a request begins and ends, if anybody watches; the watcher (`harakiri`) reads and acts under its
//! mutex, so that what it does is over when the request is. The deadline stands in a word of its own, which costs the watcher no
//! lock to look at. No Python in here, and no waiting.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::net::Exchange;
use crate::net::Net;
use crate::net::ownership::{ClientHandle, Outcome, ResponseOwner};
use crate::python::Interruption;

use super::Harakiri;
use crate::app::worker::Seat;
use crate::app::worker_group::Crew;
use crate::app::workers::Shared;

/// How far it has come with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It may take its time.
    Working,
    /// Its time was up; it was interrupted.
    Struck,
}

/// Where the thread is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Loading,
    Serving,
    Leaving,
}

/// A request that is watched.
#[derive(Debug)]
pub(crate) struct Watched {
    /// What [`Interruption::strike`] wants.
    pub(crate) number: u64,
    pub(crate) since: Instant,
    pub(crate) stage: Stage,
    /// To the client; `None` if nobody watched when the request began.
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
pub(crate) struct Desk {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) watched: Option<Watched>,
}

/// What became of the client, for the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The application has answered it, or not.
    Application,
    /// It waits for a 504.
    Owed504,
    /// It has a 504.
    Got504,
    /// It was broken off in the middle.
    BrokenOff,
}

/// See the file's header.
pub struct Watch {
    harakiri: Arc<Harakiri>,
    pub(crate) seat: Seat,
    pub(crate) shared: Weak<Shared>,
    /// The generation's number.
    pub(crate) generation: u64,
    pub(crate) crew: Arc<Crew>,
    pub(crate) interruption: Arc<Interruption>,
    pub(crate) owner: ResponseOwner,
    /// When something is due, in the watcher's milliseconds; 0: never.
    deadline_ms: AtomicU64,
    desk: Mutex<Desk>,
    is_given_up: AtomicBool,
    life: AtomicU8,
    /// It joined its interpreter, which another thread made.
    pub(crate) is_sibling: bool,
}

impl Watch {
    pub(crate) fn new(
        harakiri: &Arc<Harakiri>,
        shared: &Arc<Shared>,
        crew: &Arc<Crew>,
        (seat, is_sibling): (Seat, bool),
        interruption: Arc<Interruption>,
    ) -> Arc<Self> {
        let watch = Arc::new(Self {
            harakiri: Arc::clone(harakiri),
            seat,
            shared: Arc::downgrade(shared),
            generation: shared.id,
            crew: Arc::clone(crew),
            interruption,
            owner: ResponseOwner::default(),
            deadline_ms: AtomicU64::new(0),
            desk: Mutex::default(),
            is_given_up: AtomicBool::new(false),
            life: AtomicU8::new(LOADING),
            is_sibling,
        });
        harakiri.add(&watch);
        watch
    }

    /// A request begins. Two plain stores, if nobody watches.
    pub(crate) fn begin(&self, exchange: &Exchange, net: &Net, now: Instant) {
        let is_watched = self.harakiri.is_wanted();
        self.owner.begin(is_watched);
        if !is_watched {
            return;
        }
        let client = ClientHandle::new(exchange, net);
        let limit = self.harakiri.rules.limit;
        let general = limit.map(|limit| self.harakiri.ms_of(now + limit));
        let mut desk = self.desk.lock();
        let desk = &mut *desk;
        desk.method.clear();
        desk.method.extend_from_slice(exchange.head().method());
        desk.target.clear();
        desk.target.extend_from_slice(exchange.head().target());
        desk.watched = Some(Watched {
            number: self.interruption.arm(),
            since: now,
            stage: Stage::Working,
            client: Some(client),
            general,
            was_answered: false,
        });
        self.set_deadline(general.unwrap_or(0));
    }

    /// The worker's own request gets `limit` from now, or (`None`) what the server allows. Called by the worker.
    pub(crate) fn limit(&self, limit: Option<Duration>) {
        if !self.owner.watch() {
            return;
        }
        let now = Instant::now();
        let mut desk = self.desk.lock();
        let watched = desk.watched.get_or_insert_with(|| Watched {
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
        let own = limit.map(|limit| self.harakiri.ms_of(now + limit));
        let deadline = [own, watched.general].into_iter().flatten().min();
        self.set_deadline(deadline.unwrap_or(0));
        drop(desk);
        self.harakiri.look();
    }

    /// The request has ended; from here on nobody touches its client but the worker.
    pub(crate) fn end(&self) -> Fate {
        let outcome = self.owner.end();
        if !self.harakiri.is_wanted() {
            return Fate::Application;
        }
        let watched = {
            let mut desk = self.desk.lock();
            self.set_deadline(0);
            desk.watched.take()
        };
        match outcome {
            Outcome::Application => Fate::Application,
            Outcome::Silenced => Fate::Owed504,
            Outcome::Taken if watched.is_some_and(|watched| watched.was_answered) => Fate::Got504,
            Outcome::Taken => Fate::BrokenOff,
        }
    }

    /// When something is due, in the watcher's milliseconds.
    pub(crate) fn deadline(&self) -> Option<u64> {
        Some(self.deadline_ms.load(Ordering::Acquire)).filter(|deadline| *deadline > 0)
    }

    pub(crate) fn set_deadline(&self, deadline_ms: u64) {
        self.deadline_ms.store(deadline_ms, Ordering::Release);
    }

    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock()
    }

    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::SeqCst);
    }

    /// Whether the thread was given up: it has been replaced, and leaves when it comes back.
    pub(crate) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::SeqCst)
    }

    /// The thread serves from now on, or no more.
    pub(crate) fn is_now(&self, life: Life) {
        let life = match life {
            Life::Loading => LOADING,
            Life::Serving => SERVING,
            Life::Leaving => LEAVING,
        };
        self.life.store(life, Ordering::Relaxed);
    }

    pub(crate) fn life(&self) -> Life {
        match self.life.load(Ordering::Relaxed) {
            LOADING => Life::Loading,
            SERVING => Life::Serving,
            _ => Life::Leaving,
        }
    }

    /// The line of the request, if it was watched from its beginning.
    pub(crate) fn noted_line(&self) -> Option<String> {
        let desk = self.desk.lock();
        let watched = desk.watched.as_ref()?;
        (watched.client.is_some()).then(|| Self::request_line(&desk))
    }

    /// For the log.
    pub(crate) fn request_line(desk: &Desk) -> String {
        if desk.method.is_empty() {
            return "a request that began before anybody watched".to_owned();
        }
        format!(
            "{} {}",
            desk.method.escape_ascii(),
            desk.target.escape_ascii()
        )
    }
}
