//! uWSGI's cheaper algorithms: the wanted number of interpreters. Pure.
//!
//! A [`Policy`] gets an observation once a [cycle](CheaperRules::cycle) and returns a decision; the
//! supervisor carries it out. `busyness` has a file of its own.

use crate::config::{CheaperAlgorithm, CheaperRules};

use super::busyness::Busyness;
use super::observation::{Decision, Observation};

#[derive(Debug)]
pub struct Policy {
    rules: CheaperRules,
    overloaded: u64,
    idle: u64,
    busyness: Option<Busyness>,
}

impl Policy {
    pub fn new(rules: CheaperRules) -> Self {
        let busyness = match &rules.algorithm {
            CheaperAlgorithm::Busyness(busyness) => Some(Busyness::new(*busyness, &rules)),
            _ => None,
        };
        Self {
            rules,
            overloaded: 0,
            idle: 0,
            busyness,
        }
    }

    pub fn rules(&self) -> &CheaperRules {
        &self.rules
    }

    /// Decides. Call it once a cycle.
    pub fn look(&mut self, observed: &Observation<'_>) -> Decision {
        // As in uWSGI the algorithm sees every observation, also while it may not grow.
        let mut observed = *observed;
        if let Some(limit) = self.rules.memory_hard
            && observed.resident_bytes >= limit
            && observed.count() > 1
        {
            let used = observed.resident_bytes;
            return Decision::Shrink(format!("{used} bytes of memory (--cheaper-rss-limit-hard)"));
        }
        if let Some(limit) = self.rules.memory_soft
            && observed.resident_bytes >= limit
        {
            observed.may_grow = false;
        }
        // Interpreters below the minimum are missing because their start failed.
        if observed.count() < self.rules.least && observed.may_grow {
            let missing = self.rules.least - observed.count();
            let why = || format!("fewer than {} (--cheaper)", self.rules.least);
            return Decision::grow(observed.room(missing), why);
        }
        match self.rules.algorithm {
            CheaperAlgorithm::Spare => self.spare(&observed),
            CheaperAlgorithm::Spare2 => self.spare2(&observed),
            CheaperAlgorithm::Backlog => self.backlog(&observed),
            CheaperAlgorithm::Busyness(_) => match &mut self.busyness {
                Some(busyness) => busyness.look(&self.rules, &observed),
                None => Decision::Stay,
            },
            CheaperAlgorithm::Manual => Decision::Stay,
        }
    }

    /// Messages for `--cheaper-busyness-verbose`.
    pub fn take_remarks(&mut self) -> Vec<String> {
        self.busyness
            .as_mut()
            .map(Busyness::take_remarks)
            .unwrap_or_default()
    }

    fn spare(&mut self, observed: &Observation<'_>) -> Decision {
        let (count, idle) = (observed.count(), observed.idle());
        // Waiting requests mean that no worker is free.
        if idle == 0 || observed.waiting > 0 {
            self.overloaded = self.overloaded.saturating_add(1);
            self.idle = 0;
        } else {
            self.overloaded = self.overloaded.saturating_sub(1);
        }
        if observed.may_grow && self.overloaded > self.rules.cycles(self.rules.overload) {
            self.overloaded = 0;
            return Decision::grow(observed.room(self.rules.step), || {
                let waiting = observed.waiting;
                format!("all {count} busy for a while, {waiting} requests waiting")
            });
        }
        // One free worker beside busy ones is the spare one.
        if self.overloaded > 0 || idle == 1 {
            return Decision::Stay;
        }
        self.idle = self.idle.saturating_add(1);
        let is_time = self
            .idle
            .is_multiple_of(self.rules.cycles(self.rules.overload));
        if count > self.rules.least && is_time {
            return Decision::Shrink(format!("{idle} of {count} idle for a while"));
        }
        Decision::Stay
    }

    fn spare2(&mut self, observed: &Observation<'_>) -> Decision {
        let idle = if observed.waiting > 0 {
            0
        } else {
            observed.idle()
        };
        if idle <= self.rules.least {
            self.idle = 0;
            let missing = (self.rules.least - idle).min(self.rules.step);
            if !observed.may_grow {
                return Decision::Stay;
            }
            return Decision::grow(observed.room(missing), || {
                format!("{idle} of {} idle", observed.count())
            });
        }
        self.idle += 1;
        if self.idle < self.rules.cycles(self.rules.idle) {
            return Decision::Stay;
        }
        self.idle = 0;
        Decision::Shrink(format!("{idle} of {} idle for a while", observed.count()))
    }

    fn backlog(&mut self, observed: &Observation<'_>) -> Decision {
        let waiting = u64::try_from(observed.waiting).unwrap_or(u64::MAX);
        let most = self.rules.overload.as_secs();
        if waiting > most {
            if !observed.may_grow {
                return Decision::Stay;
            }
            return Decision::grow(observed.room(self.rules.step), || {
                format!("{waiting} requests waiting")
            });
        }
        if waiting < most && observed.count() > self.rules.least {
            return Decision::Shrink(format!("{waiting} requests waiting"));
        }
        Decision::Stay
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::observation::WorkerLoad;
    use super::super::rules::CYCLE_MIN;
    use super::*;

    fn rules(algorithm: CheaperAlgorithm) -> CheaperRules {
        CheaperRules {
            least: 1,
            initial: 1,
            step: 2,
            overload: Duration::from_secs(3),
            idle: Duration::from_secs(4),
            algorithm,
            memory_soft: None,
            memory_hard: None,
        }
    }

    fn workers(busy: usize, idle: usize) -> Vec<WorkerLoad> {
        (1..=busy + idle)
            .map(|worker| WorkerLoad {
                group: worker as u64,
                worker,
                is_busy: worker <= busy,
                running: Duration::ZERO,
            })
            .collect()
    }

    fn observation(workers: &[WorkerLoad], waiting: usize) -> Observation<'_> {
        Observation {
            at: Duration::ZERO,
            workers,
            most: 4,
            waiting,
            resident_bytes: 0,
            may_grow: true,
        }
    }

    /// The decision, without its words.
    fn look(policy: &mut Policy, busy: usize, idle: usize, waiting: usize) -> i64 {
        number(policy.look(&observation(&workers(busy, idle), waiting)))
    }

    fn number(decision: Decision) -> i64 {
        match decision {
            Decision::Stay => 0,
            Decision::Grow(count, _) => i64::try_from(count).unwrap_or(i64::MAX),
            Decision::Shrink(_) => -1,
        }
    }

    #[test]
    fn spare_grows_by_a_step_when_all_were_busy_for_longer_than_the_overload() {
        let mut policy = Policy::new(rules(CheaperAlgorithm::Spare));
        let decisions: Vec<_> = (0..5).map(|_| look(&mut policy, 1, 0, 0)).collect();
        assert_eq!(decisions, [0, 0, 0, 2, 0]);
        // There is room for one.
        let decisions: Vec<_> = (0..3).map(|_| look(&mut policy, 3, 0, 0)).collect();
        assert_eq!(decisions, [0, 0, 1]);
        // And for none.
        assert!((0..9).all(|_| look(&mut policy, 4, 0, 5) == 0));
    }

    #[test]
    fn spare_takes_requests_that_wait_for_a_sign_of_overload() {
        let mut policy = Policy::new(rules(CheaperAlgorithm::Spare));
        let decisions: Vec<_> = (0..4).map(|_| look(&mut policy, 0, 1, 7)).collect();
        assert_eq!(decisions, [0, 0, 0, 2]);
    }

    #[test]
    fn spare_keeps_one_free_and_gives_the_others_back_one_at_a_time() {
        let mut policy = Policy::new(rules(CheaperAlgorithm::Spare));
        assert!((0..9).all(|_| look(&mut policy, 2, 1, 0) == 0), "one spare");
        let decisions: Vec<_> = (0..6).map(|_| look(&mut policy, 1, 2, 0)).collect();
        assert_eq!(decisions, [0, 0, -1, 0, 0, -1]);
        assert!((0..9).all(|_| look(&mut policy, 0, 1, 0) == 0), "the least");
    }

    #[test]
    fn a_spike_ends_the_idle_time() {
        let mut policy = Policy::new(rules(CheaperAlgorithm::Spare));
        assert_eq!(look(&mut policy, 0, 3, 0), 0);
        assert_eq!(look(&mut policy, 0, 3, 0), 0);
        assert_eq!(look(&mut policy, 3, 0, 0), 0);
        let decisions: Vec<_> = (0..3).map(|_| look(&mut policy, 0, 3, 0)).collect();
        assert_eq!(decisions, [0, 0, -1]);
    }

    #[test]
    fn spare2_keeps_the_least_number_idle() {
        let mut policy = Policy::new(CheaperRules {
            least: 2,
            step: 1,
            ..rules(CheaperAlgorithm::Spare2)
        });
        assert_eq!(look(&mut policy, 1, 1, 0), 1, "at once, by a step");
        assert_eq!(look(&mut policy, 1, 2, 0), 0);
        let decisions: Vec<_> = (0..5).map(|_| look(&mut policy, 0, 3, 0)).collect();
        // The overload of three seconds and the idle time of four both count in seconds.
        assert_eq!(decisions, [0, 0, 0, -1, 0]);
        assert_eq!(look(&mut policy, 4, 0, 9), 0, "no room");
    }

    #[test]
    fn backlog_goes_by_what_waits() {
        let mut policy = Policy::new(rules(CheaperAlgorithm::Backlog));
        assert_eq!(look(&mut policy, 1, 0, 4), 2);
        assert_eq!(look(&mut policy, 3, 0, 3), 0);
        assert_eq!(look(&mut policy, 3, 0, 2), -1);
        assert_eq!(look(&mut policy, 1, 0, 0), 0);
    }

    #[test]
    fn manual_does_nothing() {
        let mut policy = Policy::new(rules(CheaperAlgorithm::Manual));
        assert!((0..9).all(|_| look(&mut policy, 1, 0, 99) == 0));
        assert!((0..9).all(|_| look(&mut policy, 0, 4, 0) == 0));
    }

    #[test]
    fn memory_has_the_first_word() {
        let mut policy = Policy::new(CheaperRules {
            memory_soft: Some(100),
            memory_hard: Some(200),
            ..rules(CheaperAlgorithm::Spare)
        });
        let seen = workers(2, 0);
        let with = |bytes| Observation {
            resident_bytes: bytes,
            ..observation(&seen, 0)
        };
        assert!((0..9).all(|_| number(policy.look(&with(150))) == 0));
        assert_eq!(number(policy.look(&with(200))), -1);
        // The overload was remembered.
        assert_eq!(number(policy.look(&with(99))), 2);
        let one = workers(1, 0);
        let alone = Observation {
            resident_bytes: 300,
            ..observation(&one, 0)
        };
        assert_eq!(number(policy.look(&alone)), 0, "one is always left");
    }

    #[test]
    fn those_that_could_not_be_made_are_made_when_that_may_work() {
        let mut policy = Policy::new(CheaperRules {
            least: 3,
            ..rules(CheaperAlgorithm::Manual)
        });
        let seen = workers(0, 1);
        let broken = Observation {
            may_grow: false,
            ..observation(&seen, 0)
        };
        assert_eq!(number(policy.look(&broken)), 0);
        assert_eq!(look(&mut policy, 0, 1, 0), 2);
    }

    #[test]
    fn short_times_make_short_cycles() {
        let mut rules = rules(CheaperAlgorithm::Spare);
        assert_eq!(rules.cycle(), Duration::from_secs(1));
        rules.overload = Duration::from_millis(100);
        assert_eq!(rules.cycle(), Duration::from_millis(100));
        rules.overload = Duration::ZERO;
        assert_eq!(rules.cycle(), CYCLE_MIN);
        let mut policy = Policy::new(rules);
        assert_eq!(look(&mut policy, 0, 3, 0), -1, "no division by nothing");
    }
}
