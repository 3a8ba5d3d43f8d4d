//! One loaded version of the application: its interpreters, its workers, its queue. Born whole or not at
//! all, retired as a whole.
//!
//! The generation owns the only sender of its queue. When the last `Arc` of it goes, the sender goes, the
//! workers run the queue dry, end their interpreters on the threads that made them, and return. What is left of it
//! meanwhile is its roster.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, at, never, unbounded};
use crossbeam::select;

use crate::config::{IsolationChoice, Recycling};
use crate::net::{Exchange, Rejected, Turn};
use crate::python::{InterpreterSpec, Isolation, Runtime, RuntimeError, TargetKind};

use super::apps::{AppReport, Apps, NotLoaded};
use super::load_generation::{Birth, Entrance, add_siblings, spawn_creator};
use super::probe::{Probe, Unanswered};
use super::process::Process;
use super::queue::{self, Job, Next, Queue};
use super::worker::Surroundings;
use super::worker_group::Gate;
use super::workers::{Roster, Shared};

/// What a person can do about an extension that only the main interpreter can load.
const WAY_OUT: &str = "--isolation main starts faster, without trying; more parallel Python needs more servers behind a proxy";

/// What a generation is made from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The applications, and which request is for which of them.
    pub apps: Apps,
    /// Interpreters (uWSGI's processes), at most.
    pub interpreters: usize,
    /// How many of them are made at once; the others when they are needed.
    pub at_first: usize,
    /// Threads of each.
    pub threads: usize,
    /// How interpreters are made.
    pub isolation: IsolationChoice,
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
    /// What the interpreters of a new generation have to answer before they serve.
    pub probe: Option<Probe>,
    /// When an interpreter is replaced by a fresh one.
    pub recycling: Recycling,
    /// The working directory that relative paths are meant from.
    pub folder: PathBuf,
    /// What an interpreter's own threads are given to finish, before it is parked for ever.
    pub end_grace: Duration,
    /// What the generations of the process have around them.
    pub process: Arc<Process>,
}

impl IsolationChoice {
    /// The way that was asked for; `None` where it depends on the Python and the application.
    pub fn asked_for(self) -> Option<Isolation> {
        match self {
            IsolationChoice::Auto => None,
            IsolationChoice::OwnGil => Some(Isolation::OwnGil),
            IsolationChoice::SharedGil => Some(Isolation::SharedGil),
            IsolationChoice::Main => Some(Isolation::Main),
        }
    }
}

impl Plan {
    /// How many interpreters there will be, and threads of each.
    pub(super) fn shape(&self, isolation: Isolation) -> (usize, usize) {
        match isolation {
            Isolation::Main => (1, self.interpreters * self.threads),
            Isolation::OwnGil | Isolation::SharedGil => (self.interpreters, self.threads),
        }
    }

    /// The plan as it has to be read now: if the process has left the directory that relative paths are meant from
    /// (`--chdir2`, or the application itself), they are made absolute.
    pub(super) fn seen_from_here(&self) -> Cow<'_, Self> {
        if std::env::current_dir().is_ok_and(|now| now == self.folder) {
            return Cow::Borrowed(self);
        }
        let folder = &self.folder;
        let mut plan = self.clone();
        for target in plan.apps.targets_mut() {
            anchor(&mut target.kind, folder);
        }
        for import in &mut plan.spec.imports {
            anchor(&mut import.target, folder);
        }
        for path in &mut plan.spec.plugins {
            *path = folder.join(&*path);
        }
        for path in &mut plan.spec.python_path {
            *path = folder.join(&*path);
        }
        plan.spec.python_path.insert(0, folder.clone());
        Cow::Owned(plan)
    }
}

fn anchor(target: &mut TargetKind, folder: &Path) {
    match target {
        TargetKind::File(path) => *path = folder.join(&*path),
        TargetKind::Paste { uri, .. } => {
            if let Some(path) = uri.strip_prefix("config:") {
                *uri = format!("config:{}", folder.join(path).display());
            }
        }
        TargetKind::Module(_) | TargetKind::Code(_) => {}
    }
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
    /// How many there may be.
    pub most: usize,
    /// Threads in all.
    pub threads: usize,
}

/// Why there is no generation.
#[derive(Debug)]
pub enum StartError {
    /// No application could be loaded; or one that another interpreter has could not.
    Load(NotLoaded),
    /// The application loads, and does not answer as it should.
    Probe(Unanswered),
    /// An interpreter could not be made.
    Runtime(RuntimeError),
    /// A thread could not be started.
    Thread(io::Error),
    /// A worker ended without a word: it panicked while it started.
    Panicked,
    /// It took longer than it may.
    TooLate,
    /// Nobody wants it any more.
    GivenUp,
    /// It could live in the main interpreter only, and that has had an application.
    MainIsTaken,
    /// The interpreter that was to be replaced has left already.
    Gone,
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Load(failures) => failures.fmt(out),
            StartError::Probe(unanswered) => unanswered.fmt(out),
            StartError::Runtime(error) => error.fmt(out),
            StartError::Thread(error) => write!(
                out,
                "cannot start a thread: {error}. Lower --processes or --threads, or raise the limit (ulimit -u)"
            ),
            StartError::Panicked => {
                write!(out, "a worker panicked while it started; this is a bug")
            }
            StartError::TooLate => write!(
                out,
                "the application was still loading when the time was up (--reload-timeout)"
            ),
            StartError::Gone => write!(out, "the interpreter has left already"),
            StartError::GivenUp => write!(out, "the server stops"),
            StartError::MainIsTaken => write!(
                out,
                "this application lives in the main interpreter, which cannot be renewed inside a running process"
            ),
        }
    }
}

impl std::error::Error for StartError {}

/// How long a birth is waited for.
#[derive(Clone, Debug)]
pub struct Patience {
    /// Until then.
    pub until: Option<Instant>,
    /// Or until the other end of this is dropped.
    pub given_up: Receiver<Infallible>,
}

impl Patience {
    /// For as long as it takes.
    pub fn endless() -> Self {
        Self {
            until: None,
            given_up: never(),
        }
    }

    /// Waits for this long.
    ///
    /// # Errors
    /// There is no patience left.
    pub fn pause(&self, time: Duration) -> Result<(), StartError> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return Err(StartError::TooLate);
        }
        select! {
            recv(self.given_up) -> _ => Err(StartError::GivenUp),
            default(time) => Ok(()),
        }
    }

    /// The next birth.
    pub(super) fn receive(&self, born: &Receiver<Birth>) -> Result<Birth, StartError> {
        let overdue = self.until.map_or_else(never, at);
        select! {
            // Every thread reports; a channel that closes without has lost one to a panic.
            recv(born) -> birth => birth.map_err(|_| StartError::Panicked),
            recv(self.given_up) -> _ => Err(StartError::GivenUp),
            recv(overdue) -> _ => Err(StartError::TooLate),
        }
    }
}

/// An application was loaded into the main interpreter of this process. What it left there (modules, threads, C extensions
/// that load once) cannot be taken out again, so no later generation can be made there.
static MAIN_IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// A loaded version of the application that serves, or did.
pub struct Generation {
    sender: Sender<Job>,
    shared: Arc<Shared>,
}

impl Generation {
    /// Makes the interpreters and loads the application in all of them; nobody serves before all are ready.
    /// Runs on the main thread at start and on `sm-reload` later, detached from Python.
    ///
    /// # Errors
    /// Whatever stood in the way of the first interpreter that failed. Nothing is left behind then, unless a thread
    /// is still inside the application's import: it ends when it comes out of there.
    pub fn start(
        id: u64,
        plan: &Plan,
        runtime: &'static Runtime,
        surroundings: &Surroundings,
        patience: &Patience,
    ) -> Result<(Arc<Self>, Report), StartError> {
        let (isolation, why) = match plan.isolation.asked_for() {
            Some(isolation) => (isolation, "asked for".to_owned()),
            None if !runtime.supports_own_gil() => (
                Isolation::Main,
                format!(
                    "CPython {} has no usable own-GIL interpreters; 3.13 has",
                    runtime.version()
                ),
            ),
            None if runtime.is_free_threaded() => (
                Isolation::Main,
                "free-threaded CPython runs threads in parallel".to_owned(),
            ),
            None => (Isolation::OwnGil, String::new()),
        };
        let start =
            |isolation| Self::start_with(id, plan, runtime, surroundings, isolation, patience);
        match start(isolation) {
            Err(StartError::Load(failures)) if plan.isolation == IsolationChoice::Auto => {
                let Some(failure) = failures
                    .needs_main()
                    .filter(|_| isolation == Isolation::OwnGil)
                else {
                    return Err(StartError::Load(failures));
                };
                let (generation, mut report) = start(Isolation::Main)?;
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
        patience: &Patience,
    ) -> Result<(Arc<Self>, Report), StartError> {
        if isolation == Isolation::Main
            && plan.apps.count() > 0
            && MAIN_IS_TAKEN.swap(true, Ordering::SeqCst)
        {
            return Err(StartError::MainIsTaken);
        }
        let (sender, queue) = Queue::new(plan.queue_max, plan.shape(isolation).0);
        let shared = Shared::new(id, queue, plan, runtime, surroundings, isolation);
        let generation = Arc::new(Self { sender, shared });
        match generation.give_birth(patience) {
            Ok(report) => Ok((generation, report)),
            Err(error) => {
                let roster = generation.roster();
                drop(generation);
                // Half-made interpreters end before the next attempt: they may hold what it needs. Nobody waits for one that was
                // waited for long enough.
                let is_left_alone = matches!(
                    error,
                    StartError::TooLate
                        | StartError::GivenUp
                        | StartError::Probe(Unanswered::TooLate { .. })
                );
                if !is_left_alone {
                    roster.wait(Instant::now() + plan.end_grace * 2);
                }
                Err(error)
            }
        }
    }

    fn give_birth(&self, patience: &Patience) -> Result<Report, StartError> {
        let shared = &self.shared;
        let (births, born) = unbounded();
        let interpreters = shared.interpreters_at_first();
        let mut elapsed = Vec::with_capacity(interpreters);
        let mut crews = Vec::with_capacity(interpreters);
        // The first one alone shows whether the application loads; the others start side by side.
        spawn_creator(
            shared,
            &shared.add_crew(1, Gate::Shut),
            &births,
            Entrance::Probed,
        )
        .map_err(StartError::Thread)?;
        let mut waiting = 1;
        while waiting > 0 {
            waiting -= 1;
            let birth: Birth = patience.receive(&born)?;
            let handle = birth.result?;
            elapsed.push(birth.elapsed);
            if birth.crew.worker == 1 {
                for worker in 2..=interpreters {
                    let crew = shared.add_crew(worker, Gate::Shut);
                    spawn_creator(shared, &crew, &births, Entrance::Probed)
                        .map_err(StartError::Thread)?;
                    waiting += 1;
                }
            }
            crews.push((birth.crew, handle));
        }
        for (crew, handle) in crews {
            add_siblings(shared, &crew, &handle, patience)?;
        }
        let threads = shared.threads_per_interpreter();
        Ok(Report {
            isolation: shared.isolation,
            why: String::new(),
            loaded: shared.apps.reports(&shared.plan.apps),
            threads: interpreters * threads,
            interpreters: elapsed,
            most: shared.interpreters(),
        })
    }

    /// The number of this generation, from 1.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// How its interpreters were made.
    pub fn isolation(&self) -> Isolation {
        self.shared.isolation
    }

    /// Lets the workers begin, and its timers count. Call it when the generation is in charge.
    pub fn serve(&self) {
        self.shared.take_charge_of_signals();
        let surroundings = &self.shared.surroundings;
        surroundings.bell.call_in(&surroundings.net);
        for crew in self.shared.crews() {
            crew.open_gate();
        }
    }

    /// Lets the workers begin, but outside of the poll and without its timers: they see to what is queued. Call it before it
    /// gets requests as a canary.
    pub fn serve_aside(&self) {
        self.shared.stand_aside();
        for crew in self.shared.crews() {
            crew.open_gate();
        }
    }

    /// The workers finish what is queued and then sleep outside of the poll, at no cost, until something is queued again or
    /// [`rejoin`](Self::rejoin) is called. Call it when another one is in charge.
    pub fn stand_aside(&self) {
        self.shared.stand_aside();
    }

    /// The workers poll again. Call it when the generation is in charge: one that sleeps in the poll is woken by those who know
    /// that it is (`Current::wake_successor`).
    pub fn rejoin(&self) {
        self.shared.rejoin();
        self.queue().wake_if_idle(&self.shared.surroundings.net);
    }

    /// What waits in its queue goes to another one, which is in charge. What finds no room there stays here.
    pub fn pass_on(&self, other: &Self) {
        let Surroundings { net, current, .. } = &self.shared.surroundings;
        for _ in 0..self.queue().len() {
            let Next::Job(Job::Request(exchange)) = self.queue().next() else {
                break;
            };
            if let Err((exchange, rejected)) = other
                .submit(exchange)
                .or_else(|(back, _)| self.submit(back))
            {
                // Both are full: somebody has queued here what he had decided before. A full queue says so, and whoever decides
                // over generations waits for no worker.
                Turn::default().turn_away(net, &**current, exchange, rejected);
            }
        }
        other.queue().wake_if_idle(net);
    }

    /// The queue, for those who look after it.
    pub fn queue(&self) -> &Queue {
        self.shared.queue()
    }

    /// Looks after the runners; whether anybody runs a job. The acceptor calls it once a tick.
    pub fn tick(&self) -> bool {
        self.shared.tick()
    }

    /// Whether a signal waits for a thread that sleeps in the poll.
    pub fn has_signal_for_sleeper(&self) -> bool {
        self.shared.has_letter_for_sleeper()
    }

    /// Whether no interpreter serves: the acceptor polls, and a request brings one.
    pub fn is_at_rest(&self) -> bool {
        self.shared.rest.is_asleep()
    }

    /// Whether a request would be answered by the application.
    pub fn is_healthy(&self) -> bool {
        !self.shared.rest.is_broken() && self.loaded().contains(&true)
    }

    /// Whether several threads share a GIL.
    pub fn shares_gil(&self) -> bool {
        self.shared.shares_gil()
    }

    /// Which of the applications it has loaded.
    pub fn loaded(&self) -> Vec<bool> {
        self.shared.apps.loadable().unwrap_or_default()
    }

    /// Who works in it. Outlives the generation, and does not keep it in charge of anything.
    pub fn roster(&self) -> Roster {
        Roster::new(&self.shared)
    }

    pub(super) fn submit(&self, exchange: Exchange) -> Result<(), (Exchange, Rejected)> {
        if self.shared.rest.is_broken() {
            return Err((exchange, Rejected::Stopped));
        }
        queue::send(&self.sender, exchange)?;
        if self.shared.rest.is_asleep() {
            self.shared.want_interpreter();
        }
        Ok(())
    }
}

impl Drop for Generation {
    /// Retires it. Nobody can queue anything any more: that would have needed a reference.
    fn drop(&mut self) {
        self.shared.retire();
        if self.shared.rest.is_asleep() {
            self.shared.pass_on(true);
        }
    }
}
