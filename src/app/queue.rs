//! The queue between those who poll and those who run.
//!
//! It is bounded: its length is the server's backpressure. The senders' side belongs to the
//! generation and is dropped with it; workers run the queue dry and end. The rest of this file is
//! the protocol by which a worker may sleep in the poll without missing a job that another thread
//! queues.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use crossbeam::select;

use crate::net::{Exchange, Net, Rejected};

/// What a worker is asked to do.
pub enum Job {
    Request(Exchange),
}

/// The workers' side.
pub struct Queue {
    jobs: Receiver<Job>,
    /// Workers that wait in the poll, or are about to.
    idle: AtomicUsize,
    /// Turns taken by workers: the acceptor sees whether anybody polls.
    turns: AtomicU64,
    /// One for each interpreter, where workers wait for the queue: something came that only it can
    /// do.
    wakers: Vec<(Sender<()>, Receiver<()>)>,
}

/// What a look into the queue found.
pub enum Next {
    /// Something to do.
    Job(Job),
    /// Nothing for now.
    Empty,
    /// Nothing, and nothing will come: the generation has been retired.
    Ended,
}

impl Queue {
    /// A queue for `jobs_max` waiting jobs of so many interpreters, and its only sender.
    pub fn new(jobs_max: usize, interpreters: usize) -> (Sender<Job>, Self) {
        let (sender, jobs) = bounded(jobs_max.max(1));
        let wakers = (0..interpreters).map(|_| bounded(1));
        let queue = Self {
            jobs,
            idle: AtomicUsize::new(0),
            turns: AtomicU64::new(0),
            wakers: wakers.collect(),
        };
        (sender, queue)
    }

    /// The next job, without waiting.
    pub fn next(&self) -> Next {
        match self.jobs.try_recv() {
            Ok(job) => Next::Job(job),
            Err(TryRecvError::Empty) => Next::Empty,
            Err(TryRecvError::Disconnected) => Next::Ended,
        }
    }

    /// The next job, waiting for it up to `timeout`, until `stop_channel` or `recall` disconnects
    /// or until [`wake_worker`](Self::wake_worker) is called for this interpreter (where workers do
    /// not poll).
    pub fn wait(
        &self,
        worker: usize,
        stop_channel: &Receiver<Infallible>,
        recall: &Receiver<Infallible>,
        timeout: Duration,
    ) -> Next {
        let never = crossbeam::channel::never();
        let waker = self.wakers.get(worker.wrapping_sub(1));
        let woken = waker.map_or(&never, |(_, woken)| woken);
        select! {
            recv(self.jobs) -> job => job.map_or(Next::Ended, Next::Job),
            recv(stop_channel) -> _ => self.next(),
            recv(recall) -> _ => self.next(),
            recv(woken) -> _ => Next::Empty,
            default(timeout) => Next::Empty,
        }
    }

    /// Wakes a worker of this interpreter (from 1).
    pub fn wake_worker(&self, worker: usize) {
        if let Some((waker, _)) = self.wakers.get(worker.wrapping_sub(1)) {
            // Full: a wake is pending.
            waker.try_send(()).ok();
        }
    }

    /// How many jobs wait.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    pub fn has_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// A worker is about to wait in the poll. `false`: a job came meanwhile, do not wait.
    ///
    /// The sender queues, fences, and then looks whether anybody is idle; here the order is the
    /// other way round. Whichever fence comes first, one of the two sees the other.
    pub fn enter_poll(&self) -> bool {
        self.idle.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if self.has_jobs() {
            self.idle.fetch_sub(1, Ordering::SeqCst);
            return false;
        }
        true
    }

    /// The worker has come back from the poll.
    pub fn leave_poll(&self) {
        self.idle.fetch_sub(1, Ordering::SeqCst);
    }

    /// A worker takes a turn.
    pub fn note_turn(&self) {
        // Ordered with the acceptor's flag: it counts turns after it has said that it sleeps, a
        // worker looks at the flag after it has counted its turn.
        self.turns.fetch_add(1, Ordering::SeqCst);
    }

    /// Turns that workers have taken.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }

    /// Whether a worker waits in the poll.
    pub fn has_idle_worker(&self) -> bool {
        self.idle.load(Ordering::SeqCst) > 0
    }

    /// Wakes one worker if one sleeps in the poll while jobs wait that the caller will not run
    /// itself.
    pub fn wake_if_idle(&self, net: &Net) {
        fence(Ordering::SeqCst);
        if self.has_idle_worker() {
            net.poll().wake();
        }
    }
}

/// Queues an exchange, or gives it back.
pub fn send(sender: &Sender<Job>, exchange: Exchange) -> Result<(), (Exchange, Rejected)> {
    match sender.try_send(Job::Request(exchange)) {
        Ok(()) => Ok(()),
        Err(TrySendError::Full(Job::Request(exchange))) => Err((exchange, Rejected::Full)),
        Err(TrySendError::Disconnected(Job::Request(exchange))) => {
            Err((exchange, Rejected::Stopped))
        }
    }
}
