//! What the threads of a generation share, and what outlives it until they have ended. Any thread.
//!
//! Holds no sender: the queue must be able to end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crossbeam::channel::{Receiver, Sender, bounded, never};
use parking_lot::{Condvar, Mutex};

use crate::background::registrations::Registrations;
use crate::net::{Rejected, Turn};
use crate::python::{BackendRef, InterpreterSpec, Isolation, Runtime};

use super::apps::LoadedApps;
use super::gil_gate::GilGate;
use super::inspect::counters::WorkerTotals;
use super::plan::Plan;
use super::queue::{Job, Next, Queue};
use super::recycling::RecycleRequest;
use super::scaling::idle::IdleState;
use super::signals::queue::SignalQueue;
use super::worker_context::WorkerContext;
use super::worker_group::{StartGate, WorkerGroup};

/// What every thread of the generation shares. Holds no sender: the queue must be able to end.
pub struct GenerationState {
    /// The generation's number.
    pub(super) id: u64,
    queue: Queue,
    pub(super) plan: Plan,
    pub(super) runtime: &'static Runtime,
    pub(super) context: WorkerContext,
    pub(super) isolation: Isolation,
    pub(super) groups: Mutex<Vec<Arc<WorkerGroup>>>,
    groups_made: AtomicU64,
    /// By group and thread, as far as these matter; see `gil_gate_of`.
    pub(super) gil_gates: Mutex<HashMap<(u64, usize), Arc<GilGate>>>,
    pub(super) registrations: Registrations,
    pub(super) signals: SignalQueue,
    /// Signals that no interpreter handles, for which that has been logged.
    pub(super) undeliverable: [AtomicBool; 256],
    pub(super) totals: WorkerTotals,
    backend: BackendRef,
    retired: AtomicBool,
    /// Its workers wait for the queue and not in the poll; those that wait hear of the end of that
    /// by the channel.
    off_poll: AtomicBool,
    recall: Mutex<Option<(Sender<Infallible>, Receiver<Infallible>)>>,
    pub(super) idle_state: IdleState,
    pub(super) alive: (Mutex<usize>, Condvar),
    /// Answered by groups that have ended.
    pub(super) answered: AtomicU64,
    /// Of these, those that went wrong.
    pub(super) failed: AtomicU64,
    /// Requests that are not waited for any longer: their threads were abandoned.
    pub(super) abandoned: AtomicU64,
    pub(super) parked: AtomicUsize,
    /// What is loaded, and what it has done.
    pub(super) apps: LoadedApps,
}

impl GenerationState {
    pub(super) fn new(
        id: u64,
        queue: Queue,
        plan: &Plan,
        runtime: &'static Runtime,
        context: &WorkerContext,
        isolation: Isolation,
        backend: BackendRef,
    ) -> Self {
        Self {
            id,
            queue,
            plan: plan.clone(),
            runtime,
            context: context.clone(),
            isolation,
            groups: Mutex::default(),
            groups_made: AtomicU64::new(0),
            gil_gates: Mutex::default(),
            registrations: Registrations::new(id),
            signals: SignalQueue::default(),
            undeliverable: [const { AtomicBool::new(false) }; 256],
            totals: WorkerTotals::default(),
            backend,
            retired: AtomicBool::new(false),
            off_poll: AtomicBool::new(false),
            recall: Mutex::default(),
            idle_state: IdleState::default(),
            alive: Default::default(),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            parked: AtomicUsize::new(0),
            apps: LoadedApps::default(),
        }
    }

    /// The queue.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether the generation serves no more: workers run the queue dry and end.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// Whether its workers wait for the queue alone.
    pub(super) fn is_off_poll(&self) -> bool {
        self.off_poll.load(Ordering::SeqCst)
    }

    /// Disconnects when the workers may poll again; at once if they are already.
    pub(super) fn recall(&self) -> Receiver<Infallible> {
        if !self.context.shares_poll {
            return never();
        }
        match &*self.recall.lock() {
            Some((_, recall)) => recall.clone(),
            None => bounded(0).1,
        }
    }

    /// Its workers leave the poll and wait for what is queued. A thread that queues something wakes
    /// them by that.
    pub(super) fn leave_poll(&self) {
        self.recall.lock().get_or_insert_with(|| bounded(0));
        self.off_poll.store(true, Ordering::SeqCst);
        for group in self.groups.lock().iter() {
            group.wake_all(self.context.net.poll());
        }
    }

    /// They may poll again.
    pub(super) fn return_to_poll(&self) {
        self.off_poll.store(false, Ordering::SeqCst);
        self.recall.lock().take();
        for group in self.groups.lock().iter() {
            // Some may not have come out yet, and now they do not have to.
            if !group.is_stopped() {
                group.stop_waking(self.context.net.poll());
            }
        }
    }

    /// Nothing is queued any more: the groups leave when the queue is dry. The order matters: a
    /// thread that sees itself stopped sees the generation retired too, and does not leave a
    /// request behind.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
        if self.context.net.is_draining() {
            // The server stops: signals of timers are dropped.
            self.signals.clear();
        }
        // Under the lock: `add_group` stops a group that is added from now on.
        for group in self.groups.lock().iter() {
            group.stop(self.context.net.poll());
        }
        self.unpark_stopped();
    }

    /// A request was queued and no interpreter is there.
    pub(super) fn want_interpreter(&self) {
        if self.idle_state.becomes_wanted() {
            (self.context.on_wanted)(self.id);
        }
    }

    /// The groups that serve.
    pub(super) fn serving(&self) -> Vec<Arc<WorkerGroup>> {
        let mut groups = self.groups();
        groups.retain(|group| !group.is_stopped());
        groups
    }

    /// Requests queued here, where no worker serves, go to the serving generation, or get 503.
    pub(super) fn pass_on(&self, is_wanted_elsewhere: bool) {
        let (net, current) = (&*self.context.net, &*self.context.current);
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
            current.wake_successor(self.id, net);
        }
    }

    /// The group is due, unless that was said already or it is too young. Whether it is.
    pub(super) fn ask_for_recycling(
        &self,
        group: &WorkerGroup,
        why: impl FnOnce() -> String,
    ) -> bool {
        let is_due = group.becomes_due_for_recycling(self.plan.recycling.lifetime_min);
        if is_due {
            (self.context.on_recycle)(RecycleRequest {
                generation: self.id,
                group: group.serial,
                worker: group.worker,
                why: why(),
            });
        }
        is_due
    }

    pub(super) fn stop(&self, group: &WorkerGroup) {
        group.stop(self.context.net.poll());
        self.unpark_stopped();
    }

    fn unpark_stopped(&self) {
        for gil_gate in self.gil_gates.lock().values() {
            gil_gate.unpark_all();
        }
    }

    /// A new interpreter's threads, none of them started.
    pub(super) fn add_group(&self, worker: usize, start_gate: StartGate) -> Arc<WorkerGroup> {
        let serial = self.groups_made.fetch_add(1, Ordering::Relaxed) + 1;
        let group = WorkerGroup::new(worker, serial, start_gate, self.threads_per_interpreter());
        let mut groups = self.groups.lock();
        groups.push(Arc::clone(&group));
        if self.is_retired() {
            group.stop(self.context.net.poll());
        }
        group
    }

    /// The interpreter is gone.
    pub(super) fn remove_group(&self, group: &WorkerGroup) {
        let mut groups = self.groups.lock();
        groups.retain(|other| other.serial != group.serial);
        self.totals.keep(group.worker, &group.counters);
        self.answered.fetch_add(group.answered(), Ordering::Relaxed);
        self.failed
            .fetch_add(group.counters.failed(), Ordering::Relaxed);
        drop(groups);
        self.gil_gates
            .lock()
            .retain(|(serial, _), _| *serial != group.serial);
    }

    pub(super) fn groups(&self) -> Vec<Arc<WorkerGroup>> {
        self.groups.lock().clone()
    }

    /// Which threads compete for one GIL.
    pub(super) fn gil_gate_of(&self, group: &WorkerGroup, core: usize) -> Arc<GilGate> {
        let key = if self.runtime.is_free_threaded() {
            (group.serial, core)
        } else {
            match self.isolation {
                Isolation::OwnGil => (group.serial, 0),
                Isolation::SharedGil | Isolation::Main => (0, 0),
            }
        };
        let mut gil_gates = self.gil_gates.lock();
        Arc::clone(gil_gates.entry(key).or_insert_with(GilGate::new))
    }

    /// Ticks the GIL gates. Whether a job runs.
    pub(super) fn tick(&self) -> bool {
        self.wake_signal_recipients();
        let gil_gates = self.gil_gates.lock();
        gil_gates
            .values()
            .fold(false, |is_running, gil_gate| gil_gate.tick() | is_running)
    }

    pub(super) fn spec(&self, plan: &Plan, worker: usize) -> InterpreterSpec {
        let threads = self.threads_per_interpreter();
        InterpreterSpec {
            isolation: self.isolation,
            worker_id: worker,
            multithread: threads > 1,
            multiprocess: self.interpreters() > 1,
            backend: self.backend.clone(),
            ..plan.spec.clone()
        }
    }

    /// At most.
    pub(super) fn interpreters(&self) -> usize {
        self.plan.shape(self.isolation).0
    }

    /// At its start.
    pub(super) fn interpreters_at_first(&self) -> usize {
        self.plan.at_first.clamp(1, self.interpreters())
    }

    pub(super) fn threads_per_interpreter(&self) -> usize {
        self.plan.shape(self.isolation).1
    }

    pub(super) fn shares_gil(&self) -> bool {
        !self.runtime.is_free_threaded()
            && match self.isolation {
                Isolation::OwnGil => self.plan.threads > 1,
                Isolation::SharedGil | Isolation::Main => {
                    self.plan.threads * self.plan.interpreters > 1
                }
            }
    }

    pub(super) fn thread_begins(&self) {
        *self.alive.0.lock() += 1;
    }

    pub(super) fn thread_has_ended(&self) {
        *self.alive.0.lock() -= 1;
        self.alive.1.notify_all();
    }

    /// A thread is not to be waited for any longer: it is stuck in a request.
    pub(super) fn thread_is_abandoned(&self, group: &WorkerGroup, is_sibling: bool) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
        group.thread_is_abandoned(is_sibling);
        self.thread_has_ended();
    }

    /// It has come back, and will end.
    pub(super) fn thread_has_returned(&self, group: &WorkerGroup, is_sibling: bool) {
        // Its request has ended, and is counted among those.
        self.abandoned.fetch_sub(1, Ordering::Relaxed);
        self.thread_begins();
        group.thread_has_returned(is_sibling);
    }

    pub(super) fn count_parked(&self) {
        self.parked.fetch_add(1, Ordering::Relaxed);
    }
}
