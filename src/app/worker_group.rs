//! One interpreter of a generation, seen from outside Python: its number, its threads, whether it may begin and whether
//! it is to leave.
//!
//! A generation is a set of crews. Each can be dismissed by itself: a recycled interpreter is a crew that leaves when
//! another has taken its place; a retired generation dismisses all of them. Dismissing never interrupts a request.
//! Any thread may call anything here; no Python.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};

use super::inspect::counters::Tallies;
use crate::net::SharedPoll;

/// What the threads of a crew wait for before they serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
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
    given_up: usize,
}

/// An interpreter's threads.
pub struct Crew {
    /// The interpreter's number, from 1 (uWSGI's worker id). A crew and its successor have the same.
    pub worker: usize,
    /// Counts the crews of the generation, from 1.
    pub serial: u64,
    /// When the interpreter began to be made.
    pub since: Instant,
    answered: AtomicU64,
    /// What its threads have done.
    pub(super) tallies: Tallies,
    /// Its replacement has been asked for.
    is_due: AtomicBool,
    /// Milliseconds of its age before which nobody asks again: the last replacement could not be made.
    put_off_until_ms: AtomicU64,
    gate: (Mutex<Gate>, Condvar),
    is_dismissed: Arc<AtomicBool>,
    /// A thread of it was given up, and a successor is being made.
    is_succeeded: AtomicBool,
    /// Threads that wait in the poll, or are about to.
    sleeping: AtomicUsize,
    /// This crew keeps the beacon of the poll lit.
    is_called: AtomicBool,
    /// Dropped at the dismissal, which ends the waits of those who wait for the queue.
    presence: Mutex<Option<Sender<Infallible>>>,
    dismissal: Receiver<Infallible>,
    /// Threads beside the one that made the interpreter, and all threads.
    siblings: (Mutex<Siblings>, Condvar),
    alive: (Mutex<usize>, Condvar),
}

impl Crew {
    pub(super) fn new(worker: usize, serial: u64, gate: Gate, threads: usize) -> Arc<Self> {
        let (presence, dismissal) = bounded(0);
        Arc::new(Self {
            worker,
            serial,
            since: Instant::now(),
            answered: AtomicU64::new(0),
            tallies: Tallies::new(threads),
            is_due: AtomicBool::new(false),
            put_off_until_ms: AtomicU64::new(0),
            gate: (Mutex::new(gate), Condvar::new()),
            is_dismissed: Arc::default(),
            is_succeeded: AtomicBool::new(false),
            sleeping: AtomicUsize::new(0),
            is_called: AtomicBool::new(false),
            presence: Mutex::new(Some(presence)),
            dismissal,
            siblings: Default::default(),
            alive: Default::default(),
        })
    }

    /// Requests that were answered in it.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// One more; returns how many that makes.
    pub(super) fn count_answer(&self) -> u64 {
        self.answered.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether its replacement may be asked for now; `true` once.
    pub(super) fn becomes_due(&self, lifetime_min: Duration) -> bool {
        if self.is_due.load(Ordering::Relaxed) || self.is_dismissed() {
            return false;
        }
        let age = self.since.elapsed();
        let put_off = Duration::from_millis(self.put_off_until_ms.load(Ordering::Relaxed));
        age >= lifetime_min.max(put_off) && !self.is_due.swap(true, Ordering::Relaxed)
    }

    /// The replacement could not be made: nobody asks for one again before this much time has passed.
    pub(super) fn put_off(&self, time: Duration) {
        let until = self.since.elapsed() + time;
        let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.put_off_until_ms.store(until, Ordering::Relaxed);
        self.is_due.store(false, Ordering::Relaxed);
    }

    pub(super) fn open_gate(&self) {
        self.set_gate(Gate::Open);
    }

    /// A gate moves once.
    fn set_gate(&self, gate: Gate) {
        let mut now = self.gate.0.lock();
        if *now == Gate::Shut {
            *now = gate;
            self.gate.1.notify_all();
        }
    }

    pub(super) fn wait_at_gate(&self) -> Gate {
        let mut gate = self.gate.0.lock();
        while *gate == Gate::Shut {
            self.gate.1.wait(&mut gate);
        }
        *gate
    }

    /// Whether its threads are to leave: after the request they are in, or, when the generation has been retired,
    /// when the queue is dry.
    pub fn is_dismissed(&self) -> bool {
        self.is_dismissed.load(Ordering::SeqCst)
    }

    /// The mark itself, for the runners.
    pub(super) fn dismissed_mark(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_dismissed)
    }

    /// Ends the waits of those who wait for the queue.
    pub(super) fn dismissal(&self) -> &Receiver<Infallible> {
        &self.dismissal
    }

    /// Tells its threads to leave and wakes those that wait, wherever. The caller releases their runners.
    pub(super) fn dismiss(&self, poll: &SharedPoll) {
        if self.is_dismissed.swap(true, Ordering::SeqCst) {
            return;
        }
        self.set_gate(Gate::Aborted);
        // Under the mutex, so that the maker does not look away in between.
        drop(self.siblings.0.lock());
        self.siblings.1.notify_all();
        drop(self.presence.lock().take());
        self.call_out(poll);
    }

    /// Gets its threads out of the poll. The caller has seen to it that those who look do not go back in.
    pub(super) fn call_out(&self, poll: &SharedPoll) {
        poll.wake_all();
        if self.is_called.swap(true, Ordering::SeqCst) {
            // The beacon burns for them already.
            poll.let_sleep();
        }
        // A thread goes to sleep by raising the count and then looking at the mark; here it is the other way round. So none
        // sleeps unseen.
        if self.sleeping.load(Ordering::SeqCst) == 0 {
            self.all_called(poll);
        }
    }

    /// A thread is about to wait in the poll. `false`: it is to leave instead.
    pub(super) fn enter_poll(&self, poll: &SharedPoll) -> bool {
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        if self.is_dismissed() {
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
            && self.is_called.load(Ordering::SeqCst)
        {
            self.all_called(poll);
        }
    }

    /// Nobody of this crew sleeps any more, and nobody will, or all may again: the beacon need not burn for it.
    pub(super) fn all_called(&self, poll: &SharedPoll) {
        if self.is_called.swap(false, Ordering::SeqCst) {
            poll.let_sleep();
        }
    }

    pub(super) fn thread_begins(&self) {
        *self.alive.0.lock() += 1;
    }

    pub(super) fn thread_has_ended(&self) {
        *self.alive.0.lock() -= 1;
        self.alive.1.notify_all();
    }

    pub(super) fn sibling_begins(&self) {
        self.siblings.0.lock().count += 1;
    }

    pub(super) fn sibling_has_ended(&self) {
        self.siblings.0.lock().count -= 1;
        self.siblings.1.notify_all();
    }

    /// One of its threads is not to be waited for any longer.
    pub(super) fn thread_is_given_up(&self, is_sibling: bool) {
        self.thread_has_ended();
        if is_sibling {
            self.siblings.0.lock().given_up += 1;
            self.siblings.1.notify_all();
        }
    }

    /// It has come back, and will end.
    pub(super) fn thread_is_back(&self, is_sibling: bool) {
        self.thread_begins();
        if is_sibling {
            self.siblings.0.lock().given_up -= 1;
        }
    }

    /// Whether a successor is to be made because a thread was given up; `true` once.
    pub(super) fn becomes_succeeded(&self) -> bool {
        !self.is_succeeded.swap(true, Ordering::SeqCst)
    }

    /// For the thread that made the interpreter: waits until nobody needs it any more (the crew was dismissed), and it is the last
    /// one in it, but for those that were given up. Not before the dismissal: when all siblings have been given up, successors are
    /// on their way into this interpreter.
    pub(super) fn wait_for_siblings(&self) {
        let (siblings, ended) = &self.siblings;
        let mut left = siblings.lock();
        while left.count > left.given_up || !self.is_dismissed() {
            ended.wait(&mut left);
        }
    }

    /// Waits until every thread has ended, or until `deadline`. Returns how many have not.
    pub(super) fn wait_until_ended(&self, deadline: Instant) -> usize {
        wait_for_none(&self.alive, deadline)
    }
}

/// Waits until the count is 0, or until `deadline`. Returns it.
pub(super) fn wait_for_none(count: &(Mutex<usize>, Condvar), deadline: Instant) -> usize {
    let (count, changed) = count;
    let mut alive = count.lock();
    while *alive > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        changed.wait_for(&mut alive, left);
    }
    *alive
}
