//! Decides when there are to be more or fewer interpreters: asks the policy, watches for idleness,
//! and pauses after failures. Used by the main thread; the reloader carries the decision out.

use std::time::{Duration, Instant};

use crate::app::Workers;
use crate::app::scaling::cheaper::Policy;
use crate::app::scaling::observation::{Decision, Observation};
use crate::config::AutoscaleConfig;
use crate::python::Isolation;

use super::pending::Resize;

/// How often idleness is checked.
const IDLE_CYCLE: Duration = Duration::from_secs(1);
/// The pause after a failed start, times the failures in a row.
const PAUSE: Duration = Duration::from_secs(10);
const PAUSES_MAX: u32 = 6;

#[derive(Debug, PartialEq, Eq)]
pub enum Advice {
    Stay,
    /// There should be more or fewer interpreters.
    Resize(Resize),
    /// The server has been idle for long enough to stop.
    Die,
}

/// Decides when there are to be more or fewer interpreters.
pub struct Autoscaler {
    plan: AutoscaleConfig,
    policy: Option<Policy>,
    began: Instant,
    answered: u64,
    quiet_since: Instant,
    /// Starts that failed in a row.
    failures: u32,
    /// No interpreter is started before this.
    paused_until: Option<Instant>,
    memory: fn() -> (u64, u64),
}

impl Autoscaler {
    /// `memory`: bytes resident, and of address space.
    pub fn new(plan: AutoscaleConfig, memory: fn() -> (u64, u64)) -> Self {
        let now = Instant::now();
        Self {
            policy: plan.cheaper.clone().map(Policy::new),
            plan,
            began: now,
            answered: 0,
            quiet_since: now,
            failures: 0,
            paused_until: None,
            memory,
        }
    }

    /// Whether anything but `--die-on-idle` was asked for.
    pub fn is_wanted(&self) -> bool {
        self.policy.is_some()
            || self.plan.cheap
            || (self.plan.idle.is_some() && !self.plan.die_on_idle)
    }

    /// How often to look; `None`: never, so that nothing wakes an idle server.
    pub fn cycle(&self, workers: Option<&Workers>) -> Option<Duration> {
        let workers = workers?;
        if workers.is_idle() {
            return None;
        }
        let can_change = workers.isolation() != Isolation::Main;
        let policy = self.policy.as_ref().filter(|_| can_change);
        let policy = policy.map(|policy| policy.rules().cycle());
        let idle = self
            .plan
            .idle
            .filter(|_| can_change || self.plan.die_on_idle);
        let idle = idle.map(|idle| idle.clamp(Duration::from_millis(10), IDLE_CYCLE));
        policy.into_iter().chain(idle).min()
    }

    /// How many interpreters, of at most `most`, run after the start or a waking.
    pub fn at_waking(&self, most: usize) -> usize {
        self.policy
            .as_ref()
            .map_or(most, |policy| policy.rules().least)
    }

    /// Looks at the load. Call once a cycle, while no task runs.
    pub fn look(&mut self, workers: &Workers, now: Instant) -> Advice {
        if workers.is_idle() {
            return Advice::Stay;
        }
        let seen = workers.loads();
        let waiting = workers.waiting();
        let answered = workers.answered();
        if answered != self.answered || waiting > 0 || seen.iter().any(|one| one.is_busy) {
            (self.answered, self.quiet_since) = (answered, now);
        }
        let can_change = workers.isolation() != Isolation::Main;
        let quiet = now.saturating_duration_since(self.quiet_since);
        if let Some(idle) = self.plan.idle
            && quiet >= idle
            && (can_change || self.plan.die_on_idle)
        {
            tracing::info!(
                "workers have been inactive for more than {} seconds (--idle)",
                idle.as_secs_f64()
            );
            if self.plan.die_on_idle {
                return Advice::Die;
            }
            self.quiet_since = now;
            return Advice::Resize(Resize::Rest);
        }
        let may_grow = self.may_grow(now);
        let Some(policy) = self.policy.as_mut().filter(|_| can_change) else {
            return Advice::Stay;
        };
        let has_limits = policy.rules().memory_soft.is_some();
        let decision = policy.look(&Observation {
            at: now.saturating_duration_since(self.began),
            workers: &seen,
            most: workers.most(),
            waiting,
            resident_bytes: if has_limits { (self.memory)().0 } else { 0 },
            may_grow,
        });
        for remark in policy.take_remarks() {
            tracing::info!("[busyness] {remark}");
        }
        match decision {
            Decision::Stay => Advice::Stay,
            Decision::Grow(count, why) => Advice::Resize(Resize::Grow { count, why }),
            Decision::Shrink(why) => Advice::Resize(Resize::Shrink { why }),
        }
    }

    /// Whether a further interpreter may be started: the pause after the last failure is over.
    pub fn may_grow(&self, now: Instant) -> bool {
        self.paused_until.is_none_or(|until| now >= until)
    }

    /// Whether the last start succeeded. Returns how long no other is tried.
    pub fn note_start(&mut self, succeeded: bool) -> Duration {
        if succeeded {
            self.failures = 0;
            self.paused_until = None;
            return Duration::ZERO;
        }
        self.failures = (self.failures + 1).min(PAUSES_MAX);
        let pause = PAUSE * self.failures;
        self.paused_until = Some(Instant::now() + pause);
        pause
    }

    /// A request has just come: the time without requests begins anew.
    pub fn note_request(&mut self) {
        self.quiet_since = Instant::now();
    }
}
