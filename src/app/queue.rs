//! The queue between threads that poll and threads that run the application.
//!
//! It is bounded: its length is the server's backpressure. The generation owns the sender; when it
//! is dropped, workers empty the queue and end. The rest of this file lets a worker sleep in the
//! poll without missing a job that another thread queues.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use crossbeam::select;

use crate::net::{Exchange, Net, Rejected};

pub enum Job {
    Request(Exchange),
}

pub struct Queue {
    jobs: Receiver<Job>,
    /// Workers that wait in the poll, or are about to.
    idle: AtomicUsize,
    /// Turns taken by workers: the acceptor sees whether a worker polls.
    turns: AtomicU64,
    /// One for each interpreter, where workers wait for the queue: a signal only for it waits.
    wakers: Vec<(Sender<()>, Receiver<()>)>,
}

pub enum Next {
    Job(Job),
    Empty,
    /// The queue is empty and closed: the generation has retired.
    Ended,
}

impl Queue {
    /// A queue for `jobs_max` jobs, and its only sender.
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

    pub fn next(&self) -> Next {
        match self.jobs.try_recv() {
            Ok(job) => Next::Job(job),
            Err(TryRecvError::Empty) => Next::Empty,
            Err(TryRecvError::Disconnected) => Next::Ended,
        }
    }

    /// Waits for the next job, up to `timeout`, until `stop_channel` or `recall` disconnects, or
    /// until [`wake_worker`](Self::wake_worker) is called for this interpreter.
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

    pub fn wake_worker(&self, worker: usize) {
        if let Some((waker, _)) = self.wakers.get(worker.wrapping_sub(1)) {
            // Full: a wake is pending.
            waker.try_send(()).ok();
        }
    }

    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    pub fn has_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// A worker is about to wait in the poll. `false`: a job came meanwhile, do not wait.
    ///
    /// A sender queues, fences, and then looks for idle workers; a worker does the reverse.
    /// Whichever fence comes first, one of the two sees the other.
    pub fn enter_poll(&self) -> bool {
        self.idle.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if self.has_jobs() {
            self.idle.fetch_sub(1, Ordering::SeqCst);
            return false;
        }
        true
    }

    pub fn leave_poll(&self) {
        self.idle.fetch_sub(1, Ordering::SeqCst);
    }

    pub fn note_turn(&self) {
        // Ordered with the acceptor's flag: the acceptor counts turns after it has set the flag, a
        // worker reads the flag after it has counted its turn.
        self.turns.fetch_add(1, Ordering::SeqCst);
    }

    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }

    pub fn has_idle_worker(&self) -> bool {
        self.idle.load(Ordering::SeqCst) > 0
    }

    /// Wakes one worker that sleeps in the poll, if jobs wait.
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
