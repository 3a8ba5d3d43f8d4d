//! Decides which of the threads that share a GIL take work.
//!
//! Threads that share a GIL gain nothing by running side by side: each waiting thread makes the
//! holder give up the GIL in the middle of a request. So one thread is active: it polls and runs
//! jobs. If it is in the same request for two ticks, it is marked stuck, and the next thread
//! becomes active. A stuck thread that returns and finds another one active continues while
//! requests are slow, and parks when they are quick. Concurrency grows only while running threads
//! block.
//!
//! Without a GIL (free-threaded CPython) all threads are active. If an extension turns the GIL on,
//! the gate is closed to one ([`GilGates::close_all`]).
//!
//! Any thread may call every method, except `begin_job`, `end_job` and `park_if_surplus`: only the
//! slot's own thread calls these.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::Thread;

use parking_lot::Mutex;

/// Waits for its turn; takes no work.
const PARKED: u64 = 0;
/// Polls, or is between jobs.
const ACTIVE: u64 = 1;
const RUNNING: u64 = 2;
/// Runs a job that takes long; another thread was made active.
const STUCK: u64 = 3;
const STATE_MASK: u64 = 0b11;
const ONE_JOB: u64 = 0b100;

/// Quick jobs in a row after which a surplus thread parks.
const QUICK_JOBS_MAX: u32 = 8;

pub struct GilGate {
    slots: Mutex<Vec<Arc<GilSlot>>>,
    /// Threads that are ACTIVE or RUNNING: they compete for the GIL.
    active: AtomicUsize,
    /// How many may be active while none is stuck: 1, or [`ALL`].
    base: AtomicUsize,
}

/// As many as there are: there is no GIL.
const ALL: usize = usize::MAX;

/// Names a GIL: that of a worker group, or the one that all share.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct GilKey(pub(super) Option<u64>);

#[derive(Default)]
pub(super) struct GilGates(Mutex<HashMap<GilKey, Arc<GilGate>>>);

impl GilGates {
    /// The gate of a GIL. `is_open` tells whether threads run in parallel; it is asked under the
    /// lock that [`close_all`](Self::close_all) takes, so no gate stays open by mistake.
    pub(super) fn get(&self, key: GilKey, is_open: impl FnOnce() -> bool) -> Arc<GilGate> {
        let mut gates = self.0.lock();
        let gate = gates.entry(key).or_insert_with(|| GilGate::new(is_open()));
        Arc::clone(gate)
    }

    pub(super) fn remove_group(&self, serial: u64) {
        self.0.lock().retain(|key, _| key.0 != Some(serial));
    }

    /// The GIL was turned on: from now on threads compete for it.
    pub(super) fn close_all(&self) {
        for gate in self.0.lock().values() {
            gate.close();
        }
    }

    pub(super) fn tick(&self) -> bool {
        let gates = self.0.lock();
        gates.values().fold(false, |runs, gate| gate.tick() | runs)
    }

    pub(super) fn unpark_all(&self) {
        for gate in self.0.lock().values() {
            gate.unpark_all();
        }
    }

    /// Makes sure that one of these interpreters has a thread that looks for signals.
    pub(super) fn activate_for(&self, workers: &[usize]) {
        let gates = self.0.lock();
        if !gates.values().any(|gate| gate.looks_for_work(workers)) {
            let _is_one_parked = gates.values().any(|gate| gate.activate_for(workers));
        }
    }
}

pub struct GilSlot {
    gil_gate: Arc<GilGate>,
    worker: usize,
    /// Jobs begun in the upper bits, state in the lower two: the ticker recognizes the same job.
    word: AtomicU64,
    seen: AtomicU64,
    thread: Thread,
    is_stopped: Arc<AtomicBool>,
}

impl GilGate {
    /// With `is_open` all threads are active until [`close`](Self::close).
    pub fn new(is_open: bool) -> Arc<Self> {
        Arc::new(Self {
            slots: Mutex::new(Vec::new()),
            active: AtomicUsize::new(0),
            base: AtomicUsize::new(if is_open { ALL } else { 1 }),
        })
    }

    /// One thread is active from now on; the others step back after a few quick jobs.
    pub fn close(&self) {
        self.base.store(1, Ordering::SeqCst);
    }

    fn base(&self) -> usize {
        self.base.load(Ordering::Relaxed)
    }

    /// Adds the calling thread, of interpreter `worker`. The first one is active at once. After
    /// setting `is_stopped`, call [`unpark_all`](Self::unpark_all).
    pub fn join(self: &Arc<Self>, worker: usize, is_stopped: Arc<AtomicBool>) -> Arc<GilSlot> {
        let mut slots = self.slots.lock();
        let is_active = self.active.load(Ordering::SeqCst) < self.base();
        if is_active {
            self.active.fetch_add(1, Ordering::SeqCst);
        }
        let slot = Arc::new(GilSlot {
            gil_gate: Arc::clone(self),
            worker,
            word: AtomicU64::new(if is_active { ACTIVE } else { PARKED }),
            seen: AtomicU64::new(u64::MAX),
            thread: std::thread::current(),
            is_stopped,
        });
        slots.push(Arc::clone(&slot));
        slot
    }

    /// Marks threads that are stuck, and activates one if none is active. Called by the
    /// acceptor once a tick. Returns whether a job runs.
    pub fn tick(&self) -> bool {
        let slots = self.slots.lock();
        let mut is_running = false;
        for slot in slots.iter() {
            let word = slot.word.load(Ordering::Acquire);
            is_running |= word & STATE_MASK >= RUNNING;
            let is_same_job = slot.seen.swap(word, Ordering::Relaxed) == word;
            if word & STATE_MASK == RUNNING
                && is_same_job
                && slots.len() > 1
                && slot.change(word, STUCK)
            {
                self.active.fetch_sub(1, Ordering::SeqCst);
            }
        }
        if self.active.load(Ordering::SeqCst) < self.base() {
            self.activate_one(slots.iter());
        }
        is_running
    }

    /// Unparks parked threads, so that stopped ones notice it.
    pub fn unpark_all(&self) {
        for slot in self.slots.lock().iter() {
            slot.thread.unpark();
        }
    }

    /// Whether a thread of one of these interpreters is active or runs a job.
    pub fn looks_for_work(&self, workers: &[usize]) -> bool {
        self.slots.lock().iter().any(|slot| {
            let state = slot.word.load(Ordering::SeqCst) & STATE_MASK;
            (state == ACTIVE || state == RUNNING)
                && workers.contains(&slot.worker)
                && !slot.is_stopped.load(Ordering::SeqCst)
        })
    }

    /// Makes a parked thread of one of these interpreters active, in addition to others: only it
    /// can do the job. It steps back by itself. Returns `false` if none is parked.
    pub fn activate_for(&self, workers: &[usize]) -> bool {
        let slots = self.slots.lock();
        let mine = slots.iter().filter(|slot| workers.contains(&slot.worker));
        self.activate_one(mine)
    }

    fn activate_one<'r>(&self, slots: impl IntoIterator<Item = &'r Arc<GilSlot>>) -> bool {
        for slot in slots {
            let word = slot.word.load(Ordering::Acquire);
            if word & STATE_MASK == PARKED && slot.change(word, ACTIVE) {
                self.active.fetch_add(1, Ordering::SeqCst);
                slot.thread.unpark();
                return true;
            }
        }
        false
    }
}

impl GilSlot {
    pub fn wait_until_active(&self) {
        loop {
            let word = self.word.load(Ordering::SeqCst);
            if word & STATE_MASK != PARKED {
                return;
            }
            if !self.is_stopped.load(Ordering::SeqCst) {
                std::thread::park();
            } else if self.change(word, ACTIVE) {
                self.gil_gate.active.fetch_add(1, Ordering::SeqCst);
                return;
            }
        }
    }

    pub fn begin_job(&self) {
        let word = self.word.load(Ordering::Relaxed);
        self.word.store(
            ((word & !STATE_MASK) + ONE_JOB) | RUNNING,
            Ordering::Release,
        );
    }

    /// `quick_jobs` is the thread's own count of quick jobs in a row.
    pub fn end_job(&self, quick_jobs: &mut u32) {
        let word = self.word.load(Ordering::Acquire);
        if word & STATE_MASK == RUNNING && self.change(word, ACTIVE) {
            *quick_jobs = quick_jobs.saturating_add(1);
            return;
        }
        // Marked stuck meanwhile: the thread competes for the GIL again.
        self.word
            .store((word & !STATE_MASK) | ACTIVE, Ordering::Release);
        self.gil_gate.active.fetch_add(1, Ordering::SeqCst);
        *quick_jobs = 0;
    }

    pub fn is_surplus(&self) -> bool {
        self.gil_gate.active.load(Ordering::Relaxed) > self.gil_gate.base()
    }

    /// Whether this thread should step back: jobs are quick and another thread is active too.
    pub fn should_park(&self, quick_jobs: u32) -> bool {
        quick_jobs >= QUICK_JOBS_MAX && self.is_surplus()
    }

    /// Parks until needed, if another thread stays active. `is_needed` tells whether a job waits
    /// that only this thread's interpreter can do. The sender of such a job looks for an active
    /// thread afterwards, and this thread looks for jobs after it stepped back: one of the two sees
    /// the other.
    pub fn park_if_surplus(&self, is_needed: impl FnOnce() -> bool) {
        let gil_gate = &self.gil_gate;
        let stepped_back = gil_gate
            .active
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |active| {
                (active > gil_gate.base()).then(|| active - 1)
            })
            .is_ok();
        if stepped_back {
            let word = self.word.load(Ordering::Relaxed);
            let parked = (word & !STATE_MASK) | PARKED;
            self.word.store(parked, Ordering::SeqCst);
            if is_needed() && self.change(parked, ACTIVE) {
                gil_gate.active.fetch_add(1, Ordering::SeqCst);
                return;
            }
            self.wait_until_active();
        }
    }

    /// Leaves the gate; another thread becomes active if this one was.
    pub fn leave(self: &Arc<Self>) {
        let mut slots = self.gil_gate.slots.lock();
        slots.retain(|slot| !Arc::ptr_eq(slot, self));
        let state = self.word.load(Ordering::Acquire) & STATE_MASK;
        if state == ACTIVE || state == RUNNING {
            self.gil_gate.active.fetch_sub(1, Ordering::SeqCst);
        }
        if self.gil_gate.active.load(Ordering::SeqCst) < self.gil_gate.base() {
            self.gil_gate.activate_one(slots.iter());
        }
    }

    fn change(&self, word: u64, state: u64) -> bool {
        self.word
            .compare_exchange(
                word,
                (word & !STATE_MASK) | state,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The flag of a thread that was not stopped.
    fn stays() -> Arc<AtomicBool> {
        Arc::default()
    }

    fn states(gil_gate: &GilGate) -> Vec<u64> {
        let slots = gil_gate.slots.lock();
        slots
            .iter()
            .map(|slot| slot.word.load(Ordering::Acquire) & STATE_MASK)
            .collect()
    }

    #[test]
    fn one_thread_of_a_domain_is_active() {
        let gil_gate = GilGate::new(false);
        let _runners: Vec<_> = (0..3).map(|_| gil_gate.join(1, stays())).collect();
        assert_eq!(states(&gil_gate), [ACTIVE, PARKED, PARKED]);
    }

    #[test]
    fn a_job_seen_twice_makes_the_next_thread_active() {
        let gil_gate = GilGate::new(false);
        let slots: Vec<_> = (0..2).map(|_| gil_gate.join(1, stays())).collect();
        slots[0].begin_job();
        assert!(gil_gate.tick());
        assert_eq!(states(&gil_gate), [RUNNING, PARKED]);
        assert!(gil_gate.tick());
        assert_eq!(states(&gil_gate), [STUCK, ACTIVE]);
        assert_eq!(gil_gate.active.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn quick_jobs_never_activate_another_thread() {
        let gil_gate = GilGate::new(false);
        let slots: Vec<_> = (0..2).map(|_| gil_gate.join(1, stays())).collect();
        let mut quick_jobs = 0;
        for _ in 0..20 {
            slots[0].begin_job();
            gil_gate.tick();
            slots[0].end_job(&mut quick_jobs);
        }
        assert_eq!(states(&gil_gate), [ACTIVE, PARKED]);
        assert_eq!(quick_jobs, 20);
        assert!(
            !slots[0].should_park(quick_jobs),
            "no other thread is active"
        );
    }

    #[test]
    fn a_runner_that_comes_back_is_surplus_until_jobs_are_quick() {
        let gil_gate = GilGate::new(false);
        let slots: Vec<_> = (0..2).map(|_| gil_gate.join(1, stays())).collect();
        slots[0].begin_job();
        gil_gate.tick();
        gil_gate.tick();
        let mut quick_jobs = 5;
        slots[0].end_job(&mut quick_jobs);
        assert_eq!(quick_jobs, 0);
        assert!(slots[0].is_surplus());
        assert!(!slots[0].should_park(quick_jobs));
        for _ in 0..QUICK_JOBS_MAX {
            slots[0].begin_job();
            slots[0].end_job(&mut quick_jobs);
        }
        assert!(slots[0].should_park(quick_jobs));
    }

    #[test]
    fn a_single_thread_is_never_stuck() {
        let gil_gate = GilGate::new(false);
        let slot = gil_gate.join(1, stays());
        slot.begin_job();
        gil_gate.tick();
        gil_gate.tick();
        assert_eq!(states(&gil_gate), [RUNNING]);
    }

    #[test]
    fn dismissed_runners_never_park_again() {
        let gil_gate = GilGate::new(false);
        let _active = gil_gate.join(1, stays());
        let is_stopped = stays();
        let waiting = std::thread::spawn({
            let (gil_gate, is_stopped) = (Arc::clone(&gil_gate), Arc::clone(&is_stopped));
            move || {
                let slot = gil_gate.join(1, is_stopped);
                slot.wait_until_active();
                slot.park_if_surplus(|| false);
                slot.wait_until_active();
                slot.leave();
            }
        });
        is_stopped.store(true, Ordering::SeqCst);
        while !waiting.is_finished() {
            gil_gate.unpark_all();
            std::thread::yield_now();
        }
        waiting.join().expect("the slot was let go");
        assert_eq!(
            gil_gate.active.load(Ordering::SeqCst),
            1,
            "counted in and out"
        );
    }

    #[test]
    fn a_parked_thread_is_roused_for_what_only_its_interpreter_can_do() {
        let gil_gate = GilGate::new(false);
        let _runners: Vec<_> = [1, 2, 2]
            .map(|worker| gil_gate.join(worker, stays()))
            .into();
        assert!(gil_gate.looks_for_work(&[1, 2]) && !gil_gate.looks_for_work(&[2]));
        assert!(gil_gate.activate_for(&[2]));
        assert_eq!(states(&gil_gate), [ACTIVE, ACTIVE, PARKED]);
        assert!(gil_gate.looks_for_work(&[2]));
        assert!(!gil_gate.activate_for(&[3]));
    }

    #[test]
    fn a_thread_that_is_needed_does_not_rest() {
        let gil_gate = GilGate::new(false);
        let slots: Vec<_> = [1, 2].map(|worker| gil_gate.join(worker, stays())).into();
        assert!(gil_gate.activate_for(&[2]));
        // Something came for interpreter 2 while it was active, so no thread was activated.
        slots[1].park_if_surplus(|| true);
        assert_eq!(states(&gil_gate), [ACTIVE, ACTIVE]);
        assert_eq!(gil_gate.active.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn all_threads_of_an_open_gate_are_active_until_it_is_closed() {
        let gil_gate = GilGate::new(true);
        let slots: Vec<_> = (0..3).map(|_| gil_gate.join(1, stays())).collect();
        assert_eq!(states(&gil_gate), [ACTIVE, ACTIVE, ACTIVE]);
        assert!(slots.iter().all(|slot| !slot.should_park(QUICK_JOBS_MAX)));

        // A thread that is stuck meanwhile changes nothing.
        slots[0].begin_job();
        gil_gate.tick();
        gil_gate.tick();
        let mut quick_jobs = 0;
        slots[0].end_job(&mut quick_jobs);
        assert_eq!(states(&gil_gate), [ACTIVE, ACTIVE, ACTIVE]);

        gil_gate.close();
        assert!(slots.iter().all(|slot| slot.should_park(QUICK_JOBS_MAX)));
        let stop = Arc::new(AtomicBool::new(false));
        let latecomer = gil_gate.join(1, Arc::clone(&stop));
        assert_eq!(states(&gil_gate), [ACTIVE, ACTIVE, ACTIVE, PARKED]);
        latecomer.leave();
        for slot in slots.iter().skip(1) {
            slot.park_if_surplus(|| true);
        }
        assert_eq!(gil_gate.active.load(Ordering::SeqCst), 3, "all are needed");
        assert!(slots[0].is_surplus());
    }

    /// Many threads work, park, join and leave while the gate ticks and is closed: the count of
    /// active threads is that of their states, and never none while threads are there.
    #[test]
    fn the_count_of_active_threads_is_right_whatever_happens_at_once() {
        for round in 0..20 {
            let gil_gate = GilGate::new(round % 2 == 0);
            let is_stopped = stays();
            let left = Arc::new(AtomicUsize::new(0));
            let work = |number: u32| {
                let (gil_gate, is_stopped) = (Arc::clone(&gil_gate), Arc::clone(&is_stopped));
                let left = Arc::clone(&left);
                move || {
                    let mut done = 0_u32;
                    while !is_stopped.load(Ordering::SeqCst) {
                        let slot = gil_gate.join(1, Arc::clone(&is_stopped));
                        let mut quick_jobs = 0;
                        for _ in 0..50 {
                            slot.wait_until_active();
                            slot.begin_job();
                            if (done + number).is_multiple_of(7) {
                                std::thread::yield_now();
                            }
                            slot.end_job(&mut quick_jobs);
                            done += 1;
                            if slot.should_park(quick_jobs) {
                                slot.park_if_surplus(|| done.is_multiple_of(11));
                            }
                        }
                        slot.leave();
                        left.fetch_add(1, Ordering::SeqCst);
                    }
                    done
                }
            };
            let threads: Vec<_> = (0..6)
                .map(|number| std::thread::spawn(work(number)))
                .collect();
            let mut tick = 0;
            // The machine may be busy: threads have worked before they are stopped.
            while tick < 300 || left.load(Ordering::SeqCst) < 6 {
                gil_gate.tick();
                if tick == 100 {
                    gil_gate.close();
                }
                tick += 1;
                std::thread::yield_now();
            }
            is_stopped.store(true, Ordering::SeqCst);
            while threads.iter().any(|thread| !thread.is_finished()) {
                gil_gate.unpark_all();
                std::thread::yield_now();
            }
            let done: u32 = threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .sum();
            assert!(done > 0);
            assert!(gil_gate.slots.lock().is_empty());
            assert_eq!(gil_gate.active.load(Ordering::SeqCst), 0, "round {round}");
        }
    }

    #[test]
    fn leaving_lets_another_become_active() {
        let gil_gate = GilGate::new(false);
        let slots: Vec<_> = (0..2).map(|_| gil_gate.join(1, stays())).collect();
        slots[0].leave();
        assert_eq!(states(&gil_gate), [ACTIVE]);
    }
}
