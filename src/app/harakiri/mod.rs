//! Harakiri: a request that takes too long is ended, and nothing else is.
//!
//! At the deadline the client gets 504 (or is broken off, if the application has begun to answer), and `uwsgi.Harakiri` is raised
//! in the worker's thread. If the worker does not come back in the grace time, it is given up: another takes its place, with a
//! fresh interpreter of the same number (main isolation: with a further thread of the one there is), and the old one leaves
//! when, or if ever, its code returns. docs/harakiri.md tells users.
//!
//! `sm-harakiri` looks at the deadlines; it never waits for anybody, least of all for a GIL. What may wait runs on a thread that
//! is thrown away.

pub mod watch;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::config::HarakiriRules;
use crate::net::ownership::{Claim, ClientHandle};
use crate::python::{Isolation, STACK_BYTES_MIN};

use super::generation::{Patience, StartError};
use super::harakiri::watch::{Desk, Stage, Watch};
use super::inspect::worker_status::Work;
use super::load_generation::{self, Entrance};
use super::worker::Seat;
use super::worker_group::{Crew, Gate};
use super::workers::Shared;

/// How soon to look again at an application that is just sending.
const MOMENT_MS: u64 = 1;
/// How soon to look again when too few requests wait (`--harakiri-queue-threshold`).
const QUEUE_LOOK_MS: u64 = 1000;

/// How soon to try again to replace a worker that was given up.
const REPLACE_PAUSE: Duration = Duration::from_secs(5);

/// The watcher, and whom it watches. One for the process.
pub struct Harakiri {
    pub(super) rules: HarakiriRules,
    /// Abandoned workers above which the process is to be renewed.
    abandoned_max: usize,
    started: Instant,
    /// There is a limit, or an application has asked for one.
    is_wanted: AtomicBool,
    watches: Mutex<Vec<Weak<Watch>>>,
    /// The thread runs; raised again when it is to look at once.
    bell: (Mutex<Bell>, Condvar),
    /// Held by whoever looks at the stacks.
    pub(super) looks: Mutex<()>,
    given_up: AtomicUsize,
    /// Is told when there are more than `abandoned_max`.
    on_overrun: Box<dyn Fn(String) + Send + Sync>,
}

#[derive(Default)]
struct Bell {
    is_running: bool,
    is_rung: bool,
}

impl Harakiri {
    /// Nobody is watched yet. `on_overrun` hears why the process should be renewed, on any thread, and does not wait.
    pub fn new(
        rules: HarakiriRules,
        abandoned_max: usize,
        on_overrun: impl Fn(String) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            is_wanted: AtomicBool::new(rules.limit.is_some()),
            rules,
            abandoned_max,
            started: Instant::now(),
            watches: Mutex::default(),
            bell: Default::default(),
            looks: Mutex::default(),
            given_up: AtomicUsize::new(0),
            on_overrun: Box::new(on_overrun),
        })
    }

    /// Whether requests are watched. One load.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Requests are watched from now on.
    pub(super) fn want(self: &Arc<Self>) {
        self.is_wanted.store(true, Ordering::SeqCst);
        self.run();
    }

    pub(super) fn ms_of(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.started);
        // Rounded up: never early. And never 0, which means none.
        u64::try_from(since.as_micros().div_ceil(1000)).map_or(u64::MAX, |ms| ms.max(1))
    }

    pub(super) fn add(self: &Arc<Self>, watch: &Arc<Watch>) {
        let mut watches = self.watches.lock();
        watches.retain(|watch| watch.strong_count() > 0);
        watches.push(Arc::downgrade(watch));
        drop(watches);
        if self.is_wanted() {
            self.run();
        }
    }

    /// The records of all workers.
    pub(super) fn watches(&self) -> Vec<Arc<Watch>> {
        let watches = self.watches.lock();
        watches.iter().filter_map(Weak::upgrade).collect()
    }

    /// The record of a thread of a generation, if it is a worker.
    pub(super) fn watch_of(&self, generation: u64, thread: u64) -> Option<Arc<Watch>> {
        let watches = self.watches.lock();
        watches
            .iter()
            .filter_map(Weak::upgrade)
            .find(|watch| watch.interruption.ident() == thread && watch.generation == generation)
    }

    /// Requests are watched from now on, so that what workers work on can be told.
    pub fn look_on(self: &Arc<Self>) {
        if !self.is_wanted() {
            self.want();
        }
    }

    /// Threads that were given up and have not come back.
    pub fn stuck(&self) -> usize {
        self.given_up.load(Ordering::SeqCst)
    }

    /// What the threads of a generation work on.
    pub(super) fn works(&self, generation: u64, now: Instant) -> Vec<(Seat, Work)> {
        let watches = self.watches.lock().clone();
        let watches = watches.iter().filter_map(Weak::upgrade).filter(|watch| {
            let shared = watch.shared.upgrade();
            shared.is_some_and(|shared| shared.id == generation) && !watch.is_given_up()
        });
        watches
            .filter_map(|watch| {
                let desk = watch.desk();
                let watched = desk.watched.as_ref()?;
                let work = Work {
                    method: desk.method.clone(),
                    target: desk.target.clone(),
                    time: now.saturating_duration_since(watched.since),
                };
                Some((watch.seat, work))
            })
            .collect()
    }

    /// A deadline may have come nearer.
    pub(super) fn look(&self) {
        self.bell.0.lock().is_rung = true;
        self.bell.1.notify_all();
    }

    /// Starts the thread, once.
    fn run(self: &Arc<Self>) {
        let mut bell = self.bell.0.lock();
        if bell.is_running {
            return;
        }
        let harakiri = Arc::clone(self);
        let spawned = std::thread::Builder::new()
            .name("sm-harakiri".to_owned())
            .spawn(move || harakiri.watch());
        match spawned {
            Ok(_) => bell.is_running = true,
            Err(error) => {
                tracing::error!(%error, "no thread could be started for --harakiri: requests are not ended for their time");
            }
        }
    }

    /// The life of the thread.
    fn watch(self: Arc<Self>) {
        loop {
            let mut next = self
                .rules
                .limit
                .map(|limit| self.ms_of(Instant::now() + limit));
            for watch in self.watches() {
                if watch
                    .deadline()
                    .is_some_and(|due| self.ms_of(Instant::now()) >= due)
                {
                    self.act(&watch);
                }
                next = [next, watch.deadline()].into_iter().flatten().min();
            }
            let mut bell = self.bell.0.lock();
            if !bell.is_rung {
                // A request that begins now has the whole limit in front of it; whoever sets a nearer one rings.
                match next {
                    Some(next) => {
                        let wait = next.saturating_sub(self.ms_of(Instant::now()));
                        let wait = Duration::from_millis(wait.max(MOMENT_MS));
                        self.bell.1.wait_for(&mut bell, wait);
                    }
                    None => self.bell.1.wait(&mut bell),
                }
            }
            bell.is_rung = false;
        }
    }

    /// Something is due, unless the request has ended meanwhile.
    fn act(self: &Arc<Self>, watch: &Arc<Watch>) {
        let now = self.ms_of(Instant::now());
        let mut desk = watch.desk();
        if watch.deadline().is_none_or(|due| now < due) {
            return;
        }
        let Some(watched) = &desk.watched else {
            watch.set_deadline(0);
            return;
        };
        match watched.stage {
            Stage::Working if self.too_few_wait(watch) => watch.set_deadline(now + QUEUE_LOOK_MS),
            Stage::Working => self.end_request(watch, &mut desk, now),
            Stage::Struck => {
                watch.set_deadline(0);
                if let Some(client) = &watched.client {
                    watch.owner.abandon();
                    client.end().ok();
                }
                let request = Watch::request_line(&desk);
                let Some(shared) = watch.shared.upgrade() else {
                    return;
                };
                shared.thread_is_given_up(&watch.crew, watch.is_sibling);
                shared.surroundings.net.forget_connection();
                // Under the mutex, which the end of the request takes: the worker sees it before it does anything else.
                watch.give_up();
                drop(desk);
                self.give_up(&shared, watch, &request);
            }
        }
    }

    fn too_few_wait(&self, watch: &Watch) -> bool {
        let least = self.rules.waiting_min;
        let shared = watch.shared.upgrade();
        least > 0 && shared.is_some_and(|shared| shared.queue().len() < least)
    }

    /// The time is up.
    fn end_request(self: &Arc<Self>, watch: &Arc<Watch>, desk: &mut Desk, now: u64) {
        let request = Watch::request_line(desk);
        let Some(watched) = &mut desk.watched else {
            return;
        };
        let client = watched.client.as_ref();
        let claim = watch
            .owner
            .take(client.is_some_and(ClientHandle::can_answer));
        let heard = match (claim, client) {
            (Claim::Sending, _) => return watch.set_deadline(now + MOMENT_MS),
            (Claim::Unsent, Some(client)) if client.can_answer() => {
                watched.was_answered = true;
                let shared = watch.shared.upgrade();
                let added =
                    shared.map(|shared| Arc::clone(&shared.surroundings.net.settings.added_fields));
                match client.answer(504, &added.unwrap_or_default()) {
                    Ok(()) => "the client got 504",
                    Err(_) => "the client had gone",
                }
            }
            (Claim::Unsent, _) => "the client gets 504 when the worker comes back",
            (Claim::Begun, client) => {
                // Whoever has gone needs no goodbye.
                client.map(ClientHandle::end).and_then(Result::ok);
                "the client was broken off in the middle of the response"
            }
            // It has just ended.
            (Claim::Refused, _) => return,
        };
        let took = watched.since.elapsed();
        watched.stage = Stage::Struck;
        let grace = u64::try_from(self.rules.grace.as_millis()).unwrap_or(u64::MAX);
        watch.set_deadline(now.saturating_add(grace.max(MOMENT_MS)));
        let (worker, core) = (watch.seat.worker, watch.seat.core);
        watch.crew.tallies.of(core).count_harakiri();
        let generation = watch.generation;
        tracing::warn!(
            "*** HARAKIRI ON WORKER {worker} (core {core}, generation {generation}) ***\n\
             HARAKIRI [core {core}] {request} since {:.3} s; {heard}",
            took.as_secs_f64()
        );
        let number = watched.number;
        let is_verbose = self.rules.is_verbose;
        let interruption = Arc::clone(&watch.interruption);
        throw_away("sm-strike", move || {
            interruption.strike(number, is_verbose, |stack| {
                let stack = stack.map_or_else(
                    || "  it runs no Python code".to_owned(),
                    |stack| stack.to_string(),
                );
                let stack = stack.trim_end_matches('\n');
                tracing::warn!(
                    "HARAKIRI [core {core}] the Python stack of worker {worker}:\n{stack}"
                );
            });
        });
    }

    /// It has not come back.
    fn give_up(&self, shared: &Arc<Shared>, watch: &Arc<Watch>, request: &str) {
        let (worker, core) = (watch.seat.worker, watch.seat.core);
        let given_up = self.given_up.fetch_add(1, Ordering::SeqCst) + 1;
        tracing::error!(
            worker,
            core,
            "a worker is given up: {request} goes on {} s after its exception (--harakiri-graceful-timeout). It was caught, or code \
             outside of Python does not return",
            self.rules.grace.as_secs_f64()
        );
        if given_up > self.abandoned_max {
            tracing::error!(
                "{given_up} workers have been given up and are not back; each keeps its memory. Look for what the log says they were \
                 doing"
            );
            (self.on_overrun)(format!("{given_up} workers given up (--harakiri)"));
        }
        // A retired generation needs no successors but those who run its queue dry, and there the others do.
        if shared.is_retired() {
            return;
        }
        let (shared, watch) = (Arc::clone(shared), Arc::clone(watch));
        throw_away("sm-successor", move || replace(&shared, &watch));
    }

    /// One that was given up has come back.
    pub(super) fn note_back(&self, watch: &Watch) {
        self.given_up.fetch_sub(1, Ordering::SeqCst);
        let (worker, core) = (watch.seat.worker, watch.seat.core);
        tracing::warn!(
            worker,
            core,
            "a worker that was given up has come back; it leaves"
        );
    }
}

/// Puts somebody in the place of a worker that was given up, however long that takes: without, one would be missing for ever. Runs on
/// a thread of its own.
fn replace(shared: &Arc<Shared>, watch: &Watch) {
    let (worker, core) = (watch.seat.worker, watch.seat.core);
    let crew = &watch.crew;
    let is_main = shared.isolation == Isolation::Main;
    // Of several threads of an interpreter, the first one sees to it.
    if !is_main && !crew.becomes_succeeded() {
        return;
    }
    while !crew.is_dismissed() {
        let replaced = if is_main {
            load_generation::replace_thread(shared, crew, core, watch.interruption.interpreter())
        } else {
            replace_crew(shared, crew)
        };
        match replaced {
            Ok(()) => {
                tracing::warn!(worker, core, "a worker that was given up has a successor");
                return;
            }
            Err(error) => {
                tracing::error!(
                    worker,
                    core,
                    "cannot replace a worker that was given up: {error}; trying again in {} s",
                    REPLACE_PAUSE.as_secs()
                );
                std::thread::sleep(REPLACE_PAUSE);
            }
        }
    }
}

/// A fresh interpreter in the place of this one.
fn replace_crew(shared: &Arc<Shared>, crew: &Arc<Crew>) -> Result<(), StartError> {
    let fresh = shared.add_crew(crew.worker, Gate::Shut);
    let born = load_generation::of_crew(shared, &fresh, &Patience::endless(), Entrance::Free);
    match &born {
        Ok(()) => {
            fresh.open_gate();
            shared.dismiss(crew);
        }
        Err(_) => shared.dismiss(&fresh),
    }
    born
}

/// Runs what may never end, on a thread of its own.
pub(super) fn throw_away(name: &str, body: impl FnOnce() + Send + 'static) {
    let spawned = std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_BYTES_MIN)
        .spawn(body);
    if let Err(error) = spawned {
        tracing::error!(%error, "no thread could be started ({name})");
    }
}
