//! The life of a worker thread: start, work, end.
//!
//! A creator makes its interpreter, loads the application, serves, and ends the interpreter when
//! its siblings have left it; a sibling joins and leaves an interpreter. Each function runs on the
//! thread that it is about.

use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Instant;

use crossbeam::channel::{RecvTimeoutError, Sender, bounded, unbounded};
use parking_lot::Mutex;

use crate::config::IsolationChoice;
use crate::python::{
    Ended, InterpreterHandle, InterpreterThread, Isolation, LoadFailure, Loaded, RefusedExtension,
};
use crate::wsgi::Mounts;

use super::apps::{NotLoaded, shown};
use super::generation_state::GenerationState;
use super::harakiri::worker_record::{ThreadPhase, WorkerPlace, WorkerRecord};
use super::plan::Plan;
use super::probe::{Probe, Unanswered};
use super::process::AppRequest;
use super::start_report::{Deadlines, StartError, StartReport};
use super::thread_placement;
use super::worker::{Exit, Worker};
use super::worker_group::{StartGate, WorkerGroup};
use super::worker_id::WorkerId;
use super::working_folder;

/// Starts a thread of the group, counted until it ends.
fn spawn(
    shared: &Arc<GenerationState>,
    group: &Arc<WorkerGroup>,
    core: usize,
    body: impl FnOnce(&Arc<GenerationState>, &Arc<WorkerGroup>) + Send + 'static,
) -> io::Result<()> {
    struct Alive(Arc<GenerationState>, Arc<WorkerGroup>);
    impl Drop for Alive {
        fn drop(&mut self) {
            self.1.thread_has_ended();
            self.0.thread_has_ended();
        }
    }
    shared.thread_begins();
    group.thread_begins();
    let alive = Alive(Arc::clone(shared), Arc::clone(group));
    let worker = group.worker;
    let id = WorkerId { worker, core };
    std::thread::Builder::new()
        .name(thread_placement::name(&shared.setup, id))
        .stack_size(shared.setup.plan.stack_bytes)
        .spawn(move || {
            let Alive(shared, group) = &alive;
            thread_placement::settle(&shared.setup, id);
            let body = AssertUnwindSafe(|| body(shared, group));
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
pub(super) enum ProbeRule {
    /// A new generation: as the probe's rules say.
    Probed,
    /// A new version in an old generation, which may have started without a good answer.
    Renewed,
    /// A replacement: a database that is down for a moment must not cost workers.
    Free,
}

pub(super) fn spawn_creator(
    shared: &Arc<GenerationState>,
    group: &Arc<WorkerGroup>,
    reports: &Sender<StartReport>,
    probe_rule: ProbeRule,
) -> io::Result<()> {
    struct Listed(Arc<GenerationState>, Arc<WorkerGroup>);
    impl Drop for Listed {
        fn drop(&mut self) {
            self.0.remove_group(&self.1);
        }
    }
    let reports = reports.clone();
    let listed = Listed(Arc::clone(shared), Arc::clone(group));
    spawn(shared, group, 0, move |shared, group| {
        let _listed = listed;
        create(shared, group, reports, probe_rule);
    })
}

/// Reports the result of a thread's start, once; a panic too.
struct StartReporter {
    group: Arc<WorkerGroup>,
    started: Instant,
    reports: Arc<Mutex<Option<Sender<StartReport>>>>,
}

impl StartReporter {
    fn new(group: &Arc<WorkerGroup>, reports: Sender<StartReport>) -> Self {
        Self {
            group: Arc::clone(group),
            started: Instant::now(),
            reports: Arc::new(Mutex::new(Some(reports))),
        }
    }

    fn report(&mut self, result: Result<InterpreterHandle, StartError>) {
        let Some(reports) = self.reports.lock().take() else {
            return;
        };
        let report = StartReport {
            group: Arc::clone(&self.group),
            elapsed: self.started.elapsed(),
            result,
        };
        // The replacement of a panicked worker has no receiver, nor has a failed start.
        if let Err(unheard) = reports.send(report)
            && let Err(error) = unheard.0.result
            && !self.group.is_stopped()
        {
            tracing::error!(worker = self.group.worker, "cannot start a worker: {error}");
        }
    }
}

impl StartReporter {
    /// Sends the probe's request. On a timeout the receiver is told at once: a thread inside the
    /// application cannot be stopped.
    fn wait_for_answer(
        &self,
        probe: &Probe,
        python: &mut InterpreterThread,
        mounts: &Mounts,
    ) -> Result<(), Unanswered> {
        let (answered, is_answered) = bounded::<Infallible>(0);
        let watch = {
            let (probe, reports) = (probe.clone(), Arc::clone(&self.reports));
            let (group, started) = (Arc::clone(&self.group), self.started);
            move || {
                if is_answered.recv_timeout(probe.rules.timeout) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                if probe.is_lenient {
                    tracing::error!("{}; it is waited for", probe.too_late());
                    return;
                }
                if let Some(reports) = reports.lock().take() {
                    let result = Err(StartError::Probe(probe.too_late()));
                    let elapsed = started.elapsed();
                    // The receiver is gone if another interpreter failed.
                    let _unheard = reports.send(StartReport {
                        group,
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
            tracing::warn!(%error, "the timeout of the probe is not watched");
        }
        let asked = probe.ask(python, mounts);
        drop(answered);
        match asked {
            Err(unanswered) if probe.is_lenient => {
                tracing::error!(
                    "{unanswered}; worker {} serves nevertheless (--need-app leaves with an error instead)",
                    self.group.worker
                );
                Ok(())
            }
            // Too late: the generation was abandoned.
            Ok(()) if self.reports.lock().is_none() => Err(probe.too_late()),
            asked => asked,
        }
    }
}

impl Drop for StartReporter {
    fn drop(&mut self) {
        self.report(Err(StartError::Panicked));
    }
}

/// Starts the threads of one interpreter, and waits until all of them are ready to serve.
pub(super) fn load_group(
    shared: &Arc<GenerationState>,
    group: &Arc<WorkerGroup>,
    deadlines: &Deadlines,
    probe_rule: ProbeRule,
) -> Result<(), StartError> {
    let (reports, reported) = unbounded();
    spawn_creator(shared, group, &reports, probe_rule).map_err(StartError::Thread)?;
    let handle = deadlines.receive(&reported)?.result?;
    add_siblings(shared, group, &handle, deadlines)
}

/// Starts the other threads of an interpreter and waits for them.
pub(super) fn add_siblings(
    shared: &Arc<GenerationState>,
    group: &Arc<WorkerGroup>,
    handle: &InterpreterHandle,
    deadlines: &Deadlines,
) -> Result<(), StartError> {
    let (reports, reported) = unbounded();
    for core in 1..shared.setup.threads_per_interpreter() {
        spawn_sibling(shared, group, core, handle.clone(), &reports).map_err(StartError::Thread)?;
    }
    for _ in 1..shared.setup.threads_per_interpreter() {
        deadlines.receive(&reported)?.result?;
    }
    Ok(())
}

fn create(
    shared: &Arc<GenerationState>,
    group: &Arc<WorkerGroup>,
    reports: Sender<StartReport>,
    probe_rule: ProbeRule,
) {
    let mut reporter = StartReporter::new(group, reports);
    shared.signals.registrations.begin_anew(group.worker);
    let folder = working_folder::enter(&shared.setup, None);
    let plan = shared.setup.plan.seen_from_here();
    let spec = shared.spec(&plan, group.worker);
    let mut python = match InterpreterThread::create(shared.setup.runtime, spec) {
        Ok(python) => python,
        Err(error) => return reporter.report(Err(StartError::Runtime(error))),
    };
    let watch = record(shared, group, 0, false, &python);
    let mut failed = Vec::new();
    let loading = load(shared, &plan, group, &mut python, &mut failed);
    if let Some(on_sources) = &shared.setup.context.on_sources {
        let mut sources = python.attached(|py| py.new_sources(&mut 0));
        for (_, failure) in &failed {
            sources.extend(failure.sources());
        }
        on_sources(&sources, group.since.elapsed());
    }
    if group.worker == 1 {
        shared
            .apps
            .note_environment(python.attached(|py| py.environment()));
    }
    if loading.is_err() {
        working_folder::explain_failure(&shared.setup, folder.as_ref());
        end(shared, group, python);
        return reporter.report(Err(StartError::Load(NotLoaded(failed))));
    }
    let probe = plan.probe.clone().map(|probe| Probe {
        is_lenient: probe.is_lenient && probe_rule == ProbeRule::Probed,
        ..probe
    });
    if probe_rule != ProbeRule::Free
        && let Some(probe) = probe
        && let Err(unanswered) = reporter.wait_for_answer(&probe, &mut python, plan.apps.mounts())
    {
        end(shared, group, python);
        return reporter.report(Err(StartError::Probe(unanswered)));
    }
    shared.counts.note_spawn(group.worker);
    group.set_place(folder.as_ref().and_then(working_folder::place));
    let handle = python.handle();
    reporter.report(Ok(handle.clone()));
    if group.wait_at_start_gate() == StartGate::Open {
        working_folder::follow_process(&shared.setup, folder.as_ref());
        work(shared, group, &watch, &mut python, &handle);
    }
    group.wait_for_siblings();
    end(shared, group, python);
}

struct InVain;

/// Loads the applications and adds failures to `failed`. In the first interpreter a failed
/// application is left out, so that the others serve; the other interpreters must load what the
/// first one loaded.
fn load(
    shared: &GenerationState,
    plan: &Plan,
    group: &WorkerGroup,
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
        let is_first = loadable.is_none();
        let load = python.load_app(at, &mountpoint, target);
        match complete(shared, is_first, python, load) {
            Ok(app) => loaded.push(Some(app)),
            Err(failure) => {
                let needs_main = matches!(failure, LoadFailure::ExtensionsRefused { .. });
                loaded.push(None);
                failed.push((mountpoint, failure));
                // If one needs the main interpreter, all of them will live there; an application
                // that the first interpreter or the previous generation loaded must load here.
                let is_in_vain = needs_main && plan.isolation == IsolationChoice::Auto;
                if is_in_vain || !is_first || apps.needs(at) {
                    return Err(InVain);
                }
            }
        }
    }
    if apps.are_none_wanted()
        && let Err(failure) = python.load_imports()
    {
        failed.push((String::new(), failure));
        return Err(InVain);
    }
    if apps.count() > 0 && loaded.iter().all(Option::is_none) {
        return Err(InVain);
    }
    for (mountpoint, failure) in failed {
        tracing::error!("{}: {failure}", shown(mountpoint));
    }
    if apps.count() > 0 || apps.are_none_wanted() {
        python.all_loaded();
    }
    if group.worker == 1 && shared.setup.isolation == Isolation::OwnGil {
        let version = shared.setup.runtime.version();
        if let Some(environment) = python.attached(|py| py.extension_environment(version)) {
            plan.process.refused_extensions.set_environment(environment);
        }
    }
    if shared.setup.isolation == Isolation::Main {
        let extensions = &plan.process.refused_extensions;
        let modules = extensions.to_be_confirmed();
        let is_imported = |module: &String| python.attached(|py| py.has_module(module));
        if !modules.is_empty() && !modules.iter().any(is_imported) {
            extensions.forget();
        }
    }
    shared.apps.note_loaded(group.worker, loaded);
    Ok(())
}

/// With `--isolation auto` an application that misses extensions counts as failed: it may have
/// caught their errors, and the main interpreter loads them. If the first interpreter missed none,
/// this one serves and a generation in the main interpreter is requested.
fn complete(
    shared: &GenerationState,
    is_first: bool,
    python: &InterpreterThread,
    loaded: Result<Loaded, LoadFailure>,
) -> Result<Loaded, LoadFailure> {
    let mut refused = python.refused_extensions();
    refused.retain(RefusedExtension::is_missed);
    if refused.is_empty() || shared.setup.plan.isolation != IsolationChoice::Auto {
        return loaded;
    }
    match loaded {
        Ok(app) if !is_first => {
            shared.needs_main();
            Ok(app)
        }
        Err(failure @ LoadFailure::ExtensionsRefused { .. }) => Err(failure),
        // Whatever has failed, it may have done so for want of them.
        _ => Err(LoadFailure::ExtensionsRefused {
            refused,
            isolation: shared.setup.isolation,
            traceback: String::new(),
        }),
    }
}

fn spawn_sibling(
    shared: &Arc<GenerationState>,
    group: &Arc<WorkerGroup>,
    core: usize,
    handle: InterpreterHandle,
    reports: &Sender<StartReport>,
) -> io::Result<()> {
    struct Sibling(Arc<WorkerGroup>);
    impl Drop for Sibling {
        fn drop(&mut self) {
            self.0.sibling_has_ended();
        }
    }
    group.sibling_begins();
    let sibling = Sibling(Arc::clone(group));
    let reports = reports.clone();
    spawn(shared, group, core, move |shared, group| {
        let _sibling = sibling;
        let mut reporter = StartReporter::new(group, reports);
        let folder = working_folder::enter(&shared.setup, group.place());
        let mut python = match InterpreterThread::join(&handle, core) {
            Ok(python) => python,
            Err(error) => return reporter.report(Err(StartError::Runtime(error))),
        };
        let watch = record(shared, group, core, true, &python);
        reporter.report(Ok(handle.clone()));
        if group.wait_at_start_gate() == StartGate::Open {
            working_folder::follow_process(&shared.setup, folder.as_ref());
            work(shared, group, &watch, &mut python, &handle);
        }
        end(shared, group, python);
    })
}

fn record(
    shared: &Arc<GenerationState>,
    group: &Arc<WorkerGroup>,
    core: usize,
    is_sibling: bool,
    python: &InterpreterThread,
) -> Arc<WorkerRecord> {
    let id = WorkerId {
        worker: group.worker,
        core,
    };
    let harakiri = &shared.setup.plan.process.harakiri;
    let served: Weak<GenerationState> = Arc::downgrade(shared);
    let record = Arc::new(WorkerRecord::new(
        &harakiri.limits,
        WorkerPlace {
            served,
            generation: shared.setup.id,
            group: Arc::clone(group),
            id,
            is_sibling,
        },
        python.interruption(),
    ));
    harakiri.add(&record);
    record
}

/// Serves until the group is stopped. A thread that panicked starts its own replacement.
fn work(
    shared: &Arc<GenerationState>,
    group: &Arc<WorkerGroup>,
    watch: &Arc<WorkerRecord>,
    python: &mut InterpreterThread,
    handle: &InterpreterHandle,
) {
    let (id, is_sibling) = (watch.place.id, watch.place.is_sibling);
    let core = id.core;
    let gil_gate = shared.gil_gate_of(group);
    let gil_slot = gil_gate.join(group.worker, group.stopped_flag());
    let (ours, theirs) = (Arc::clone(shared), Arc::clone(group));
    let mut worker = Worker::new(id, ours, theirs, gil_slot, Arc::clone(watch));
    watch.set_phase(ThreadPhase::Serving);
    let exit = worker.serve(python);
    watch.set_phase(ThreadPhase::Leaving);
    drop(worker);
    if watch.is_abandoned() {
        shared.thread_has_returned(group, is_sibling);
        shared.setup.plan.process.harakiri.note_return(watch);
        return;
    }
    // A stopped thread has a successor already, but a retired generation must empty its queue.
    if exit == Exit::Panicked && (!group.is_stopped() || shared.is_retired()) {
        let (reports, _nobody_waits) = unbounded();
        let is_alone = shared.setup.threads_per_interpreter() == 1
            && shared.setup.isolation != Isolation::Main;
        let replaced = if is_alone {
            let successor = shared.add_group(group.worker, StartGate::Open);
            shared.stop(group);
            spawn_creator(shared, &successor, &reports, ProbeRule::Free)
        } else {
            spawn_sibling(shared, group, core, handle.clone(), &reports)
        };
        match replaced {
            Ok(()) => tracing::warn!(
                worker = group.worker,
                core,
                "replacing a worker that panicked"
            ),
            Err(error) => tracing::error!(%error, "cannot replace a worker that panicked"),
        }
    }
}

/// Starts a thread in the place of an abandoned one, in the same interpreter.
pub(super) fn replace_thread(
    shared: &Arc<GenerationState>,
    group: &Arc<WorkerGroup>,
    core: usize,
    handle: InterpreterHandle,
) -> Result<(), StartError> {
    let (reports, reported) = unbounded();
    spawn_sibling(shared, group, core, handle, &reports).map_err(StartError::Thread)?;
    Deadlines::endless().receive(&reported)?.result.map(drop)
}

fn end(shared: &GenerationState, group: &WorkerGroup, python: InterpreterThread) {
    let grace = shared.setup.plan.end_grace;
    let is_exit = shared.setup.context.net.is_draining();
    let ended = if is_exit {
        python.end_at_exit(grace)
    } else {
        python.end(grace)
    };
    match ended {
        Ended::Parked { .. } if is_exit => {}
        Ended::Parked { threads_left } => {
            shared.counts.add_parked();
            tracing::warn!(
                generation = shared.setup.id,
                worker = group.worker,
                threads_left,
                "an interpreter is parked: the application left threads that cannot be ended"
            );
            let process = &shared.setup.plan.process;
            (process.on_request)(AppRequest::InterpreterParked);
        }
        Ended::Ended | Ended::Left => {}
    }
}
