//! One interpreter of a generation, seen from outside Python: its number, its threads, its start
//! and its end.
//!
//! A generation is a set of worker groups. Each can be stopped alone: a recycled interpreter leaves
//! when another has taken its place; a retired generation stops all groups. A stop never interrupts
//! a request. Any thread; no Python.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};

use super::inspect::counters::GroupCounters;
use super::working_folder::Place;
use crate::net::SharedPoll;

/// The state that a group's threads wait for before they serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartGate {
    Shut,
    Open,
    /// The threads end without serving.
    Aborted,
}

/// Threads beside the one that made the interpreter.
#[derive(Debug, Default)]
struct Siblings {
    count: usize,
    /// Of these, abandoned ones, which may never return.
    abandoned: usize,
}

pub struct WorkerGroup {
    /// The interpreter's number, from 1 (uWSGI's worker id); a successor has the same.
    pub worker: usize,
    /// Counts the groups of the generation, from 1.
    pub serial: u64,
    /// When the interpreter began to be made.
    pub since: Instant,
    answered: AtomicU64,
    pub(super) counters: GroupCounters,
    is_due: AtomicBool,
    /// In milliseconds of age. Until then no replacement is requested: the last one failed.
    put_off_until_ms: AtomicU64,
    start_gate: (Mutex<StartGate>, Condvar),
    /// Where the application was when it was loaded, if the interpreter has a working directory of
    /// its own.
    place: Mutex<Option<Place>>,
    is_stopped: Arc<AtomicBool>,
    /// An abandoned thread has caused a replacement.
    is_replaced: AtomicBool,
    /// Threads that wait in the poll, or are about to.
    sleeping: AtomicUsize,
    /// This group keeps the wake-all event of the poll set.
    is_waking: AtomicBool,
    /// Dropped at the stop, which ends waits for the queue.
    presence: Mutex<Option<Sender<Infallible>>>,
    stop_channel: Receiver<Infallible>,
    siblings: (Mutex<Siblings>, Condvar),
    alive: ThreadCount,
}

impl WorkerGroup {
    pub(super) fn new(
        worker: usize,
        serial: u64,
        start_gate: StartGate,
        threads: usize,
    ) -> Arc<Self> {
        let (presence, stop_channel) = bounded(0);
        Arc::new(Self {
            worker,
            serial,
            since: Instant::now(),
            answered: AtomicU64::new(0),
            counters: GroupCounters::new(threads),
            is_due: AtomicBool::new(false),
            put_off_until_ms: AtomicU64::new(0),
            start_gate: (Mutex::new(start_gate), Condvar::new()),
            place: Mutex::default(),
            is_stopped: Arc::default(),
            is_replaced: AtomicBool::new(false),
            sleeping: AtomicUsize::new(0),
            is_waking: AtomicBool::new(false),
            presence: Mutex::new(Some(presence)),
            stop_channel,
            siblings: Default::default(),
            alive: ThreadCount::default(),
        })
    }

    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn count_answer(&self) -> u64 {
        self.answered.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether its replacement may be requested now; `true` once.
    pub(super) fn becomes_due_for_recycling(&self, lifetime_min: Duration) -> bool {
        if self.is_due.load(Ordering::Relaxed) || self.is_stopped() {
            return false;
        }
        let age = self.since.elapsed();
        let postpone_recycling =
            Duration::from_millis(self.put_off_until_ms.load(Ordering::Relaxed));
        age >= lifetime_min.max(postpone_recycling) && !self.is_due.swap(true, Ordering::Relaxed)
    }

    /// No replacement is requested before this time has passed: the last one failed.
    pub(super) fn postpone_recycling(&self, time: Duration) {
        let until = self.since.elapsed() + time;
        let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.put_off_until_ms.store(until, Ordering::Relaxed);
        self.is_due.store(false, Ordering::Relaxed);
    }

    pub(super) fn set_place(&self, place: Option<Place>) {
        *self.place.lock() = place;
    }

    pub(super) fn place(&self) -> Option<Place> {
        self.place.lock().clone()
    }

    pub(super) fn open_start_gate(&self) {
        self.set_start_gate(StartGate::Open);
    }

    fn set_start_gate(&self, start_gate: StartGate) {
        let mut now = self.start_gate.0.lock();
        if *now == StartGate::Shut {
            *now = start_gate;
            self.start_gate.1.notify_all();
        }
    }

    pub(super) fn wait_at_start_gate(&self) -> StartGate {
        let mut start_gate = self.start_gate.0.lock();
        while *start_gate == StartGate::Shut {
            self.start_gate.1.wait(&mut start_gate);
        }
        *start_gate
    }

    /// Whether its threads leave: after the present request or, in a retired generation, when the
    /// queue is empty.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    pub(super) fn stopped_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_stopped)
    }

    pub(super) fn stop_channel(&self) -> &Receiver<Infallible> {
        &self.stop_channel
    }

    /// Makes its threads leave and wakes those that wait. The caller unparks them.
    pub(super) fn stop(&self, poll: &SharedPoll) {
        if self.is_stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        self.set_start_gate(StartGate::Aborted);
        // Under the mutex, or the creator could miss the notification.
        drop(self.siblings.0.lock());
        self.siblings.1.notify_all();
        drop(self.presence.lock().take());
        self.wake_all(poll);
    }

    /// Wakes its threads out of the poll. The caller ensures that they do not go back in.
    pub(super) fn wake_all(&self, poll: &SharedPoll) {
        poll.wake_all();
        if self.is_waking.swap(true, Ordering::SeqCst) {
            // The event is set for this group already.
            poll.let_sleep();
        }
        // A thread that goes to sleep raises the count and then reads the mark; this thread does
        // the reverse, so it sees every sleeping thread.
        if self.sleeping.load(Ordering::SeqCst) == 0 {
            self.stop_waking(poll);
        }
    }

    /// A thread is about to wait in the poll. `false`: it must leave.
    pub(super) fn enter_poll(&self, poll: &SharedPoll) -> bool {
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        if self.is_stopped() {
            self.leave_poll(poll);
            return false;
        }
        true
    }

    pub(super) fn sleeps(&self) -> bool {
        self.sleeping.load(Ordering::SeqCst) > 0
    }

    pub(super) fn leave_poll(&self, poll: &SharedPoll) {
        if self.sleeping.fetch_sub(1, Ordering::SeqCst) == 1
            && self.is_waking.load(Ordering::SeqCst)
        {
            self.stop_waking(poll);
        }
    }

    /// The event need not stay set for this group.
    pub(super) fn stop_waking(&self, poll: &SharedPoll) {
        if self.is_waking.swap(false, Ordering::SeqCst) {
            poll.let_sleep();
        }
    }

    pub(super) fn thread_begins(&self) {
        self.alive.one_begins();
    }

    pub(super) fn thread_has_ended(&self) {
        self.alive.one_ends();
    }

    pub(super) fn sibling_begins(&self) {
        self.siblings.0.lock().count += 1;
    }

    pub(super) fn sibling_has_ended(&self) {
        self.siblings.0.lock().count -= 1;
        self.siblings.1.notify_all();
    }

    pub(super) fn thread_is_abandoned(&self, is_sibling: bool) {
        self.thread_has_ended();
        if is_sibling {
            self.siblings.0.lock().abandoned += 1;
            self.siblings.1.notify_all();
        }
    }

    pub(super) fn thread_has_returned(&self, is_sibling: bool) {
        self.thread_begins();
        if is_sibling {
            self.siblings.0.lock().abandoned -= 1;
        }
    }

    /// Whether an abandoned thread is the first one and causes a replacement.
    pub(super) fn becomes_replaced(&self) -> bool {
        !self.is_replaced.swap(true, Ordering::SeqCst)
    }

    /// Makes the creator wait until the group was stopped and all its siblings have left or were
    /// abandoned. Not before the stop: replacements of abandoned siblings may be joining.
    pub(super) fn wait_for_siblings(&self) {
        let (siblings, ended) = &self.siblings;
        let mut left = siblings.lock();
        while left.count > left.abandoned || !self.is_stopped() {
            ended.wait(&mut left);
        }
    }

    /// Waits until every thread has ended, or until `deadline`. Returns the number of the others.
    pub(super) fn wait_until_ended(&self, deadline: Instant) -> usize {
        self.alive.wait_for_none(deadline)
    }
}

#[derive(Default)]
pub(super) struct ThreadCount {
    count: Mutex<usize>,
    one_ended: Condvar,
}

impl ThreadCount {
    pub(super) fn one_begins(&self) {
        *self.count.lock() += 1;
    }

    pub(super) fn one_ends(&self) {
        *self.count.lock() -= 1;
        self.one_ended.notify_all();
    }

    /// Waits until the count is 0, or until `deadline`. Returns it.
    pub(super) fn wait_for_none(&self, deadline: Instant) -> usize {
        let mut count = self.count.lock();
        while *count > 0 && !self.one_ended.wait_until(&mut count, deadline).timed_out() {}
        *count
    }
}
