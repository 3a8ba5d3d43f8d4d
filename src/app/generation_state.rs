//! The state that the threads of a generation share; it lives until the last of them has ended. Any
//! thread.
//!
//! Holds no sender: the queue must be able to end.

mod counts;
mod groups;
mod poll_use;
mod setup;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam::channel::{Receiver, never};

use crate::net::{Rejected, Turn};
use crate::python::{BackendRef, InterpreterSpec, Isolation, WorkerFacts};

use super::apps::{AppStats, LoadedApps};
use super::gil_gate::{GilGate, GilGates};
use super::plan::Plan;
use super::process::AppRequest;
use super::queue::{Job, Next, Queue};
use super::recycling::RecycleRequest;
use super::scaling::idle::IdleState;
use super::signals::router::Signals;
use super::worker_group::{StartGate, WorkerGroup};
use counts::Counts;
use groups::Groups;
use poll_use::PollUse;
pub(super) use setup::Setup;

pub struct GenerationState {
    pub(super) setup: Setup,
    queue: Queue,
    pub(super) groups: Groups,
    pub(super) gil_gates: GilGates,
    pub(super) signals: Signals,
    pub(super) counts: Counts,
    poll_use: PollUse,
    pub(super) idle_state: IdleState,
    pub(super) apps: LoadedApps,
    /// Whether the spooler's threads were started.
    pub(super) has_spooler: AtomicBool,
    backend: BackendRef,
}

impl GenerationState {
    pub(super) fn new(setup: Setup, queue: Queue, backend: BackendRef) -> Self {
        Self {
            queue,
            groups: Groups::default(),
            gil_gates: GilGates::default(),
            signals: Signals::new(setup.id),
            counts: Counts::default(),
            poll_use: PollUse::default(),
            idle_state: IdleState::default(),
            apps: LoadedApps::default(),
            has_spooler: AtomicBool::new(false),
            backend,
            setup,
        }
    }

    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    pub fn is_retired(&self) -> bool {
        self.groups.is_retired()
    }

    pub(super) fn is_off_poll(&self) -> bool {
        self.poll_use.is_off()
    }

    /// Disconnects when the workers may poll again; at once if they are already.
    pub(super) fn recall(&self) -> Receiver<Infallible> {
        if self.setup.context.shares_poll {
            self.poll_use.recall()
        } else {
            never()
        }
    }

    /// The workers leave the poll and wait for the queue. A thread that queues a job wakes them.
    pub(super) fn leave_poll(&self) {
        self.poll_use.end();
        for group in self.groups.lock().iter() {
            group.wake_all(self.setup.context.net.poll());
        }
    }

    pub(super) fn return_to_poll(&self) {
        self.poll_use.resume();
        for group in self.groups.lock().iter() {
            // Workers that have not left the poll yet need not leave it.
            if !group.is_stopped() {
                group.stop_waking(self.setup.context.net.poll());
            }
        }
    }

    /// The groups leave when the queue is dry; nothing more is queued.
    pub(super) fn retire(&self) {
        let net = &self.setup.context.net;
        self.groups.retire();
        if net.is_draining() {
            // The server stops: signals of timers are dropped.
            self.signals.queue.clear();
        }
        for group in self.groups.lock().iter() {
            group.stop(net.poll());
        }
        self.gil_gates.unpark_all();
        self.setup.plan.process.spooler.files.wake_all();
    }

    pub(super) fn want_interpreter(&self) {
        if self.idle_state.becomes_wanted() {
            (self.setup.context.on_wanted)(self.setup.id);
        }
    }

    /// The application imports an extension that refuses these interpreters: asks for a generation
    /// in the main one.
    pub(super) fn needs_main(&self) {
        let process = &self.setup.plan.process;
        if self.setup.isolation != Isolation::Main && process.refused_extensions.demand_main() {
            (process.on_request)(AppRequest::MainInterpreter);
        }
    }

    /// Requests queued here, where no worker serves, go to the serving generation, or get 503.
    pub(super) fn pass_on(&self, is_wanted_elsewhere: bool) {
        let context = &self.setup.context;
        let (net, current) = (&*context.net, &*context.current);
        let mut turn = None;
        while let Next::Job(Job::Request(exchange)) = self.queue.next() {
            let (exchange, rejected) = if is_wanted_elsewhere {
                match current.submit(exchange) {
                    Ok(()) => continue,
                    Err(back) => back,
                }
            } else {
                (exchange, Rejected::Stopped)
            };
            let turn = turn.get_or_insert_with(Turn::default);
            turn.turn_away(net, current, exchange, rejected);
        }
        if is_wanted_elsewhere {
            current.wake_successor(self.setup.id, net);
        }
    }

    /// Asks for the replacement of a group, unless that was asked for or the group is too young.
    /// Returns whether it asked.
    pub(super) fn ask_for_recycling(
        &self,
        group: &WorkerGroup,
        why: impl FnOnce() -> String,
    ) -> bool {
        let is_due = group.becomes_due_for_recycling(self.setup.plan.recycling.lifetime_min);
        if is_due {
            (self.setup.context.on_recycle)(RecycleRequest {
                generation: self.setup.id,
                group: group.serial,
                worker: group.worker,
                why: why(),
            });
        }
        is_due
    }

    pub(super) fn stop(&self, group: &WorkerGroup) {
        group.stop(self.setup.context.net.poll());
        self.gil_gates.unpark_all();
    }

    /// A new interpreter's threads, none of them started.
    pub(super) fn add_group(&self, worker: usize, start_gate: StartGate) -> Arc<WorkerGroup> {
        let threads = self.setup.threads_per_interpreter();
        let poll = self.setup.context.net.poll();
        self.groups.add(worker, start_gate, threads, poll)
    }

    /// The interpreter is gone. Counted under the lock: no request is counted twice or not at all.
    pub(super) fn remove_group(&self, group: &WorkerGroup) {
        let mut groups = self.groups.lock();
        groups.remove(group.serial);
        self.counts.keep(group);
        drop(groups);
        self.gil_gates.remove_group(group.serial);
    }

    pub(super) fn gil_gate_of(&self, group: &WorkerGroup) -> Arc<GilGate> {
        let runtime = self.setup.runtime;
        let key = self.setup.gil_of(group.serial);
        self.gil_gates.get(key, || runtime.runs_in_parallel())
    }

    pub(super) fn tick(&self) -> bool {
        for to in self.signals.queue.recipients() {
            self.gil_gates.activate_for(&to);
        }
        self.gil_gates.tick()
    }

    pub(super) fn spec(&self, plan: &Plan, worker: usize) -> InterpreterSpec {
        InterpreterSpec {
            isolation: self.setup.isolation,
            worker_id: worker,
            multithread: self.setup.threads_per_interpreter() > 1,
            multiprocess: self.setup.interpreters() > 1,
            backend: self.backend.clone(),
            ..plan.spec.clone()
        }
    }

    pub(super) fn worker_facts(&self) -> Vec<WorkerFacts> {
        let groups = self.groups.all();
        let apps = self.apps.stats(&self.setup.plan.apps);
        (1..=self.setup.interpreters())
            .map(|worker| {
                let present = groups.iter().filter(|group| group.worker == worker);
                let counters = present.map(|group| &group.counters);
                let mut facts = self.counts.totals.facts(worker, counters);
                let loaded = apps.iter().filter(|app| app.worker == worker);
                facts.apps = loaded.map(AppStats::facts).collect();
                facts
            })
            .collect()
    }

    pub(super) fn thread_begins(&self) {
        self.counts.threads.one_begins();
    }

    pub(super) fn thread_has_ended(&self) {
        self.counts.threads.one_ends();
    }

    /// The thread is stuck in a request and is not waited for.
    pub(super) fn thread_is_abandoned(&self, group: &WorkerGroup, is_sibling: bool) {
        self.counts.add_abandoned();
        group.thread_is_abandoned(is_sibling);
        self.thread_has_ended();
    }

    /// An abandoned thread came back and will end.
    pub(super) fn thread_has_returned(&self, group: &WorkerGroup, is_sibling: bool) {
        self.counts.remove_abandoned();
        self.thread_begins();
        group.thread_has_returned(is_sibling);
    }
}
