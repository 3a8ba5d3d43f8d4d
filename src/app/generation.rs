//! One loaded version of the application: its interpreters, its workers, its queue. Started whole
//! or not at all, retired as a whole.
//!
//! The generation owns the only sender of its queue. When the last `Arc` of it goes, the sender
//! goes, the workers run the queue dry, end their interpreters on the threads that made them, and
//! return. What is left of it meanwhile is its workers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use crossbeam::channel::{Sender, unbounded};

use crate::config::IsolationChoice;
use crate::net::{Exchange, Rejected, Turn};
use crate::python::{BackendRef, Isolation, Runtime};

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

/// An application was loaded into the main interpreter of this process. What it left there
/// (modules, threads, C extensions that load once) cannot be taken out again, so no later
/// generation can be made there.
static MAIN_IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// A loaded version of the application that serves, or did.
pub struct Generation {
    sender: Sender<Job>,
    shared: Arc<GenerationState>,
}

impl Generation {
    /// Makes the interpreters and loads the application in all of them; none serves before all are
    /// ready. Runs on the main thread at start and on `sm-reload` later, detached from Python.
    ///
    /// # Errors
    /// Whatever stood in the way of the first interpreter that failed. Nothing is left behind then,
    /// unless a thread is still inside the application's import: it ends when it comes out of
    /// there.
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
                report.why = why;
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
                // Half-made interpreters end before the next attempt: they may hold what it needs.
                // One that was waited for long enough is left alone.
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

    /// The number of this generation, from 1.
    pub fn id(&self) -> u64 {
        self.shared.setup.id
    }

    /// How its interpreters were made.
    pub fn isolation(&self) -> Isolation {
        self.shared.setup.isolation
    }

    /// Lets the workers begin, and its timers count. Call it when the generation is in charge.
    pub fn serve(&self) {
        self.shared.start_signals();
        let context = &self.shared.setup.context;
        context.acceptor_waker.call_from_poll(&context.net);
        for group in self.shared.groups.all() {
            group.open_start_gate();
        }
    }

    /// Lets the workers begin, but outside of the poll and without its timers: they see to what is
    /// queued. Call it before it gets requests as a canary.
    pub fn serve_off_poll(&self) {
        self.shared.leave_poll();
        for group in self.shared.groups.all() {
            group.open_start_gate();
        }
    }

    /// The workers finish what is queued and then sleep outside of the poll, at no cost, until
    /// something is queued again or [`return_to_poll`](Self::return_to_poll) is called. Call it
    /// when another one is in charge.
    pub fn leave_poll(&self) {
        self.shared.leave_poll();
    }

    /// The workers poll again. Call it when the generation is in charge: one that sleeps in the
    /// poll is woken by those who know that it is (`Current::wake_successor`).
    pub fn return_to_poll(&self) {
        self.shared.return_to_poll();
        self.queue().wake_if_idle(&self.shared.setup.context.net);
    }

    /// What waits in its queue goes to another one, which is in charge. What finds no room there
    /// stays here.
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
                // Both are full: somebody has queued here what he had decided before. A full queue
                // says so, and whoever decides over generations waits for no worker.
                Turn::default().turn_away(net, &**current, exchange, rejected);
            }
        }
        other.queue().wake_if_idle(net);
    }

    /// The queue, for those who look after it.
    pub fn queue(&self) -> &Queue {
        self.shared.queue()
    }

    /// Ticks the GIL gates. Whether a job runs. The acceptor calls it once a tick.
    pub fn tick(&self) -> bool {
        self.shared.tick()
    }

    /// Whether a signal waits for a thread that sleeps in the poll.
    pub fn has_signal_for_sleeper(&self) -> bool {
        self.shared.has_signal_for_sleeper()
    }

    /// Whether no interpreter serves: the acceptor polls, and a request brings one.
    pub fn is_idle(&self) -> bool {
        self.shared.idle_state.is_asleep()
    }

    /// Whether a request would be answered by the application.
    pub fn is_healthy(&self) -> bool {
        !self.shared.idle_state.is_broken() && self.loaded().contains(&true)
    }

    /// Whether several threads share a GIL.
    pub fn shares_gil(&self) -> bool {
        self.shared.setup.shares_gil()
    }

    pub fn loaded(&self) -> Vec<bool> {
        self.shared.apps.loadable().unwrap_or_default()
    }

    /// Who works in it. Outlives the generation, and does not keep it in charge of anything.
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
    /// Retires it. Nothing can be queued any more: that needs a reference.
    fn drop(&mut self) {
        self.shared.retire();
        if self.shared.idle_state.is_asleep() {
            self.shared.pass_on(true);
        }
    }
}
