//! One interpreter of a generation, seen from outside Python: its number, its threads, whether they
//! may begin and whether they are to leave.
//!
//! A generation is a set of worker groups. Each can be stopped by itself: a recycled interpreter is
//! a group that leaves when another has taken its place; a retired generation stops all of them.
//! Stopping never interrupts a request. Any thread may call anything here; no Python.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};

use super::inspect::counters::GroupCounters;
use crate::net::SharedPoll;

/// What the threads of a group wait for before they serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartGate {
    Shut,
    Open,
    /// It will never serve: end at once.
    Aborted,
}

/// Threads beside the one that made the interpreter.
#[derive(Debug, Default)]
struct Siblings {
    count: usize,
    /// Of these, how many will perhaps never come back.
    abandoned: usize,
}

/// An interpreter's threads.
pub struct WorkerGroup {
    /// The interpreter's number, from 1 (uWSGI's worker id). A group and its successor have the
    /// same.
    pub worker: usize,
    /// Counts the groups of the generation, from 1.
    pub serial: u64,
    /// When the interpreter began to be made.
    pub since: Instant,
    answered: AtomicU64,
    /// What its threads have done.
    pub(super) counters: GroupCounters,
    /// Its replacement has been asked for.
    is_due: AtomicBool,
    /// No replacement is asked for before this age in milliseconds: the last one could not be made.
    put_off_until_ms: AtomicU64,
    start_gate: (Mutex<StartGate>, Condvar),
    is_stopped: Arc<AtomicBool>,
    /// A thread of it was abandoned, and a replacement is being made.
    is_replaced: AtomicBool,
    /// Threads that wait in the poll, or are about to.
    sleeping: AtomicUsize,
    /// This group keeps the wake-all event of the poll set.
    is_waking: AtomicBool,
    /// Dropped at the stop, which ends the waits for the queue.
    presence: Mutex<Option<Sender<Infallible>>>,
    stop_channel: Receiver<Infallible>,
    /// Threads beside the one that made the interpreter, and all threads.
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

    /// One more; returns how many that makes.
    pub(super) fn count_answer(&self) -> u64 {
        self.answered.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether its replacement may be asked for now; `true` once.
    pub(super) fn becomes_due_for_recycling(&self, lifetime_min: Duration) -> bool {
        if self.is_due.load(Ordering::Relaxed) || self.is_stopped() {
            return false;
        }
        let age = self.since.elapsed();
        let postpone_recycling =
            Duration::from_millis(self.put_off_until_ms.load(Ordering::Relaxed));
        age >= lifetime_min.max(postpone_recycling) && !self.is_due.swap(true, Ordering::Relaxed)
    }

    /// The replacement could not be made: none is asked for again before this much time has passed.
    pub(super) fn postpone_recycling(&self, time: Duration) {
        let until = self.since.elapsed() + time;
        let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.put_off_until_ms.store(until, Ordering::Relaxed);
        self.is_due.store(false, Ordering::Relaxed);
    }

    pub(super) fn open_start_gate(&self) {
        self.set_start_gate(StartGate::Open);
    }

    /// Moves once.
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

    /// Whether its threads are to leave: after the request they are in, or, when the generation has
    /// been retired, when the queue is dry.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    /// The flag itself, for the GIL gate.
    pub(super) fn stopped_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_stopped)
    }

    /// Ends the waits of those who wait for the queue.
    pub(super) fn stop_channel(&self) -> &Receiver<Infallible> {
        &self.stop_channel
    }

    /// Tells its threads to leave and wakes those that wait, wherever. The caller unparks them.
    pub(super) fn stop(&self, poll: &SharedPoll) {
        if self.is_stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        self.set_start_gate(StartGate::Aborted);
        // Under the mutex, so that the maker does not look away in between.
        drop(self.siblings.0.lock());
        self.siblings.1.notify_all();
        drop(self.presence.lock().take());
        self.wake_all(poll);
    }

    /// Gets its threads out of the poll. The caller has seen to it that those who look do not go
    /// back in.
    pub(super) fn wake_all(&self, poll: &SharedPoll) {
        poll.wake_all();
        if self.is_waking.swap(true, Ordering::SeqCst) {
            // The event is set for them already.
            poll.let_sleep();
        }
        // A thread goes to sleep by raising the count and then looking at the mark; here it is the
        // other way round. So none sleeps unseen.
        if self.sleeping.load(Ordering::SeqCst) == 0 {
            self.stop_waking(poll);
        }
    }

    /// A thread is about to wait in the poll. `false`: it is to leave instead.
    pub(super) fn enter_poll(&self, poll: &SharedPoll) -> bool {
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        if self.is_stopped() {
            self.leave_poll(poll);
            return false;
        }
        true
    }

    /// Whether a thread waits in the poll, or is about to.
    pub(super) fn sleeps(&self) -> bool {
        self.sleeping.load(Ordering::SeqCst) > 0
    }

    /// It has come back.
    pub(super) fn leave_poll(&self, poll: &SharedPoll) {
        if self.sleeping.fetch_sub(1, Ordering::SeqCst) == 1
            && self.is_waking.load(Ordering::SeqCst)
        {
            self.stop_waking(poll);
        }
    }

    /// No thread of this group sleeps in the poll and none will, or all may again: the event need
    /// not stay set for it.
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

    /// One of its threads is not to be waited for any longer.
    pub(super) fn thread_is_abandoned(&self, is_sibling: bool) {
        self.thread_has_ended();
        if is_sibling {
            self.siblings.0.lock().abandoned += 1;
            self.siblings.1.notify_all();
        }
    }

    /// It has come back, and will end.
    pub(super) fn thread_has_returned(&self, is_sibling: bool) {
        self.thread_begins();
        if is_sibling {
            self.siblings.0.lock().abandoned -= 1;
        }
    }

    /// Whether a replacement is to be made because a thread was abandoned; `true` once.
    pub(super) fn becomes_replaced(&self) -> bool {
        !self.is_replaced.swap(true, Ordering::SeqCst)
    }

    /// For the thread that made the interpreter: waits until the group was stopped and this thread
    /// is the last one in it that is not abandoned. Not before the stop: when all siblings have
    /// been abandoned, replacements are on their way into this interpreter.
    pub(super) fn wait_for_siblings(&self) {
        let (siblings, ended) = &self.siblings;
        let mut left = siblings.lock();
        while left.count > left.abandoned || !self.is_stopped() {
            ended.wait(&mut left);
        }
    }

    /// Waits until every thread has ended, or until `deadline`. Returns how many have not.
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
