//! One loaded version of the application: its interpreters, its workers, its queue. It starts and
//! retires as a whole.
//!
//! The generation owns the only sender of its queue. When its last `Arc` is dropped, the workers
//! empty the queue, end their interpreters on the threads that made them, and return.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use crossbeam::channel::{Sender, unbounded};

use crate::config::IsolationChoice;
use crate::net::{Exchange, Rejected, Turn};
use crate::python::{BackendRef, Environment, Isolation, Runtime};

use super::generation_state::{GenerationState, Setup};
use super::isolation::choice;
use super::load_generation::{ProbeRule, add_siblings, spawn_creator};
use super::plan::Plan;
use super::probe::Unanswered;
use super::queue::{self, Job, Next, Queue};
use super::start_report::{Deadlines, Report, StartError, StartReport};
use super::uwsgi_backend::UwsgiBackend;
use super::worker_context::WorkerContext;
use super::worker_group::StartGate;
use super::workers::Workers;

/// An application was loaded into the main interpreter of this process. Its modules, threads and C
/// extensions cannot be removed, so no later generation can use that interpreter.
static MAIN_IS_TAKEN: AtomicBool = AtomicBool::new(false);

pub struct Generation {
    sender: Sender<Job>,
    shared: Arc<GenerationState>,
}

impl Generation {
    /// Makes the interpreters and loads the application in all of them; none serves before all are
    /// ready. Runs on the main thread at start and on `sm-reload` later, detached from Python.
    ///
    /// After an error nothing is left, except a thread that is still inside the application's
    /// import: it ends when the import returns.
    pub fn start(
        id: u64,
        plan: &Plan,
        runtime: &'static Runtime,
        context: &WorkerContext,
        deadlines: &Deadlines,
    ) -> Result<(Arc<Self>, Report), StartError> {
        let (isolation, why) = choice::choose(plan, runtime);
        let start = |isolation| Self::start_with(id, plan, runtime, context, isolation, deadlines);
        match start(isolation) {
            Err(StartError::Load(failures)) if plan.isolation == IsolationChoice::Auto => {
                if isolation != Isolation::OwnGil || failures.needs_main().is_none() {
                    return Err(StartError::Load(failures));
                }
                let (generation, mut report) = start(Isolation::Main)?;
                plan.process.refused_extensions.demand_main();
                report.why = choice::because_of(&failures.missed());
                Ok((generation, report))
            }
            Err(error) => Err(error),
            Ok((generation, mut report)) => {
                // The application may have turned the GIL on.
                report.why = if runtime.is_free_threaded() {
                    choice::of_free_threaded(runtime)
                } else {
                    why
                };
                Ok((generation, report))
            }
        }
    }

    fn start_with(
        id: u64,
        plan: &Plan,
        runtime: &'static Runtime,
        context: &WorkerContext,
        isolation: Isolation,
        deadlines: &Deadlines,
    ) -> Result<(Arc<Self>, Report), StartError> {
        if isolation == Isolation::Main
            && plan.apps.count() > 0
            && MAIN_IS_TAKEN.swap(true, Ordering::SeqCst)
        {
            return Err(StartError::MainIsTaken);
        }
        let (sender, queue) = Queue::new(plan.queue_max, plan.shape(isolation).0);
        let shared = Arc::new_cyclic(|shared: &Weak<GenerationState>| {
            let backend = UwsgiBackend::new(id, Weak::clone(shared), plan);
            let backend = BackendRef(Arc::new(backend));
            let setup = Setup {
                id,
                plan: plan.clone(),
                runtime,
                context: context.clone(),
                isolation,
            };
            GenerationState::new(setup, queue, backend)
        });
        let generation = Arc::new(Self { sender, shared });
        match generation.load(deadlines) {
            Ok(report) => Ok((generation, report)),
            Err(error) => {
                let workers = generation.workers();
                drop(generation);
                // Half-made interpreters end before the next attempt: they may hold resources that
                // it needs. One that timed out is left alone.
                let is_left_alone = matches!(
                    error,
                    StartError::TooLate
                        | StartError::Cancelled
                        | StartError::Probe(Unanswered::TooLate { .. })
                );
                if !is_left_alone {
                    workers.wait(Instant::now() + plan.end_grace * 2);
                }
                Err(error)
            }
        }
    }

    fn load(&self, deadlines: &Deadlines) -> Result<Report, StartError> {
        let shared = &self.shared;
        let (reports, reported) = unbounded();
        let interpreters = shared.setup.interpreters_at_first();
        let mut elapsed = Vec::with_capacity(interpreters);
        let mut groups = Vec::with_capacity(interpreters);
        // The first one alone shows whether the application loads; the others start side by side.
        spawn_creator(
            shared,
            &shared.add_group(1, StartGate::Shut),
            &reports,
            ProbeRule::Probed,
        )
        .map_err(StartError::Thread)?;
        let mut waiting = 1;
        while waiting > 0 {
            waiting -= 1;
            let report: StartReport = deadlines.receive(&reported)?;
            let handle = report.result?;
            elapsed.push(report.elapsed);
            if report.group.worker == 1 {
                for worker in 2..=interpreters {
                    let group = shared.add_group(worker, StartGate::Shut);
                    spawn_creator(shared, &group, &reports, ProbeRule::Probed)
                        .map_err(StartError::Thread)?;
                    waiting += 1;
                }
            }
            groups.push((report.group, handle));
        }
        for (group, handle) in groups {
            add_siblings(shared, &group, &handle, deadlines)?;
        }
        let threads = shared.setup.threads_per_interpreter();
        Ok(Report {
            isolation: shared.setup.isolation,
            why: String::new(),
            shape_change: choice::shape_change(&shared.setup.plan, shared.setup.isolation),
            loaded: shared.apps.reports(&shared.setup.plan.apps),
            threads: interpreters * threads,
            interpreters: elapsed,
            most: shared.setup.interpreters(),
        })
    }

    pub fn id(&self) -> u64 {
        self.shared.setup.id
    }

    pub fn isolation(&self) -> Isolation {
        self.shared.setup.isolation
    }

    /// Starts the workers and the timers. Call it when the generation is in charge.
    pub fn serve(&self) {
        self.shared.start_signals();
        self.shared.start_spooler();
        let context = &self.shared.setup.context;
        context.acceptor_waker.call_from_poll(&context.net);
        for group in self.shared.groups.all() {
            group.open_start_gate();
        }
    }

    /// Starts the workers outside the poll and without timers. Call it before the generation gets
    /// requests as a canary.
    pub fn serve_off_poll(&self) {
        self.shared.leave_poll();
        for group in self.shared.groups.all() {
            group.open_start_gate();
        }
    }

    /// The workers empty the queue and then sleep outside the poll until a job is queued or
    /// [`return_to_poll`](Self::return_to_poll) is called. Call it when another generation is in
    /// charge.
    pub fn leave_poll(&self) {
        self.shared.leave_poll();
    }

    /// The workers poll again. Call it when the generation is in charge.
    pub fn return_to_poll(&self) {
        self.shared.return_to_poll();
        self.queue().wake_if_idle(&self.shared.setup.context.net);
    }

    /// Moves queued requests to the generation in charge. Requests that find no room there stay.
    pub fn pass_on(&self, other: &Self) {
        let WorkerContext { net, current, .. } = &self.shared.setup.context;
        for _ in 0..self.queue().len() {
            let Next::Job(Job::Request(exchange)) = self.queue().next() else {
                break;
            };
            if let Err((exchange, rejected)) = other
                .submit(exchange)
                .or_else(|(back, _)| self.submit(back))
            {
                // Both are full: a thread queued a request here that it had accepted before. The
                // request is refused, because this thread must not wait for a worker.
                Turn::default().turn_away(net, &**current, exchange, rejected);
            }
        }
        other.queue().wake_if_idle(net);
    }

    pub fn queue(&self) -> &Queue {
        self.shared.queue()
    }

    pub fn tick(&self) -> bool {
        self.shared.tick()
    }

    pub fn has_signal_for_sleeper(&self) -> bool {
        self.shared.has_signal_for_sleeper()
    }

    /// Whether no interpreter serves: the acceptor polls, and a request starts one.
    pub fn is_idle(&self) -> bool {
        self.shared.idle_state.is_asleep()
    }

    pub fn is_healthy(&self) -> bool {
        !self.shared.idle_state.is_broken()
            && (self.loaded().contains(&true) || self.shared.setup.plan.apps.are_none_wanted())
    }

    pub fn shares_gil(&self) -> bool {
        self.shared.setup.shares_gil()
    }

    /// The variables that the application has, after it was loaded.
    pub fn environment(&self) -> Option<Environment> {
        self.shared.apps.environment().filter(|one| !one.is_empty())
    }

    pub fn loaded(&self) -> Vec<bool> {
        self.shared.apps.loadable().unwrap_or_default()
    }

    pub fn workers(&self) -> Workers {
        Workers::new(&self.shared)
    }

    pub(super) fn submit(&self, exchange: Exchange) -> Result<(), (Exchange, Rejected)> {
        if self.shared.idle_state.is_broken() {
            return Err((exchange, Rejected::Stopped));
        }
        queue::send(&self.sender, exchange)?;
        if self.shared.idle_state.is_asleep() {
            self.shared.want_interpreter();
        }
        Ok(())
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.shared.retire();
        if self.shared.idle_state.is_asleep() {
            self.shared.pass_on(true);
        }
    }
}
