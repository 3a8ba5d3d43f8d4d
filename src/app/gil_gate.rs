//! Which of the threads that share a GIL may take work.
//!
//! Threads that share a GIL gain nothing by running side by side, and lose much: each that waits for the
//! GIL makes the one that has it give it up in the middle of a request. So one of them is the active
//! runner: it polls, takes jobs and runs them. When it is found in the same request two ticks in a row,
//! it is most likely blocked (or worth being preempted), it is marked stuck, and the next thread becomes
//! active. A runner that comes back and finds another one active goes on while requests are slow, and
//! parks when they turn out to be quick. Concurrency thus grows only while running threads block.
//!
//! Every method may be called by any thread; `Runner`'s own thread alone calls `begin`, `end`, `rest`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::Thread;

use parking_lot::Mutex;

/// Waits for its turn; takes no work.
const PARKED: u64 = 0;
/// Polls, or is between jobs.
const ACTIVE: u64 = 1;
/// Runs a job.
const RUNNING: u64 = 2;
/// Runs a job that takes long; somebody else was made active.
const STUCK: u64 = 3;
const STATE_MASK: u64 = 0b11;
const ONE_JOB: u64 = 0b100;

/// Quick jobs in a row after which a surplus runner parks.
const QUICK_JOBS_MAX: u32 = 8;

/// The threads that share one GIL.
pub struct Domain {
    runners: Mutex<Vec<Arc<Runner>>>,
    /// Runners that are ACTIVE or RUNNING. Those are the ones that compete for the GIL.
    active: AtomicUsize,
    /// How many may be active without anybody being stuck: one per GIL.
    base: usize,
}

/// One thread's place among them.
pub struct Runner {
    domain: Arc<Domain>,
    worker: usize,
    /// Jobs begun in the upper bits, state in the lower two: the ticker sees "the same job as last time".
    word: AtomicU64,
    seen: AtomicU64,
    thread: Thread,
    /// The thread is to leave: it parks no more.
    is_dismissed: Arc<AtomicBool>,
}

impl Domain {
    /// A domain for threads that share one GIL.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            runners: Mutex::new(Vec::new()),
            active: AtomicUsize::new(0),
            base: 1,
        })
    }

    /// A place for the calling thread. The first one is active at once. `is_dismissed` tells it that it is to leave;
    /// whoever sets it calls [`release`](Self::release).
    /// `worker` is the number of its interpreter.
    pub fn join(self: &Arc<Self>, worker: usize, is_dismissed: Arc<AtomicBool>) -> Arc<Runner> {
        let mut runners = self.runners.lock();
        let is_active = self.active.load(Ordering::SeqCst) < self.base;
        if is_active {
            self.active.fetch_add(1, Ordering::SeqCst);
        }
        let runner = Arc::new(Runner {
            domain: Arc::clone(self),
            worker,
            word: AtomicU64::new(if is_active { ACTIVE } else { PARKED }),
            seen: AtomicU64::new(u64::MAX),
            thread: std::thread::current(),
            is_dismissed,
        });
        runners.push(Arc::clone(&runner));
        runner
    }

    /// Looks after the domain: marks who is stuck, and sees to it that somebody is active. Called by the
    /// acceptor once a tick. Returns whether anybody runs a job.
    pub fn tick(&self) -> bool {
        let runners = self.runners.lock();
        let mut is_running = false;
        for runner in runners.iter() {
            let word = runner.word.load(Ordering::Acquire);
            is_running |= word & STATE_MASK >= RUNNING;
            let is_same_job = runner.seen.swap(word, Ordering::Relaxed) == word;
            if word & STATE_MASK == RUNNING
                && is_same_job
                && runners.len() > 1
                && runner.change(word, STUCK)
            {
                self.active.fetch_sub(1, Ordering::SeqCst);
            }
        }
        if self.active.load(Ordering::SeqCst) < self.base {
            self.activate_one(runners.iter());
        }
        is_running
    }

    /// Some of the threads were dismissed: those that are parked go on, to notice it. The others park again.
    pub fn release(&self) {
        for runner in self.runners.lock().iter() {
            runner.thread.unpark();
        }
    }

    /// Whether a thread of one of these interpreters is active, or runs a job and will look for the next.
    pub fn looks_for_work(&self, workers: &[usize]) -> bool {
        self.runners.lock().iter().any(|runner| {
            let state = runner.word.load(Ordering::SeqCst) & STATE_MASK;
            (state == ACTIVE || state == RUNNING)
                && workers.contains(&runner.worker)
                && !runner.is_dismissed.load(Ordering::SeqCst)
        })
    }

    /// Makes a parked thread of one of these interpreters active, though others may be: there is something that only it can do. It
    /// steps back by itself. `false`: none is parked.
    pub fn rouse(&self, workers: &[usize]) -> bool {
        let runners = self.runners.lock();
        let mine = runners
            .iter()
            .filter(|runner| workers.contains(&runner.worker));
        self.activate_one(mine)
    }

    fn activate_one<'r>(&self, runners: impl IntoIterator<Item = &'r Arc<Runner>>) -> bool {
        for runner in runners {
            let word = runner.word.load(Ordering::Acquire);
            if word & STATE_MASK == PARKED && runner.change(word, ACTIVE) {
                self.active.fetch_add(1, Ordering::SeqCst);
                runner.thread.unpark();
                return true;
            }
        }
        false
    }
}

impl Runner {
    /// Waits until this thread is active; one that is dismissed is, at once.
    pub fn wait_until_active(&self) {
        loop {
            let word = self.word.load(Ordering::SeqCst);
            if word & STATE_MASK != PARKED {
                return;
            }
            if !self.is_dismissed.load(Ordering::SeqCst) {
                std::thread::park();
            } else if self.change(word, ACTIVE) {
                self.domain.active.fetch_add(1, Ordering::SeqCst);
                return;
            }
        }
    }

    /// A job begins.
    pub fn begin(&self) {
        let word = self.word.load(Ordering::Relaxed);
        self.word.store(
            ((word & !STATE_MASK) + ONE_JOB) | RUNNING,
            Ordering::Release,
        );
    }

    /// The job ended. `quick_jobs` is the thread's own count of quick jobs in a row.
    pub fn end(&self, quick_jobs: &mut u32) {
        let word = self.word.load(Ordering::Acquire);
        if word & STATE_MASK == RUNNING && self.change(word, ACTIVE) {
            *quick_jobs = quick_jobs.saturating_add(1);
            return;
        }
        // Marked stuck meanwhile: this thread competes for the GIL again.
        self.word
            .store((word & !STATE_MASK) | ACTIVE, Ordering::Release);
        self.domain.active.fetch_add(1, Ordering::SeqCst);
        *quick_jobs = 0;
    }

    /// Whether more threads than needed are active.
    pub fn is_surplus(&self) -> bool {
        self.domain.active.load(Ordering::Relaxed) > self.domain.base
    }

    /// Whether this thread should step back: jobs are quick and somebody else is active too.
    pub fn should_rest(&self, quick_jobs: u32) -> bool {
        quick_jobs >= QUICK_JOBS_MAX && self.is_surplus()
    }

    /// Parks until needed, if somebody else stays active. `is_needed`: whether something waits that only this thread's
    /// interpreter can do. Whoever brings such a thing looks for an active thread afterwards, so here the look comes after the
    /// step back: one of the two sees the other.
    pub fn rest(&self, is_needed: impl FnOnce() -> bool) {
        let domain = &self.domain;
        let stepped_back = domain
            .active
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |active| {
                (active > domain.base).then(|| active - 1)
            })
            .is_ok();
        if stepped_back {
            let word = self.word.load(Ordering::Relaxed);
            let parked = (word & !STATE_MASK) | PARKED;
            self.word.store(parked, Ordering::SeqCst);
            if is_needed() && self.change(parked, ACTIVE) {
                domain.active.fetch_add(1, Ordering::SeqCst);
                return;
            }
            self.wait_until_active();
        }
    }

    /// The thread leaves the domain. If it was the active one, another becomes active.
    pub fn leave(self: &Arc<Self>) {
        let mut runners = self.domain.runners.lock();
        runners.retain(|runner| !Arc::ptr_eq(runner, self));
        let state = self.word.load(Ordering::Acquire) & STATE_MASK;
        if state == ACTIVE || state == RUNNING {
            self.domain.active.fetch_sub(1, Ordering::SeqCst);
        }
        if self.domain.active.load(Ordering::SeqCst) < self.domain.base {
            self.domain.activate_one(runners.iter());
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

    /// The mark of a thread that nobody has dismissed.
    fn stays() -> Arc<AtomicBool> {
        Arc::default()
    }

    fn states(domain: &Domain) -> Vec<u64> {
        let runners = domain.runners.lock();
        runners
            .iter()
            .map(|runner| runner.word.load(Ordering::Acquire) & STATE_MASK)
            .collect()
    }

    #[test]
    fn one_thread_of_a_domain_is_active() {
        let domain = Domain::new();
        let _runners: Vec<_> = (0..3).map(|_| domain.join(1, stays())).collect();
        assert_eq!(states(&domain), [ACTIVE, PARKED, PARKED]);
    }

    #[test]
    fn a_job_seen_twice_makes_the_next_thread_active() {
        let domain = Domain::new();
        let runners: Vec<_> = (0..2).map(|_| domain.join(1, stays())).collect();
        runners[0].begin();
        assert!(domain.tick());
        assert_eq!(states(&domain), [RUNNING, PARKED]);
        assert!(domain.tick());
        assert_eq!(states(&domain), [STUCK, ACTIVE]);
        assert_eq!(domain.active.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn quick_jobs_never_activate_another_thread() {
        let domain = Domain::new();
        let runners: Vec<_> = (0..2).map(|_| domain.join(1, stays())).collect();
        let mut quick_jobs = 0;
        for _ in 0..20 {
            runners[0].begin();
            domain.tick();
            runners[0].end(&mut quick_jobs);
        }
        assert_eq!(states(&domain), [ACTIVE, PARKED]);
        assert_eq!(quick_jobs, 20);
        assert!(!runners[0].should_rest(quick_jobs), "nobody else is active");
    }

    #[test]
    fn a_runner_that_comes_back_is_surplus_until_jobs_are_quick() {
        let domain = Domain::new();
        let runners: Vec<_> = (0..2).map(|_| domain.join(1, stays())).collect();
        runners[0].begin();
        domain.tick();
        domain.tick();
        let mut quick_jobs = 5;
        runners[0].end(&mut quick_jobs);
        assert_eq!(quick_jobs, 0);
        assert!(runners[0].is_surplus());
        assert!(!runners[0].should_rest(quick_jobs));
        for _ in 0..QUICK_JOBS_MAX {
            runners[0].begin();
            runners[0].end(&mut quick_jobs);
        }
        assert!(runners[0].should_rest(quick_jobs));
    }

    #[test]
    fn a_single_thread_is_never_stuck() {
        let domain = Domain::new();
        let runner = domain.join(1, stays());
        runner.begin();
        domain.tick();
        domain.tick();
        assert_eq!(states(&domain), [RUNNING]);
    }

    #[test]
    fn dismissed_runners_never_park_again() {
        let domain = Domain::new();
        let _active = domain.join(1, stays());
        let is_dismissed = stays();
        let waiting = std::thread::spawn({
            let (domain, is_dismissed) = (Arc::clone(&domain), Arc::clone(&is_dismissed));
            move || {
                let runner = domain.join(1, is_dismissed);
                runner.wait_until_active();
                runner.rest(|| false);
                runner.wait_until_active();
                runner.leave();
            }
        });
        is_dismissed.store(true, Ordering::SeqCst);
        while !waiting.is_finished() {
            domain.release();
            std::thread::yield_now();
        }
        waiting.join().expect("the runner was let go");
        assert_eq!(
            domain.active.load(Ordering::SeqCst),
            1,
            "counted in and out"
        );
    }

    #[test]
    fn a_parked_thread_is_roused_for_what_only_its_interpreter_can_do() {
        let domain = Domain::new();
        let _runners: Vec<_> = [1, 2, 2].map(|worker| domain.join(worker, stays())).into();
        assert!(domain.looks_for_work(&[1, 2]) && !domain.looks_for_work(&[2]));
        assert!(domain.rouse(&[2]));
        assert_eq!(states(&domain), [ACTIVE, ACTIVE, PARKED]);
        assert!(domain.looks_for_work(&[2]));
        assert!(!domain.rouse(&[3]));
    }

    #[test]
    fn a_thread_that_is_needed_does_not_rest() {
        let domain = Domain::new();
        let runners: Vec<_> = [1, 2].map(|worker| domain.join(worker, stays())).into();
        assert!(domain.rouse(&[2]));
        // Something came for interpreter 2 while it was active, so nobody was roused.
        runners[1].rest(|| true);
        assert_eq!(states(&domain), [ACTIVE, ACTIVE]);
        assert_eq!(domain.active.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn leaving_lets_another_become_active() {
        let domain = Domain::new();
        let runners: Vec<_> = (0..2).map(|_| domain.join(1, stays())).collect();
        runners[0].leave();
        assert_eq!(states(&domain), [ACTIVE]);
    }
}
