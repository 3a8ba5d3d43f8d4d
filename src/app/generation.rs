//! One loaded version of the application: its interpreters, its workers, its queue. Born whole or not at
//! all, retired as a whole.
//!
//! The generation owns the only sender of its queue. When the last `Arc` of it goes, the sender goes, the
//! workers run the queue dry, end their interpreters on the threads that made them, and return.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};

use crate::http::{FieldKind, RequestHead};
use crate::net::{Exchange, Rejected};
use crate::python::{InterpreterSpec, Isolation, Loaded, Runtime, RuntimeError};

use super::apps::{AppReport, AppStats, Apps, NotLoaded, Tally};
use super::birth::{Birth, spawn_creator, spawn_sibling};
use super::queue::{self, Job, Queue};
use super::runners::Domain;
use super::worker::{Seat, Surroundings};

/// What a person can do about an extension that only the main interpreter can load.
const WAY_OUT: &str = "--isolation main starts faster, without trying; more parallel Python needs more servers behind a proxy";

/// How interpreters are to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolated {
    /// As asked for, or not at all.
    By(Isolation),
    /// Own GILs if this Python and the application allow it, else the main interpreter.
    Auto,
}

/// What a generation is made from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The applications, and which request is for which of them.
    pub apps: Apps,
    /// Interpreters (uWSGI's processes).
    pub interpreters: usize,
    /// Threads of each.
    pub threads: usize,
    /// How interpreters are made.
    pub isolated: Isolated,
    /// Cores that each of uWSGI's workers would be kept on; `None` leaves it to the kernel.
    pub cores_per_worker: Option<usize>,
    /// Threads are called as uWSGI's processes.
    pub uwsgi_names: bool,
    /// What every interpreter is told; its worker number and isolation are filled in.
    pub spec: InterpreterSpec,
    /// The stack of each worker thread.
    pub stack_bytes: usize,
    /// Requests that may wait.
    pub queue_max: usize,
    /// What an interpreter's own threads are given to finish, before it is parked for ever.
    pub end_grace: Duration,
}

/// How the birth went, for the start-up report.
#[derive(Debug)]
pub struct Report {
    /// How interpreters were made.
    pub isolation: Isolation,
    /// Why, in words.
    pub why: String,
    /// What was loaded, each application in order, or why nothing was.
    pub loaded: Result<Vec<AppReport>, String>,
    /// How long each interpreter took, its application's loading included.
    pub interpreters: Vec<Duration>,
    /// Threads in all.
    pub threads: usize,
}

/// Why there is no generation.
#[derive(Debug)]
pub enum StartError {
    /// No application could be loaded; or one that another interpreter has could not.
    Load(NotLoaded),
    /// An interpreter could not be made.
    Runtime(RuntimeError),
    /// A thread could not be started.
    Thread(io::Error),
    /// A worker ended without a word: it panicked while it started.
    Panicked,
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Load(failures) => failures.fmt(out),
            StartError::Runtime(error) => error.fmt(out),
            StartError::Thread(error) => write!(
                out,
                "cannot start a thread: {error}. Lower --processes or --threads, or raise the limit (ulimit -u)"
            ),
            StartError::Panicked => {
                write!(out, "a worker panicked while it started; this is a bug")
            }
        }
    }
}

impl std::error::Error for StartError {}

/// What the threads wait for before they serve.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Shut,
    Open,
    /// The birth failed: end at once.
    Aborted,
}

/// What every thread of the generation shares. Holds no sender: the queue must be able to end.
pub struct Shared {
    queue: Queue,
    pub(super) plan: Plan,
    pub(super) runtime: &'static Runtime,
    pub(super) surroundings: Surroundings,
    pub(super) isolation: Isolation,
    domains: Mutex<HashMap<usize, Arc<Domain>>>,
    gate: (Mutex<Gate>, Condvar),
    retired: AtomicBool,
    /// Threads that use an interpreter beside its creator, by worker number.
    pub(super) siblings: (Mutex<HashMap<usize, usize>>, Condvar),
    pub(super) alive: (Mutex<usize>, Condvar),
    /// By worker number, what its interpreter has loaded of each application.
    loaded: Mutex<BTreeMap<usize, Vec<Option<Loaded>>>>,
    /// What each thread has done for each application.
    tallies: Mutex<Vec<(Seat, Arc<Tally>)>>,
    has_said_nobody_serves: AtomicBool,
}

impl Shared {
    /// The queue.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether the generation serves no more: workers run the queue dry and end.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// Which threads compete for one GIL.
    pub(super) fn domain_of(&self, seat: Seat) -> Arc<Domain> {
        let key = if self.runtime.is_free_threaded() {
            seat.worker << 16 | seat.core
        } else {
            match self.isolation {
                Isolation::OwnGil => seat.worker,
                Isolation::SharedGil | Isolation::Main => 0,
            }
        };
        let mut domains = lock(&self.domains);
        Arc::clone(domains.entry(key).or_insert_with(Domain::new))
    }

    pub(super) fn spec(&self, worker: usize) -> InterpreterSpec {
        let threads = self.threads_per_interpreter();
        InterpreterSpec {
            isolation: self.isolation,
            worker_id: worker,
            multithread: threads > 1,
            multiprocess: self.interpreters() > 1,
            ..self.plan.spec.clone()
        }
    }

    /// Which applications the first interpreter could load; `None` before it has tried. The others load the same, so that
    /// every interpreter has the same table.
    pub(super) fn loadable(&self) -> Option<Vec<bool>> {
        let loaded = lock(&self.loaded);
        let first = loaded.get(&1)?;
        Some(first.iter().map(Option::is_some).collect())
    }

    /// The interpreter of this worker has loaded its applications.
    pub(super) fn note_loaded(&self, worker: usize, loaded: Vec<Option<Loaded>>) {
        lock(&self.loaded).insert(worker, loaded);
    }

    /// A request is for no application: says so, once.
    pub(super) fn say_that_nobody_serves(&self, head: &RequestHead) {
        if self.plan.apps.count() > 0 && !self.has_said_nobody_serves.swap(true, Ordering::Relaxed)
        {
            let host = head.value_of(FieldKind::Host).unwrap_or_default();
            tracing::warn!(
                "no application is mounted for {} of host {}, and there is no default one: such requests are answered with 500 \
                 (this is said once)",
                head.path().escape_ascii(),
                host.escape_ascii()
            );
        }
    }

    /// The counters of a thread that begins to serve.
    pub(super) fn tally(&self, seat: Seat) -> Arc<Tally> {
        let tally = Arc::new(Tally::new(self.plan.apps.count()));
        lock(&self.tallies).push((seat, Arc::clone(&tally)));
        tally
    }

    fn reports(&self) -> Result<Vec<AppReport>, String> {
        let loaded = lock(&self.loaded);
        let apps = &self.plan.apps;
        if apps.count() == 0 {
            return Err("no application was named".to_owned());
        }
        let loaded = loaded.get(&1).into_iter().flatten();
        let report = |((at, (place, _)), loaded): ((usize, _), &Option<Loaded>)| {
            let place: &crate::wsgi::Place = place;
            AppReport {
                mountpoint: place.mountpoint(),
                is_default: apps.mounts().default_app() == Some(at),
                loaded: loaded.clone(),
            }
        };
        Ok(apps.iter().enumerate().zip(loaded).map(report).collect())
    }

    fn interpreters(&self) -> usize {
        match self.isolation {
            Isolation::Main => 1,
            Isolation::OwnGil | Isolation::SharedGil => self.plan.interpreters,
        }
    }

    pub(super) fn threads_per_interpreter(&self) -> usize {
        match self.isolation {
            Isolation::Main => self.plan.interpreters * self.plan.threads,
            Isolation::OwnGil | Isolation::SharedGil => self.plan.threads,
        }
    }

    fn open_gate(&self, gate: Gate) {
        *lock(&self.gate.0) = gate;
        self.gate.1.notify_all();
    }

    pub(super) fn wait_at_gate(&self) -> Gate {
        let mut gate = lock(&self.gate.0);
        while *gate == Gate::Shut {
            gate = self
                .gate
                .1
                .wait(gate)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *gate
    }
}

/// A loaded version of the application that serves, or did.
pub struct Generation {
    id: u64,
    sender: Sender<Job>,
    shared: Arc<Shared>,
}

/// Sees the end of a generation's threads after the generation itself has been dropped.
pub struct Remains(Arc<Shared>);

impl Generation {
    /// Makes the interpreters and loads the application in all of them; nobody serves before all are ready.
    /// Runs on the main thread, detached from Python.
    ///
    /// # Errors
    /// Whatever stood in the way of the first interpreter that failed. Nothing is left behind then.
    pub fn start(
        id: u64,
        plan: &Plan,
        runtime: &'static Runtime,
        surroundings: &Surroundings,
    ) -> Result<(Arc<Self>, Report), StartError> {
        let (isolation, why) = match plan.isolated {
            Isolated::By(isolation) => (isolation, "asked for".to_owned()),
            Isolated::Auto if !runtime.supports_own_gil() => (
                Isolation::Main,
                format!(
                    "CPython {} has no usable own-GIL interpreters; 3.13 has",
                    runtime.version()
                ),
            ),
            Isolated::Auto if runtime.is_free_threaded() => (
                Isolation::Main,
                "free-threaded CPython runs threads in parallel".to_owned(),
            ),
            Isolated::Auto => (Isolation::OwnGil, String::new()),
        };
        let started = Self::start_with(id, plan, runtime, surroundings, isolation);
        match started {
            Err(StartError::Load(failures)) if plan.isolated == Isolated::Auto => {
                let Some(failure) = failures
                    .needs_main()
                    .filter(|_| isolation == Isolation::OwnGil)
                else {
                    return Err(StartError::Load(failures));
                };
                let (generation, mut report) =
                    Self::start_with(id, plan, runtime, surroundings, Isolation::Main)?;
                report.why = format!("{}\n{WAY_OUT}", failure.reason());
                Ok((generation, report))
            }
            Err(error) => Err(error),
            Ok((generation, mut report)) => {
                report.why = why;
                Ok((generation, report))
            }
        }
    }

    fn start_with(
        id: u64,
        plan: &Plan,
        runtime: &'static Runtime,
        surroundings: &Surroundings,
        isolation: Isolation,
    ) -> Result<(Arc<Self>, Report), StartError> {
        let (sender, queue) = Queue::new(plan.queue_max);
        let shared = Arc::new(Shared {
            queue,
            plan: plan.clone(),
            runtime,
            surroundings: surroundings.clone(),
            isolation,
            domains: Mutex::default(),
            gate: (Mutex::new(Gate::Shut), Condvar::new()),
            retired: AtomicBool::new(false),
            siblings: Default::default(),
            alive: Default::default(),
            loaded: Mutex::default(),
            tallies: Mutex::default(),
            has_said_nobody_serves: AtomicBool::new(false),
        });
        let generation = Arc::new(Self { id, sender, shared });
        match generation.give_birth() {
            Ok(report) => Ok((generation, report)),
            Err(error) => {
                generation.shared.open_gate(Gate::Aborted);
                let remains = generation.remains();
                drop(generation);
                // Half-made interpreters end before the next attempt: they may hold what it needs.
                remains.wait(Instant::now() + plan.end_grace * 2);
                Err(error)
            }
        }
    }

    fn give_birth(&self) -> Result<Report, StartError> {
        let shared = &self.shared;
        let (births, born) = unbounded();
        let interpreters = shared.interpreters();
        let mut elapsed = Vec::with_capacity(interpreters);
        let mut handles = Vec::with_capacity(interpreters);
        // The first one alone shows whether the application loads; the others start side by side.
        spawn_creator(shared, 1, &births).map_err(StartError::Thread)?;
        let mut waiting = 1;
        while waiting > 0 {
            waiting -= 1;
            let birth: Birth = receive(&born)?;
            let handle = birth.result?;
            elapsed.push(birth.elapsed);
            handles.push((birth.seat.worker, handle));
            if birth.seat.worker == 1 {
                for worker in 2..=interpreters {
                    spawn_creator(shared, worker, &births).map_err(StartError::Thread)?;
                    waiting += 1;
                }
            }
        }
        let threads = shared.threads_per_interpreter();
        for (worker, handle) in handles {
            for core in 1..threads {
                let seat = Seat { worker, core };
                spawn_sibling(shared, seat, handle.clone(), &births).map_err(StartError::Thread)?;
                waiting += 1;
            }
        }
        while waiting > 0 {
            waiting -= 1;
            receive(&born)?.result?;
        }
        Ok(Report {
            isolation: shared.isolation,
            why: String::new(),
            loaded: shared.reports(),
            threads: interpreters * threads,
            interpreters: elapsed,
        })
    }

    /// The number of this generation, from 1.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Lets the workers begin. Call it when the generation is in charge.
    pub fn serve(&self) {
        self.shared.open_gate(Gate::Open);
    }

    /// The queue, for those who look after it.
    pub fn queue(&self) -> &Queue {
        &self.shared.queue
    }

    /// Looks after the runners; whether anybody runs a job. The acceptor calls it once a tick.
    pub fn tick(&self) -> bool {
        let domains = lock(&self.shared.domains);
        domains
            .values()
            .fold(false, |is_running, domain| domain.tick() | is_running)
    }

    /// Whether several threads share a GIL.
    pub fn shares_gil(&self) -> bool {
        !self.shared.runtime.is_free_threaded()
            && match self.shared.isolation {
                Isolation::OwnGil => self.shared.plan.threads > 1,
                Isolation::SharedGil | Isolation::Main => {
                    self.shared.plan.threads * self.shared.plan.interpreters > 1
                }
            }
    }

    /// What each application has done in each interpreter, so far.
    pub fn app_stats(&self) -> Vec<AppStats> {
        let shared = &self.shared;
        let tallies = lock(&shared.tallies);
        let mut all = Vec::new();
        for (worker, loaded) in &*lock(&shared.loaded) {
            for (id, ((place, _), loaded)) in shared.plan.apps.iter().zip(loaded).enumerate() {
                let own = tallies.iter().filter(|(seat, _)| seat.worker == *worker);
                let (requests, exceptions) = own
                    .map(|(_, tally)| tally.of(id))
                    .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
                let loaded = loaded.as_ref();
                all.push(AppStats {
                    worker: *worker,
                    id,
                    mountpoint: place.mountpoint(),
                    callable: loaded.map_or_else(String::new, |app| app.callable.clone()),
                    startup_time: loaded.map_or(Duration::ZERO, |app| app.elapsed),
                    requests,
                    exceptions,
                });
            }
        }
        all
    }

    /// What will be left to wait for when the generation is dropped.
    pub fn remains(&self) -> Remains {
        Remains(Arc::clone(&self.shared))
    }

    pub(super) fn submit(&self, exchange: Exchange) -> Result<(), (Exchange, Rejected)> {
        queue::send(&self.sender, exchange)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.shared.retired.store(true, Ordering::SeqCst);
        for domain in lock(&self.shared.domains).values() {
            domain.release_all();
        }
        self.shared.surroundings.net.poll().wake();
    }
}

impl Remains {
    /// Waits until every thread of the generation has ended, or until `deadline`. Returns how many have not.
    pub fn wait(&self, deadline: Instant) -> usize {
        let (lock_, ended) = &self.0.alive;
        let mut alive = lock(lock_);
        while *alive > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (alive, _) = ended
                .wait_timeout(alive, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *alive
    }
}

fn receive(born: &Receiver<Birth>) -> Result<Birth, StartError> {
    // Every thread reports; a channel that closes without has lost one to a panic.
    born.recv().map_err(|_| StartError::Panicked)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded here is replaced as a whole, never half-written.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
