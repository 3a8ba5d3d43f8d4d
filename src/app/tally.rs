//! What each worker thread has done, and whether it sleeps. Written by that thread alone, read by anybody: plain stores, no
//! lock, no shared cache line.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam::utils::CachePadded;

use crate::python::WorkerFacts;

use super::worker::Seat;

const IDLE: u16 = 0;
const BUSY: u16 = 1;
/// And the number of the signal.
const SIGNAL: u16 = 256;

/// One thread's.
#[derive(Default)]
pub(super) struct Tally {
    requests: AtomicU64,
    exceptions: AtomicU64,
    signals: AtomicU64,
    sent_bytes: AtomicU64,
    running_micros: AtomicU64,
    average_micros: AtomicU64,
    state: AtomicU16,
    /// The thread waits in the poll, or is about to.
    in_poll: AtomicBool,
}

/// Adds to a counter that only the calling thread writes.
fn add(counter: &AtomicU64, value: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(value),
        Ordering::Relaxed,
    );
}

impl Tally {
    /// A request begins.
    pub(super) fn begin_request(&self) {
        self.state.store(BUSY, Ordering::Relaxed);
        add(&self.requests, 1);
    }

    /// It has ended.
    pub(super) fn end_request(&self, took: Duration, sent_bytes: u64, is_failed: bool) {
        self.state.store(IDLE, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(&self.running_micros, micros);
        let average = self.average_micros.load(Ordering::Relaxed);
        self.average_micros
            .store(average.midpoint(micros), Ordering::Relaxed);
        add(&self.sent_bytes, sent_bytes);
        if is_failed {
            add(&self.exceptions, 1);
        }
    }

    /// The handler of a signal begins.
    pub(super) fn begin_signal(&self, number: u8) {
        self.state
            .store(SIGNAL + u16::from(number), Ordering::Relaxed);
        add(&self.signals, 1);
    }

    /// It has ended.
    pub(super) fn end_signal(&self) {
        self.state.store(IDLE, Ordering::Relaxed);
    }

    /// Said before the thread makes itself known as idle, and after it has come back: ordered by `Queue`'s fences.
    pub(super) fn set_in_poll(&self, in_poll: bool) {
        self.in_poll.store(in_poll, Ordering::SeqCst);
    }
}

/// One interpreter's beginnings.
#[derive(Default)]
struct Spawns {
    last: AtomicU64,
    count: AtomicU64,
}

/// Those of a generation.
pub(super) struct Tallies {
    threads: usize,
    seats: Vec<CachePadded<Tally>>,
    spawns: Vec<Spawns>,
}

impl Tallies {
    pub(super) fn new(interpreters: usize, threads: usize) -> Self {
        let seats = (0..interpreters * threads).map(|_| CachePadded::default());
        Self {
            threads: threads.max(1),
            seats: seats.collect(),
            spawns: (0..interpreters).map(|_| Spawns::default()).collect(),
        }
    }

    /// The tally of a thread.
    pub(super) fn of(&self, seat: Seat) -> &Tally {
        static NOBODY: CachePadded<Tally> = CachePadded::new(Tally {
            requests: AtomicU64::new(0),
            exceptions: AtomicU64::new(0),
            signals: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            running_micros: AtomicU64::new(0),
            average_micros: AtomicU64::new(0),
            state: AtomicU16::new(IDLE),
            in_poll: AtomicBool::new(false),
        });
        // Every seat has one; should one have none, its numbers go nowhere.
        let index = (seat.worker.wrapping_sub(1))
            .wrapping_mul(self.threads)
            .wrapping_add(seat.core);
        self.seats.get(index).unwrap_or(&NOBODY)
    }

    fn of_worker(&self, worker: usize) -> &[CachePadded<Tally>] {
        let mut workers = self.seats.chunks(self.threads);
        workers.nth(worker.wrapping_sub(1)).unwrap_or_default()
    }

    /// Whether a thread of this interpreter waits in the poll.
    pub(super) fn sleeps(&self, worker: usize) -> bool {
        let mut seats = self.of_worker(worker).iter();
        seats.any(|seat| seat.in_poll.load(Ordering::SeqCst))
    }

    /// An interpreter was made.
    pub(super) fn note_spawn(&self, worker: usize) {
        if let Some(spawns) = self.spawns.get(worker.wrapping_sub(1)) {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let now = since.map_or(0, |since| since.as_secs());
            spawns.last.store(now, Ordering::Relaxed);
            spawns.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What `uwsgi.workers()` tells.
    pub(super) fn facts(&self) -> Vec<WorkerFacts> {
        let workers = self.spawns.iter().enumerate();
        workers
            .map(|(index, spawns)| {
                let id = index + 1;
                let seats = self.of_worker(id);
                let sum = |counter: fn(&Tally) -> &AtomicU64| {
                    let values = seats
                        .iter()
                        .map(|seat| counter(seat).load(Ordering::Relaxed));
                    values.fold(0, u64::wrapping_add)
                };
                let states = seats.iter().map(|seat| seat.state.load(Ordering::Relaxed));
                let status = match states.max().unwrap_or(IDLE) {
                    IDLE => "idle".to_owned(),
                    number if number >= SIGNAL => format!("sig{}", number - SIGNAL),
                    _ => "busy".to_owned(),
                };
                let active = seats
                    .iter()
                    .filter(|seat| seat.requests.load(Ordering::Relaxed) > 0)
                    .count();
                WorkerFacts {
                    id,
                    requests: sum(|seat| &seat.requests),
                    exceptions: sum(|seat| &seat.exceptions),
                    signals: sum(|seat| &seat.signals),
                    status,
                    running_time: sum(|seat| &seat.running_micros),
                    average_time: sum(|seat| &seat.average_micros) / (active.max(1) as u64),
                    sent_bytes: sum(|seat| &seat.sent_bytes),
                    last_spawn: spawns.last.load(Ordering::Relaxed),
                    respawns: spawns.count.load(Ordering::Relaxed),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_is_the_sum_of_its_threads() {
        let tallies = Tallies::new(2, 2);
        for core in 0..2 {
            let tally = tallies.of(Seat { worker: 2, core });
            tally.begin_request();
            tally.end_request(Duration::from_micros(100), 10, core == 1);
        }
        tallies.note_spawn(2);
        let facts = tallies.facts();
        assert_eq!(facts.len(), 2);
        assert_eq!((facts[0].requests, facts[0].respawns), (0, 0));
        assert_eq!(
            (facts[1].id, facts[1].requests, facts[1].exceptions),
            (2, 2, 1)
        );
        assert_eq!((facts[1].sent_bytes, facts[1].running_time), (20, 200));
        assert_eq!(facts[1].average_time, 50);
        assert_eq!(facts[1].respawns, 1);
        assert_eq!(facts[1].status, "idle");
    }

    #[test]
    fn what_it_does_is_told() {
        let tallies = Tallies::new(1, 2);
        let first = tallies.of(Seat { worker: 1, core: 0 });
        first.begin_request();
        assert_eq!(tallies.facts()[0].status, "busy");
        tallies.of(Seat { worker: 1, core: 1 }).begin_signal(17);
        assert_eq!(tallies.facts()[0].status, "sig17");
        assert!(!tallies.sleeps(1));
        first.set_in_poll(true);
        assert!(tallies.sleeps(1) && !tallies.sleeps(2));
    }
}
