//! The acceptor thread. It keeps the server going while every worker is stuck, and runs no Python.
//!
//! Where workers share the poll, it looks once a tick: if no worker has polled since the last tick,
//! it polls itself. It also checks deadlines and ticks the GIL gates. Where the poll cannot be
//! shared, it always polls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::net::turn::Wait;
use crate::net::{Net, SharedPoll, Turn};

use super::acceptor_waker::AcceptorWaker;
use super::current::Current;
use super::generation::Generation;

/// How often to look while something runs.
const TICK: Duration = Duration::from_millis(5);
/// The tick where threads share a GIL and a blocked one must be noticed soon.
const TICK_SHARED: Duration = Duration::from_millis(1);
/// Looks without any activity after which the acceptor sleeps until the next deadline.
const QUIET_LOOKS_MAX: u32 = 100;
const QUIET_TICK_MAX: Duration = Duration::from_millis(20);
/// How often to look for lost descriptors while something runs.
const LOSS_INTERVAL: Duration = Duration::from_secs(1);
/// The same while nothing does: a thread of the application may close them.
const LOSS_INTERVAL_IDLE: Duration = Duration::from_secs(5);

/// Freed memory that is worth a walk over the allocator's heaps. Bytes.
const FREED_BYTES_MIN: usize = 8 << 20;
/// The shortest time between two such walks: they lock the heaps.
const TRIM_INTERVAL: Duration = Duration::from_secs(5);

pub struct Acceptor {
    shared: Arc<Shared>,
}

struct Shared {
    net: Arc<Net>,
    current: Arc<Current>,
    waker: Arc<AcceptorWaker>,
    shares_poll: bool,
    /// How often the thread has looked.
    looks: AtomicU64,
}

impl Acceptor {
    /// Starts the thread. `shares_poll`: workers take turns too.
    pub fn start(
        net: Arc<Net>,
        current: Arc<Current>,
        waker: Arc<AcceptorWaker>,
        shares_poll: bool,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            net,
            current,
            waker,
            shares_poll,
            looks: AtomicU64::new(0),
        });
        let acceptor = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("sm-acceptor".to_owned())
            .spawn(move || acceptor.run())?;
        Ok(Self { shared })
    }

    /// How often the acceptor has looked: the number stands still if the thread hangs.
    pub fn looks(&self) -> u64 {
        self.shared.looks.load(Ordering::Relaxed)
    }

    /// Makes the acceptor look at once.
    pub fn nudge(&self) {
        self.shared.waker.is_asleep.store(false, Ordering::SeqCst);
        self.shared.waker.unpark();
        if !self.shared.shares_poll || self.shared.waker.polls_alone.load(Ordering::SeqCst) {
            self.shared.net.poll().wake();
        }
    }
}

impl Shared {
    fn run(&self) {
        let thread = self.waker.thread.set(std::thread::current());
        debug_assert!(thread.is_ok(), "a waker has one acceptor");
        let mut turn = Turn::default();
        let mut next_sweep = Some(Instant::now());
        let mut next_trim = Instant::now();
        let mut last_turns = 0;
        let mut quiet_looks: u32 = 0;
        let mut next_look = Instant::now();
        loop {
            self.looks.fetch_add(1, Ordering::Relaxed);
            let now = Instant::now();
            // At the latest before a long wait: an application may have closed the listeners.
            if now >= next_look || quiet_looks > QUIET_LOOKS_MAX {
                self.net.look_for_loss();
                next_look = now + LOSS_INTERVAL;
            }
            if next_sweep.is_none_or(|sweep| sweep <= now) || self.net.is_draining() {
                let (next, queued) = turn.expire(&self.net, &*self.current);
                let trim = self.free_memory(now, &mut next_trim);
                next_sweep = [next, trim]
                    .into_iter()
                    .flatten()
                    .min()
                    .map(|next| now + next);
                self.wake_worker(queued);
            }
            let Some(generation) = self.current.load() else {
                // No generation serves: only deadlines are left to check.
                std::thread::park_timeout(TICK);
                continue;
            };
            let is_running = generation.tick() | self.current.tick_canary();
            let turns = generation.queue().turns();
            let is_polled = turns != last_turns || generation.queue().has_idle_worker();
            last_turns = turns;
            if is_running {
                quiet_looks = 0;
            }
            let tick = if generation.shares_gil() {
                TICK_SHARED
            } else {
                TICK
            };
            let until_sweep = next_sweep.map(|sweep| sweep.saturating_duration_since(now));
            let until_sweep = Some(shortest(LOSS_INTERVAL_IDLE, until_sweep));
            if self.shares_poll && generation.is_idle() {
                drop(generation);
                self.poll_alone(&mut turn, until_sweep, &mut quiet_looks);
                continue;
            }
            let is_quiet = quiet_looks > QUIET_LOOKS_MAX;
            if !self.shares_poll {
                let timeout = if is_quiet {
                    until_sweep
                } else {
                    Some(shortest(tick, until_sweep))
                };
                quiet_looks += 1;
                drop(generation);
                self.take(&mut turn, Wait::Alone(timeout), &mut quiet_looks);
            } else if !is_polled {
                drop(generation);
                self.take(
                    &mut turn,
                    Wait::Shared(Some(shortest(tick, until_sweep))),
                    &mut quiet_looks,
                );
            } else if is_quiet {
                drop(generation);
                self.sleep(last_turns, until_sweep, &mut quiet_looks);
            } else {
                quiet_looks += 1;
                drop(generation);
                let pause = (tick * quiet_looks.min(20)).min(QUIET_TICK_MAX).max(tick);
                std::thread::park_timeout(shortest(pause, until_sweep));
            }
        }
    }

    /// Returns freed memory to the system where the allocator may have kept much of it. `Some`: the
    /// time until it may be done again, if there is a reason to.
    fn free_memory(&self, now: Instant, next: &mut Instant) -> Option<Duration> {
        if self.net.freed_bytes() < FREED_BYTES_MIN {
            return None;
        }
        if now < *next {
            return Some(next.saturating_duration_since(now));
        }
        self.net.forget_freed();
        crate::python::free_memory();
        *next = now + TRIM_INTERVAL;
        None
    }

    /// Polls until something happens: no interpreter serves, so no other thread polls.
    fn poll_alone(&self, turn: &mut Turn, until_sweep: Option<Duration>, quiet_looks: &mut u32) {
        self.waker.polls_alone.store(true, Ordering::SeqCst);
        // A thread that changes one of these looks at the mark afterwards.
        let is_alone = self.current.load().is_some_and(|now| now.is_idle());
        let is_over = self.net.is_draining();
        if is_alone {
            let timeout = if is_over { Some(TICK) } else { until_sweep };
            self.take(turn, Wait::Shared(timeout), quiet_looks);
        }
        self.waker.polls_alone.store(false, Ordering::SeqCst);
    }

    fn take(&self, turn: &mut Turn, wait: Wait, quiet_looks: &mut u32) {
        match turn.take(&self.net, &*self.current, wait) {
            Ok(queued) => {
                if queued > 0 {
                    *quiet_looks = 0;
                }
                // The wake may have been meant for a worker: pass it on.
                let has_jobs = self
                    .current
                    .load()
                    .is_some_and(|generation: Arc<Generation>| {
                        generation.queue().has_jobs() || generation.has_signal_for_sleeper()
                    });
                self.wake_worker(queued.max(usize::from(has_jobs)));
            }
            Err(error) => {
                SharedPoll::note_failure(&error);
                tracing::error!(%error, "waiting for readiness failed");
                std::thread::park_timeout(TICK);
            }
        }
    }

    /// Sleeps until the next deadline, or until a worker wakes it.
    fn sleep(&self, seen_turns: u64, until_sweep: Option<Duration>, quiet_looks: &mut u32) {
        self.waker.is_asleep.store(true, Ordering::SeqCst);
        // A worker that took a turn before the flag was set did not wake the acceptor.
        let is_quiet = self
            .current
            .load()
            .is_some_and(|generation: Arc<Generation>| generation.queue().turns() == seen_turns);
        if is_quiet {
            match until_sweep {
                Some(timeout) => std::thread::park_timeout(timeout),
                None => std::thread::park(),
            }
        }
        if !self.waker.is_asleep.swap(false, Ordering::SeqCst) {
            *quiet_looks = 0;
        }
    }

    fn wake_worker(&self, queued: usize) {
        if queued > 0
            && self.shares_poll
            && let Some(generation) = self.current.load()
        {
            generation.queue().wake_if_idle(&self.net);
        }
    }
}

fn shortest(pause: Duration, until_sweep: Option<Duration>) -> Duration {
    until_sweep.map_or(pause, |until| until.min(pause))
}
