//! The life of a generation's threads: birth, work, end.
//!
//! A creator makes its interpreter, loads the application, serves, and ends the interpreter when its
//! siblings have left it; a sibling joins an interpreter and leaves it again. Each of these runs on the
//! thread it is about.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, unbounded};

use crate::python::{Ended, InterpreterHandle, InterpreterThread, Isolation, LoadFailure};

use super::apps::{NotLoaded, shown};
use super::generation::{Gate, Isolated, Shared, StartError, lock};
use super::placement;
use super::worker::{Exit, Seat, Worker};

/// How one thread's start went.
pub(super) struct Birth {
    pub(super) seat: Seat,
    pub(super) elapsed: Duration,
    pub(super) result: Result<InterpreterHandle, StartError>,
}

/// Starts a thread of the generation and counts it until it has ended, however it ends.
fn spawn(
    shared: &Arc<Shared>,
    seat: Seat,
    body: impl FnOnce(&Arc<Shared>) + Send + 'static,
) -> io::Result<()> {
    struct Alive(Arc<Shared>);
    impl Drop for Alive {
        fn drop(&mut self) {
            *lock(&self.0.alive.0) -= 1;
            self.0.alive.1.notify_all();
        }
    }
    *lock(&shared.alive.0) += 1;
    let alive = Alive(Arc::clone(shared));
    std::thread::Builder::new()
        .name(placement::name(shared, seat))
        .stack_size(shared.plan.stack_bytes)
        .spawn(move || {
            placement::settle(&alive.0, seat);
            let body = AssertUnwindSafe(|| body(&alive.0));
            if catch_unwind(body).is_err() {
                tracing::error!(
                    worker = seat.worker,
                    core = seat.core,
                    "a worker thread panicked outside a request; it serves no more"
                );
            }
        })
        .map(drop)
}

pub(super) fn spawn_creator(
    shared: &Arc<Shared>,
    worker: usize,
    births: &Sender<Birth>,
) -> io::Result<()> {
    let seat = Seat { worker, core: 0 };
    let births = births.clone();
    spawn(shared, seat, move |shared| create(shared, seat, births))
}

/// Reports how a thread's birth went, and reports a panic if nothing else was.
struct Midwife {
    seat: Seat,
    started: Instant,
    births: Option<Sender<Birth>>,
}

impl Midwife {
    fn new(seat: Seat, births: Sender<Birth>) -> Self {
        Self {
            seat,
            started: Instant::now(),
            births: Some(births),
        }
    }

    fn report(&mut self, result: Result<InterpreterHandle, StartError>) {
        let Some(births) = self.births.take() else {
            return;
        };
        let birth = Birth {
            seat: self.seat,
            elapsed: self.started.elapsed(),
            result,
        };
        // A replacement reports to nobody, and after another thread's failure nobody listens any more.
        if let Err(unheard) = births.send(birth)
            && let Err(error) = unheard.0.result
        {
            tracing::error!(worker = self.seat.worker, "cannot start a worker: {error}");
        }
    }
}

impl Drop for Midwife {
    fn drop(&mut self) {
        self.report(Err(StartError::Panicked));
    }
}

/// The life of a thread that makes an interpreter.
fn create(shared: &Arc<Shared>, seat: Seat, births: Sender<Birth>) {
    let mut midwife = Midwife::new(seat, births);
    let mut python = match InterpreterThread::create(shared.runtime, shared.spec(seat.worker)) {
        Ok(python) => python,
        Err(error) => return midwife.report(Err(StartError::Runtime(error))),
    };
    if let Err(failures) = load(shared, seat, &mut python) {
        end(shared, seat, python);
        return midwife.report(Err(StartError::Load(failures)));
    }
    let handle = python.handle();
    midwife.report(Ok(handle.clone()));
    if shared.wait_at_gate() == Gate::Open {
        work(shared, seat, &mut python, &handle);
    }
    wait_for_siblings(shared, seat.worker);
    end(shared, seat, python);
}

/// Loads the applications. In the first interpreter one that fails is told and left out, so that it does not take the others
/// down; the other interpreters load what the first one has, and all of it.
fn load(shared: &Shared, seat: Seat, python: &mut InterpreterThread) -> Result<(), NotLoaded> {
    let apps = &shared.plan.apps;
    let loadable = shared.loadable();
    let mut loaded = Vec::with_capacity(apps.count());
    let mut failures = Vec::new();
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
                failures.push((mountpoint, failure));
                // If one needs the main interpreter, all of them will live there; and what the first interpreter could
                // load, its siblings have to.
                let is_in_vain = needs_main && shared.plan.isolated == Isolated::Auto;
                if is_in_vain || loadable.is_some() {
                    return Err(NotLoaded(failures));
                }
            }
        }
    }
    if apps.count() > 0 && loaded.iter().all(Option::is_none) {
        return Err(NotLoaded(failures));
    }
    for (mountpoint, failure) in failures {
        tracing::error!("{}: {failure}", shown(&mountpoint));
    }
    shared.note_loaded(seat.worker, loaded);
    Ok(())
}

pub(super) fn spawn_sibling(
    shared: &Arc<Shared>,
    seat: Seat,
    handle: InterpreterHandle,
    births: &Sender<Birth>,
) -> io::Result<()> {
    struct Sibling(Arc<Shared>, usize);
    impl Drop for Sibling {
        fn drop(&mut self) {
            let (siblings, ended) = &self.0.siblings;
            if let Some(count) = lock(siblings).get_mut(&self.1) {
                *count -= 1;
            }
            ended.notify_all();
        }
    }
    *lock(&shared.siblings.0).entry(seat.worker).or_default() += 1;
    let sibling = Sibling(Arc::clone(shared), seat.worker);
    let births = births.clone();
    spawn(shared, seat, move |shared| {
        let _sibling = sibling;
        let mut midwife = Midwife::new(seat, births);
        let mut python = match InterpreterThread::join(&handle, seat.core) {
            Ok(python) => python,
            Err(error) => return midwife.report(Err(StartError::Runtime(error))),
        };
        midwife.report(Ok(handle.clone()));
        if shared.wait_at_gate() == Gate::Open {
            work(shared, seat, &mut python, &handle);
        }
        end(shared, seat, python);
    })
}

fn wait_for_siblings(shared: &Shared, worker: usize) {
    let (siblings, ended) = &shared.siblings;
    let mut counts = lock(siblings);
    while counts.get(&worker).is_some_and(|count| *count > 0) {
        counts = ended.wait(counts).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Serves until the generation ends. A thread whose job panicked sees to its own replacement.
fn work(
    shared: &Arc<Shared>,
    seat: Seat,
    python: &mut InterpreterThread,
    handle: &InterpreterHandle,
) {
    let runner = shared.domain_of(seat).join();
    let mut worker = Worker::new(
        seat,
        Arc::clone(shared),
        shared.surroundings.clone(),
        runner,
    );
    let exit = worker.serve(python);
    drop(worker);
    if exit == Exit::Panicked {
        let (births, _nobody_waits) = unbounded();
        let is_alone = shared.threads_per_interpreter() == 1 && shared.isolation != Isolation::Main;
        let replaced = if is_alone {
            spawn_creator(shared, seat.worker, &births)
        } else {
            spawn_sibling(shared, seat, handle.clone(), &births)
        };
        match replaced {
            Ok(()) => tracing::warn!(
                worker = seat.worker,
                core = seat.core,
                "replacing a worker that panicked"
            ),
            Err(error) => tracing::error!(%error, "cannot replace a worker that panicked"),
        }
    }
}

fn end(shared: &Shared, seat: Seat, python: InterpreterThread) {
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
            tracing::warn!(
                worker = seat.worker,
                threads_left,
                "an interpreter is parked: the application left threads that cannot be ended"
            );
        }
        Ended::Ended | Ended::Left => {}
    }
}
