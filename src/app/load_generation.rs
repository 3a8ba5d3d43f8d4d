//! The life of a generation's threads: birth, work, end.
//!
//! A creator makes its interpreter, loads the application, serves, and ends the interpreter when its
//! siblings have left it; a sibling joins an interpreter and leaves it again. Each of these runs on the
//! thread it is about.

use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{RecvTimeoutError, Sender, bounded, unbounded};
use parking_lot::Mutex;

use crate::config::IsolationChoice;
use crate::python::{Ended, InterpreterHandle, InterpreterThread, Isolation, LoadFailure};
use crate::wsgi::Mounts;

use super::apps::{NotLoaded, shown};
use super::generation::{Patience, Plan, StartError};
use super::harakiri::watch::{Life, Watch};
use super::probe::{Probe, Unanswered};
use super::thread_placement;
use super::worker::{Exit, Seat, Worker};
use super::worker_group::{Crew, Gate};
use super::workers::Shared;

/// How one thread's start went.
pub(super) struct Birth {
    pub(super) crew: Arc<Crew>,
    pub(super) elapsed: Duration,
    pub(super) result: Result<InterpreterHandle, StartError>,
}

/// Starts a thread of the crew and counts it until it has ended, however it ends.
fn spawn(
    shared: &Arc<Shared>,
    crew: &Arc<Crew>,
    core: usize,
    body: impl FnOnce(&Arc<Shared>, &Arc<Crew>) + Send + 'static,
) -> io::Result<()> {
    struct Alive(Arc<Shared>, Arc<Crew>);
    impl Drop for Alive {
        fn drop(&mut self) {
            self.1.thread_has_ended();
            self.0.thread_has_ended();
        }
    }
    shared.thread_begins();
    crew.thread_begins();
    let alive = Alive(Arc::clone(shared), Arc::clone(crew));
    let worker = crew.worker;
    let seat = Seat { worker, core };
    std::thread::Builder::new()
        .name(thread_placement::name(shared, seat))
        .stack_size(shared.plan.stack_bytes)
        .spawn(move || {
            let Alive(shared, crew) = &alive;
            thread_placement::settle(shared, seat);
            let body = AssertUnwindSafe(|| body(shared, crew));
            if catch_unwind(body).is_err() {
                tracing::error!(
                    worker,
                    core,
                    "a worker thread panicked outside a request; it serves no more"
                );
            }
        })
        .map(drop)
}

/// Whether an interpreter has to answer before it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entrance {
    /// Of a new generation: if there is a probe, and as that says.
    Probed,
    /// Of a new version in an old generation, which may have begun without a good answer.
    Renewed,
    /// In the place of one that serves: a database that is away for a moment must not cost workers, too.
    Free,
}

pub(super) fn spawn_creator(
    shared: &Arc<Shared>,
    crew: &Arc<Crew>,
    births: &Sender<Birth>,
    entrance: Entrance,
) -> io::Result<()> {
    /// The interpreter goes when its creator does.
    struct Listed(Arc<Shared>, Arc<Crew>);
    impl Drop for Listed {
        fn drop(&mut self) {
            self.0.remove_crew(&self.1);
        }
    }
    let births = births.clone();
    let listed = Listed(Arc::clone(shared), Arc::clone(crew));
    spawn(shared, crew, 0, move |shared, crew| {
        let _listed = listed;
        create(shared, crew, births, entrance);
    })
}

/// Reports how a thread's birth went, and reports a panic if nothing else was.
struct Midwife {
    crew: Arc<Crew>,
    started: Instant,
    births: Arc<Mutex<Option<Sender<Birth>>>>,
}

impl Midwife {
    fn new(crew: &Arc<Crew>, births: Sender<Birth>) -> Self {
        Self {
            crew: Arc::clone(crew),
            started: Instant::now(),
            births: Arc::new(Mutex::new(Some(births))),
        }
    }

    fn report(&mut self, result: Result<InterpreterHandle, StartError>) {
        let Some(births) = self.births.lock().take() else {
            return;
        };
        let birth = Birth {
            crew: Arc::clone(&self.crew),
            elapsed: self.started.elapsed(),
            result,
        };
        // A replacement reports to nobody, and after another thread's failure nobody listens any more.
        if let Err(unheard) = births.send(birth)
            && let Err(error) = unheard.0.result
            && !self.crew.is_dismissed()
        {
            tracing::error!(worker = self.crew.worker, "cannot start a worker: {error}");
        }
    }
}

impl Midwife {
    /// Asks the probe's question. If the answer takes too long, whoever waits for this birth is told meanwhile: a thread in the
    /// application cannot be called back.
    fn wait_for_answer(
        &self,
        probe: &Probe,
        python: &mut InterpreterThread,
        mounts: &Mounts,
    ) -> Result<(), Unanswered> {
        let (answered, is_answered) = bounded::<Infallible>(0);
        let watch = {
            let (probe, births) = (probe.clone(), Arc::clone(&self.births));
            let (crew, started) = (Arc::clone(&self.crew), self.started);
            move || {
                if is_answered.recv_timeout(probe.rules.timeout) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                if probe.is_lenient {
                    tracing::error!("{}; it is waited for", probe.too_late());
                    return;
                }
                if let Some(births) = births.lock().take() {
                    let result = Err(StartError::Probe(probe.too_late()));
                    let elapsed = started.elapsed();
                    // Nobody listens any more: another interpreter has failed.
                    let _unheard = births.send(Birth {
                        crew,
                        elapsed,
                        result,
                    });
                }
            }
        };
        let watching = std::thread::Builder::new()
            .name("sm-probe".to_owned())
            .spawn(watch);
        if let Err(error) = watching {
            tracing::warn!(%error, "nobody watches how long the probe takes");
        }
        let asked = probe.ask(python, mounts);
        drop(answered);
        match asked {
            Err(unanswered) if probe.is_lenient => {
                tracing::error!(
                    "{unanswered}; worker {} serves nevertheless (--need-app leaves with an error instead)",
                    self.crew.worker
                );
                Ok(())
            }
            // Too late: the generation was given up.
            Ok(()) if self.births.lock().is_none() => Err(probe.too_late()),
            asked => asked,
        }
    }
}

impl Drop for Midwife {
    fn drop(&mut self) {
        self.report(Err(StartError::Panicked));
    }
}

/// Starts the threads of one interpreter, and waits until all of them are ready to serve.
pub(super) fn of_crew(
    shared: &Arc<Shared>,
    crew: &Arc<Crew>,
    patience: &Patience,
    entrance: Entrance,
) -> Result<(), StartError> {
    let (births, born) = unbounded();
    spawn_creator(shared, crew, &births, entrance).map_err(StartError::Thread)?;
    let handle = patience.receive(&born)?.result?;
    add_siblings(shared, crew, &handle, patience)
}

/// Starts the threads of an interpreter beside the one that made it, and waits for them.
pub(super) fn add_siblings(
    shared: &Arc<Shared>,
    crew: &Arc<Crew>,
    handle: &InterpreterHandle,
    patience: &Patience,
) -> Result<(), StartError> {
    let (births, born) = unbounded();
    for core in 1..shared.threads_per_interpreter() {
        spawn_sibling(shared, crew, core, handle.clone(), &births).map_err(StartError::Thread)?;
    }
    for _ in 1..shared.threads_per_interpreter() {
        patience.receive(&born)?.result?;
    }
    Ok(())
}

/// The life of a thread that makes an interpreter.
fn create(shared: &Arc<Shared>, crew: &Arc<Crew>, births: Sender<Birth>, entrance: Entrance) {
    let mut midwife = Midwife::new(crew, births);
    shared.registrations.begin_anew(crew.worker);
    let plan = shared.plan.seen_from_here();
    let spec = shared.spec(&plan, crew.worker);
    let mut python = match InterpreterThread::create(shared.runtime, spec) {
        Ok(python) => python,
        Err(error) => return midwife.report(Err(StartError::Runtime(error))),
    };
    let watch = watch(shared, crew, (0, false), &python);
    let mut failed = Vec::new();
    let loading = load(shared, &plan, crew, &mut python, &mut failed);
    if let Some(on_sources) = &shared.surroundings.on_sources {
        let mut sources = python.attached(|py| py.new_sources(&mut 0));
        for (_, failure) in &failed {
            sources.extend(failure.sources());
        }
        on_sources(&sources, crew.since.elapsed());
    }
    if loading.is_err() {
        end(shared, crew, python);
        return midwife.report(Err(StartError::Load(NotLoaded(failed))));
    }
    let probe = plan.probe.clone().map(|probe| Probe {
        is_lenient: probe.is_lenient && entrance == Entrance::Probed,
        ..probe
    });
    if entrance != Entrance::Free
        && let Some(probe) = probe
        && let Err(unanswered) = midwife.wait_for_answer(&probe, &mut python, plan.apps.mounts())
    {
        end(shared, crew, python);
        return midwife.report(Err(StartError::Probe(unanswered)));
    }
    shared.ledger.note_spawn(crew.worker);
    let handle = python.handle();
    midwife.report(Ok(handle.clone()));
    if crew.wait_at_gate() == Gate::Open {
        work(shared, crew, &watch, &mut python, &handle);
    }
    crew.wait_for_siblings();
    end(shared, crew, python);
}

/// The applications do not load.
struct InVain;

/// Loads the applications; those that fail are added to `failed`. In the first interpreter one that fails is told and left
/// out, so that it does not take the others down; the other interpreters load what the first one has, and all of it.
fn load(
    shared: &Shared,
    plan: &Plan,
    crew: &Crew,
    python: &mut InterpreterThread,
    failed: &mut Vec<(String, LoadFailure)>,
) -> Result<(), InVain> {
    let apps = &plan.apps;
    let loadable = shared.apps.loadable();
    let mut loaded = Vec::with_capacity(apps.count());
    for (at, (place, target)) in apps.iter().enumerate() {
        if loadable.as_ref().is_some_and(|loadable| !loadable[at]) {
            loaded.push(None);
            continue;
        }
        let mountpoint = place.mountpoint();
        match python.load_app(at, &mountpoint, target) {
            Ok(app) => loaded.push(Some(app)),
            Err(failure) => {
                let needs_main = matches!(failure, LoadFailure::ExtensionRefused { .. });
                loaded.push(None);
                failed.push((mountpoint, failure));
                // If one needs the main interpreter, all of them will live there; and what the first interpreter, or the
                // generation before, could load, this one has to.
                let is_in_vain = needs_main && plan.isolation == IsolationChoice::Auto;
                if is_in_vain || loadable.is_some() || apps.needs(at) {
                    return Err(InVain);
                }
            }
        }
    }
    if apps.count() > 0 && loaded.iter().all(Option::is_none) {
        return Err(InVain);
    }
    for (mountpoint, failure) in failed {
        tracing::error!("{}: {failure}", shown(mountpoint));
    }
    if apps.count() > 0 {
        python.all_loaded();
    }
    shared.apps.note_loaded(crew.worker, loaded);
    Ok(())
}

fn spawn_sibling(
    shared: &Arc<Shared>,
    crew: &Arc<Crew>,
    core: usize,
    handle: InterpreterHandle,
    births: &Sender<Birth>,
) -> io::Result<()> {
    struct Sibling(Arc<Crew>);
    impl Drop for Sibling {
        fn drop(&mut self) {
            self.0.sibling_has_ended();
        }
    }
    crew.sibling_begins();
    let sibling = Sibling(Arc::clone(crew));
    let births = births.clone();
    spawn(shared, crew, core, move |shared, crew| {
        let _sibling = sibling;
        let mut midwife = Midwife::new(crew, births);
        let mut python = match InterpreterThread::join(&handle, core) {
            Ok(python) => python,
            Err(error) => return midwife.report(Err(StartError::Runtime(error))),
        };
        let watch = watch(shared, crew, (core, true), &python);
        midwife.report(Ok(handle.clone()));
        if crew.wait_at_gate() == Gate::Open {
            work(shared, crew, &watch, &mut python, &handle);
        }
        end(shared, crew, python);
    })
}

/// The record of the calling thread, for those who look after it.
fn watch(
    shared: &Arc<Shared>,
    crew: &Arc<Crew>,
    (core, is_sibling): (usize, bool),
    python: &InterpreterThread,
) -> Arc<Watch> {
    let seat = Seat {
        worker: crew.worker,
        core,
    };
    let harakiri = &shared.plan.process.harakiri;
    let interruption = python.interruption();
    Watch::new(harakiri, shared, crew, (seat, is_sibling), interruption)
}

/// Serves until the crew is dismissed. A thread whose job panicked sees to its own replacement.
fn work(
    shared: &Arc<Shared>,
    crew: &Arc<Crew>,
    watch: &Arc<Watch>,
    python: &mut InterpreterThread,
    handle: &InterpreterHandle,
) {
    let (seat, is_sibling) = (watch.seat, watch.is_sibling);
    let core = seat.core;
    let domain = shared.domain_of(crew, core);
    let runner = domain.join(crew.worker, crew.dismissed_mark());
    let (ours, theirs) = (Arc::clone(shared), Arc::clone(crew));
    let mut worker = Worker::new(seat, ours, theirs, runner, Arc::clone(watch));
    watch.is_now(Life::Serving);
    let exit = worker.serve(python);
    watch.is_now(Life::Leaving);
    drop(worker);
    if watch.is_given_up() {
        // Its place has been taken.
        shared.thread_is_back(crew, is_sibling);
        shared.plan.process.harakiri.note_back(watch);
        return;
    }
    // One that was to leave has its successor already, but a retired generation has to run its queue dry.
    if exit == Exit::Panicked && (!crew.is_dismissed() || shared.is_retired()) {
        let (births, _nobody_waits) = unbounded();
        let is_alone = shared.threads_per_interpreter() == 1 && shared.isolation != Isolation::Main;
        let replaced = if is_alone {
            let successor = shared.add_crew(crew.worker, Gate::Open);
            // This one has done its part.
            shared.dismiss(crew);
            spawn_creator(shared, &successor, &births, Entrance::Free)
        } else {
            spawn_sibling(shared, crew, core, handle.clone(), &births)
        };
        match replaced {
            Ok(()) => tracing::warn!(
                worker = crew.worker,
                core,
                "replacing a worker that panicked"
            ),
            Err(error) => tracing::error!(%error, "cannot replace a worker that panicked"),
        }
    }
}

/// A further thread in the place of one that was given up, in the same interpreter.
pub(super) fn replace_thread(
    shared: &Arc<Shared>,
    crew: &Arc<Crew>,
    core: usize,
    handle: InterpreterHandle,
) -> Result<(), StartError> {
    let (births, born) = unbounded();
    spawn_sibling(shared, crew, core, handle, &births).map_err(StartError::Thread)?;
    Patience::endless().receive(&born)?.result.map(drop)
}

fn end(shared: &Shared, crew: &Crew, python: InterpreterThread) {
    let grace = shared.plan.end_grace;
    let is_exit = shared.surroundings.net.is_draining();
    let ended = if is_exit {
        python.end_at_exit(grace)
    } else {
        python.end(grace)
    };
    match ended {
        // At exit nothing is left behind: the process goes, and what it holds goes with it.
        Ended::Parked { .. } if is_exit => {}
        Ended::Parked { threads_left } => {
            shared.count_parked();
            tracing::warn!(
                generation = shared.id,
                worker = crew.worker,
                threads_left,
                "an interpreter is parked: the application left threads that cannot be ended"
            );
        }
        Ended::Ended | Ended::Left => {}
    }
}
