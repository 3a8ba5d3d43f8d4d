//! How many interpreters there are, in time: asks the policy, watches for idleness, and remembers what failed. The main
//! thread's; carrying out is the reloader's.

use std::time::{Duration, Instant};

use crate::app::Roster;
use crate::app::scaling::cheaper::{Policy, Sight, Wish};
use crate::config::AutoscaleConfig;
use crate::python::Isolation;

use super::pending::Change;

/// How often idleness alone is looked at.
const IDLE_CYCLE: Duration = Duration::from_secs(1);
/// After a failed birth no other is tried for this long, times the failures in a row.
const PAUSE: Duration = Duration::from_secs(10);
const PAUSES_MAX: u32 = 6;

/// What a look came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// All is well.
    Nothing,
    /// There should be more or fewer interpreters.
    Change(Change),
    /// The server has been idle for long enough to stop.
    Die,
}

/// See the file's header.
pub struct Adaptation {
    plan: AutoscaleConfig,
    policy: Option<Policy>,
    began: Instant,
    /// Requests so far, and since when there were no more.
    answered: (u64, Instant),
    /// Births that failed in a row, and until when no other is tried.
    failures: u32,
    paused_until: Option<Instant>,
    memory: fn() -> (u64, u64),
}

impl Adaptation {
    /// `memory`: bytes resident, and of address space.
    pub fn new(plan: AutoscaleConfig, memory: fn() -> (u64, u64)) -> Self {
        let now = Instant::now();
        Self {
            policy: plan.cheaper.clone().map(Policy::new),
            plan,
            began: now,
            answered: (0, now),
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

    /// How often to look; `None`: there is nothing to look for, and nothing wakes an idle server.
    pub fn cycle(&self, roster: Option<&Roster>) -> Option<Duration> {
        let roster = roster?;
        if roster.is_at_rest() {
            return None;
        }
        let can_change = roster.isolation() != Isolation::Main;
        let policy = self.policy.as_ref().filter(|_| can_change);
        let policy = policy.map(|policy| policy.rules().cycle());
        let idle = self
            .plan
            .idle
            .filter(|_| can_change || self.plan.die_on_idle);
        let idle = idle.map(|idle| idle.clamp(Duration::from_millis(10), IDLE_CYCLE));
        policy.into_iter().chain(idle).min()
    }

    /// How many serve when the server has begun, or is woken, of `most`.
    pub fn at_waking(&self, most: usize) -> usize {
        self.policy
            .as_ref()
            .map_or(most, |policy| policy.rules().least)
    }

    /// Once a cycle, if nothing is being made or ended.
    pub fn look(&mut self, roster: &Roster, now: Instant) -> Found {
        if roster.is_at_rest() {
            return Found::Nothing;
        }
        let seen = roster.seen();
        let waiting = roster.waiting();
        let answered = roster.answered();
        if answered != self.answered.0 || waiting > 0 || seen.iter().any(|one| one.is_busy) {
            self.answered = (answered, now);
        }
        let can_change = roster.isolation() != Isolation::Main;
        let quiet = now.saturating_duration_since(self.answered.1);
        if let Some(idle) = self.plan.idle
            && quiet >= idle
            && (can_change || self.plan.die_on_idle)
        {
            tracing::info!(
                "workers have been inactive for more than {} seconds (--idle)",
                idle.as_secs_f64()
            );
            if self.plan.die_on_idle {
                return Found::Die;
            }
            self.answered.1 = now;
            return Found::Change(Change::Rest);
        }
        let may_grow = self.may_grow(now);
        let Some(policy) = self.policy.as_mut().filter(|_| can_change) else {
            return Found::Nothing;
        };
        let has_limits = policy.rules().memory_soft.is_some();
        let wish = policy.look(&Sight {
            at: now.saturating_duration_since(self.began),
            workers: &seen,
            most: roster.most(),
            waiting,
            resident_bytes: if has_limits { (self.memory)().0 } else { 0 },
            may_grow,
        });
        for remark in policy.take_remarks() {
            tracing::info!("[busyness] {remark}");
        }
        match wish {
            Wish::Stay => Found::Nothing,
            Wish::Grow(count, why) => Found::Change(Change::Grow { count, why }),
            Wish::Shrink(why) => Found::Change(Change::Shrink { why }),
        }
    }

    /// Whether a further interpreter may be tried: the last birth that failed was long enough ago.
    pub fn may_grow(&self, now: Instant) -> bool {
        self.paused_until.is_none_or(|until| now >= until)
    }

    /// The last birth went well, or did not: returns how long no other is tried.
    pub fn note_birth(&mut self, is_good: bool) -> Duration {
        if is_good {
            self.failures = 0;
            self.paused_until = None;
            return Duration::ZERO;
        }
        self.failures = (self.failures + 1).min(PAUSES_MAX);
        let pause = PAUSE * self.failures;
        self.paused_until = Some(Instant::now() + pause);
        pause
    }

    /// Somebody has just come: the time without requests begins anew.
    pub fn note_waking(&mut self) {
        self.answered.1 = Instant::now();
    }
}
