//! Counters of workers. Each thread writes its own, with plain stores into its own cache line, and
//! any thread reads them. The sums of ended interpreters are kept for their successors.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam::utils::CachePadded;
use parking_lot::Mutex;

use crate::python::WorkerFacts;

const IDLE: u64 = 0;
const BUSY: u64 = 1;
const SIGNAL: u64 = 256;
/// The bits above hold the start time in microseconds.
const STATE_BITS: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    Idle,
    Request(Instant),
    Signal(u8, Instant),
}

/// The end of a request, as far as the application is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Good,
    /// 5xx, or ended by harakiri.
    Failed,
    /// An exception, or an invalid response.
    Raised,
}

pub(crate) struct ThreadCounters {
    /// From here its microseconds are counted.
    origin: Instant,
    requests: AtomicU64,
    exceptions: AtomicU64,
    /// 5xx, or cut short by an error here.
    failed: AtomicU64,
    signals: AtomicU64,
    sent_bytes: AtomicU64,
    running_micros: AtomicU64,
    average_micros: AtomicU64,
    /// Only the watcher writes it.
    harakiri: AtomicU64,
    state: AtomicU64,
}

fn state_of(word: u64) -> u64 {
    word & ((1 << STATE_BITS) - 1)
}

/// Adds to a counter that only the calling thread writes.
fn add(counter: &AtomicU64, value: u64) {
    let sum = counter.load(Ordering::Relaxed).wrapping_add(value);
    counter.store(sum, Ordering::Relaxed);
}

impl ThreadCounters {
    fn new(origin: Instant) -> Self {
        Self {
            origin,
            requests: AtomicU64::new(0),
            exceptions: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            signals: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            running_micros: AtomicU64::new(0),
            average_micros: AtomicU64::new(0),
            harakiri: AtomicU64::new(0),
            state: AtomicU64::new(IDLE),
        }
    }

    /// One word holds state and time, so that one store changes both.
    fn enter(&self, state: u64, now: Instant) {
        let since = now.saturating_duration_since(self.origin).as_micros() as u64;
        self.state
            .store(since << STATE_BITS | state, Ordering::Relaxed);
    }

    pub(crate) fn activity(&self) -> Activity {
        let word = self.state.load(Ordering::Relaxed);
        let since = self.origin + Duration::from_micros(word >> STATE_BITS);
        match state_of(word) {
            IDLE => Activity::Idle,
            state if state >= SIGNAL => Activity::Signal((state - SIGNAL) as u8, since),
            _ => Activity::Request(since),
        }
    }

    pub(crate) fn begin_request(&self, now: Instant) {
        self.enter(BUSY, now);
        add(&self.requests, 1);
    }

    pub(crate) fn end_request(&self, took: Duration, sent_bytes: u64, end: Ending) {
        self.state.store(IDLE, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(&self.running_micros, micros);
        let average = self.average_micros.load(Ordering::Relaxed);
        let average = average.midpoint(micros);
        self.average_micros.store(average, Ordering::Relaxed);
        add(&self.sent_bytes, sent_bytes);
        if end == Ending::Raised {
            add(&self.exceptions, 1);
        }
        if end != Ending::Good {
            add(&self.failed, 1);
        }
    }

    /// Counts a request that took too long. Only the watcher calls this.
    pub(crate) fn count_harakiri(&self) {
        add(&self.harakiri, 1);
    }

    pub(crate) fn begin_signal(&self, number: u8) {
        self.enter(SIGNAL + u64::from(number), Instant::now());
        add(&self.signals, 1);
    }

    pub(crate) fn end_signal(&self) {
        self.state.store(IDLE, Ordering::Relaxed);
    }
}

pub(crate) struct GroupCounters {
    threads: Box<[CachePadded<ThreadCounters>]>,
}

impl GroupCounters {
    pub(crate) fn new(threads: usize) -> Self {
        // At least one, so that there is always one to write to.
        let origin = Instant::now();
        let threads = (0..threads.max(1)).map(|_| CachePadded::new(ThreadCounters::new(origin)));
        Self {
            threads: threads.collect(),
        }
    }

    pub(crate) fn of(&self, core: usize) -> &ThreadCounters {
        &self.threads[core % self.threads.len()]
    }

    pub(crate) fn is_busy(&self) -> bool {
        let mut states = self.threads.iter();
        states.any(|thread| thread.state.load(Ordering::Relaxed) != IDLE)
    }

    pub(crate) fn running(&self) -> Duration {
        let times = self.threads.iter();
        let times = times.map(|thread| thread.running_micros.load(Ordering::Relaxed));
        Duration::from_micros(times.fold(0, u64::wrapping_add))
    }

    /// The status of each thread, its start and its number of requests.
    pub(crate) fn each(&self) -> impl Iterator<Item = (String, Option<Instant>, u64)> {
        self.threads.iter().map(|thread| {
            let (status, since) = match thread.activity() {
                Activity::Idle => ("idle".to_owned(), None),
                Activity::Request(since) => ("busy".to_owned(), Some(since)),
                Activity::Signal(number, since) => (format!("sig{number}"), Some(since)),
            };
            (status, since, thread.requests.load(Ordering::Relaxed))
        })
    }

    fn add_to(&self, facts: &mut WorkerFacts) {
        let sum = |counter: fn(&ThreadCounters) -> &AtomicU64| {
            let values = self.threads.iter();
            let values = values.map(|thread| counter(thread).load(Ordering::Relaxed));
            values.fold(0, u64::wrapping_add)
        };
        let requests = sum(|thread| &thread.requests);
        facts.requests += requests;
        facts.exceptions += sum(|thread| &thread.exceptions);
        facts.signals += sum(|thread| &thread.signals);
        facts.harakiri += sum(|thread| &thread.harakiri);
        facts.sent_bytes += sum(|thread| &thread.sent_bytes);
        facts.running_time += sum(|thread| &thread.running_micros);
    }

    pub(crate) fn failed(&self) -> u64 {
        let threads = self.threads.iter();
        threads
            .map(|thread| thread.failed.load(Ordering::Relaxed))
            .sum()
    }

    /// Adds what the present interpreter of the worker shows.
    fn describe(&self, facts: &mut WorkerFacts) {
        let threads = self.threads.iter();
        let used: Vec<_> = threads
            .filter(|thread| thread.requests.load(Ordering::Relaxed) > 0)
            .collect();
        let averages = used
            .iter()
            .map(|thread| thread.average_micros.load(Ordering::Relaxed));
        facts.average_time = averages.sum::<u64>() / (used.len().max(1) as u64);
        let requests = used
            .iter()
            .map(|thread| thread.requests.load(Ordering::Relaxed));
        facts.delta_requests = requests.sum();
        let states = self.threads.iter();
        let states = states.map(|thread| state_of(thread.state.load(Ordering::Relaxed)));
        facts.status = word(states.max().unwrap_or(IDLE));
    }
}

fn word(state: u64) -> String {
    match state {
        IDLE => "idle".to_owned(),
        number if number >= SIGNAL => format!("sig{}", number - SIGNAL),
        _ => "busy".to_owned(),
    }
}

/// Sums of each worker's past interpreters.
#[derive(Default)]
pub(crate) struct WorkerTotals {
    workers: Mutex<HashMap<usize, WorkerFacts>>,
}

impl WorkerTotals {
    pub(crate) fn note_spawn(&self, worker: usize) {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let mut workers = self.workers.lock();
        let facts = workers.entry(worker).or_default();
        facts.last_spawn = since.map_or(0, |since| since.as_secs());
        facts.respawns += 1;
    }

    pub(crate) fn keep(&self, worker: usize, counters: &GroupCounters) {
        counters.add_to(self.workers.lock().entry(worker).or_default());
    }

    /// The figures that `uwsgi.workers()` shows of a worker, from its present interpreters; those
    /// that leave come first.
    pub(crate) fn facts<'t>(
        &self,
        worker: usize,
        present: impl Iterator<Item = &'t GroupCounters>,
    ) -> WorkerFacts {
        let mut facts = self
            .workers
            .lock()
            .get(&worker)
            .cloned()
            .unwrap_or_default();
        facts.id = worker;
        // uWSGI's word for a worker that is not needed.
        facts.status = "cheap".to_owned();
        for counters in present {
            counters.add_to(&mut facts);
            counters.describe(&mut facts);
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(thread: &ThreadCounters, is_failed: bool) {
        thread.begin_request(Instant::now());
        let end = if is_failed {
            Ending::Raised
        } else {
            Ending::Good
        };
        thread.end_request(Duration::from_micros(100), 10, end);
    }

    #[test]
    fn a_worker_is_the_sum_of_its_threads_and_of_those_before_them() {
        let totals = WorkerTotals::default();
        let first = GroupCounters::new(2);
        totals.note_spawn(2);
        serve(first.of(0), false);
        serve(first.of(1), true);
        let facts = totals.facts(2, [&first].into_iter());
        assert_eq!((facts.id, facts.requests, facts.exceptions), (2, 2, 1));
        assert_eq!((facts.sent_bytes, facts.running_time), (20, 200));
        assert_eq!((facts.average_time, facts.respawns), (50, 1));
        assert_eq!(facts.status, "idle");

        totals.keep(2, &first);
        totals.note_spawn(2);
        let second = GroupCounters::new(2);
        serve(second.of(0), false);
        let facts = totals.facts(2, [&second].into_iter());
        assert_eq!((facts.requests, facts.delta_requests), (3, 1));
        assert_eq!(facts.respawns, 2);
        let none = totals.facts(1, std::iter::empty());
        assert_eq!((none.requests, none.status.as_str()), (0, "cheap"));
    }

    #[test]
    fn what_went_wrong_is_counted() {
        let counters = GroupCounters::new(2);
        let end = |end| counters.of(1).end_request(Duration::ZERO, 0, end);
        for ending in [Ending::Good, Ending::Failed, Ending::Raised] {
            end(ending);
        }
        assert_eq!(counters.failed(), 2);
    }

    #[test]
    fn what_it_does_is_told() {
        let (totals, counters) = (WorkerTotals::default(), GroupCounters::new(2));
        let status = || totals.facts(1, [&counters].into_iter()).status;
        assert_eq!(counters.of(0).activity(), Activity::Idle);
        let before = Instant::now();
        counters.of(0).begin_request(Instant::now());
        assert_eq!(status(), "busy");
        let Activity::Request(since) = counters.of(0).activity() else {
            panic!("it is in a request");
        };
        // Told in whole microseconds.
        assert!(before <= since + Duration::from_micros(1) && since <= Instant::now());
        counters.of(1).begin_signal(255);
        assert_eq!(status(), "sig255");
        assert!(matches!(
            counters.of(1).activity(),
            Activity::Signal(255, _)
        ));
        counters.of(1).end_signal();
        assert_eq!(counters.of(1).activity(), Activity::Idle);
    }
}
