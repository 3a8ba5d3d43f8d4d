//! How many interpreters there should be: uWSGI's cheaper algorithms as rules without a clock, a thread or Python.
//!
//! A [`Policy`] is shown what can be seen once a [cycle](CheaperRules::cycle) and says what it wishes; the supervisor's thread asks it
//! and has the wish carried out. `busyness` has a file of its own.

use std::time::Duration;

use crate::config::{CheaperAlgorithm, CheaperRules};

use super::busyness::Busyness;

/// uWSGI looks once a second.
const CYCLE_MAX: Duration = Duration::from_secs(1);
/// Shorter times are for tests.
const CYCLE_MIN: Duration = Duration::from_millis(10);

impl CheaperRules {
    /// How often to look.
    pub fn cycle(&self) -> Duration {
        let shortest = match self.algorithm {
            CheaperAlgorithm::Spare2 => self.overload.min(self.idle),
            CheaperAlgorithm::Backlog => CYCLE_MAX,
            _ => self.overload,
        };
        shortest.clamp(CYCLE_MIN, CYCLE_MAX)
    }

    fn cycles(&self, time: Duration) -> u64 {
        let cycles = time.as_nanos() / self.cycle().as_nanos().max(1);
        u64::try_from(cycles).unwrap_or(u64::MAX).max(1)
    }
}

/// One interpreter that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its crew.
    pub crew: u64,
    /// Its number, from 1.
    pub worker: usize,
    /// One of its threads is in a request or a signal's handler.
    pub is_busy: bool,
    /// Time in requests that have ended.
    pub running: Duration,
}

/// What there is to be seen.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'s> {
    /// The time, since any fixed point.
    pub at: Duration,
    /// Those that serve.
    pub workers: &'s [Seen],
    /// There can be no more.
    pub most: usize,
    /// Requests that no thread has begun.
    pub waiting: usize,
    /// Memory of the process.
    pub resident_bytes: u64,
    /// None has failed to start lately.
    pub may_grow: bool,
}

impl Sight<'_> {
    pub(crate) fn count(&self) -> usize {
        self.workers.len()
    }

    pub(crate) fn idle(&self) -> usize {
        self.workers.iter().filter(|seen| !seen.is_busy).count()
    }

    /// How many can be added, no more than `wanted` of them.
    pub(crate) fn room(&self, wanted: usize) -> usize {
        wanted.min(self.most.saturating_sub(self.count()))
    }
}

/// What a policy wishes, and why, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// As it is.
    Stay,
    /// So many more.
    Grow(usize, String),
    /// One less.
    Shrink(String),
}

impl Wish {
    pub(crate) fn grow(count: usize, why: impl FnOnce() -> String) -> Self {
        if count == 0 {
            Wish::Stay
        } else {
            Wish::Grow(count, why())
        }
    }
}

/// An algorithm and what it remembers.
#[derive(Debug)]
pub struct Policy {
    rules: CheaperRules,
    overloaded: u64,
    idle: u64,
    busyness: Option<Busyness>,
}

impl Policy {
    /// One that has seen nothing.
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

    /// The rules.
    pub fn rules(&self) -> &CheaperRules {
        &self.rules
    }

    /// What to do now. Once a cycle.
    pub fn look(&mut self, sight: &Sight<'_>) -> Wish {
        // As in uWSGI: the algorithm looks too, so that it remembers, but it may not grow.
        let mut sight = *sight;
        if let Some(limit) = self.rules.memory_hard
            && sight.resident_bytes >= limit
            && sight.count() > 1
        {
            let used = sight.resident_bytes;
            return Wish::Shrink(format!("{used} bytes of memory (--cheaper-rss-limit-hard)"));
        }
        if let Some(limit) = self.rules.memory_soft
            && sight.resident_bytes >= limit
        {
            sight.may_grow = false;
        }
        // Those that the least number asks for are missing because they could not be made.
        if sight.count() < self.rules.least && sight.may_grow {
            let missing = self.rules.least - sight.count();
            let why = || format!("fewer than {} (--cheaper)", self.rules.least);
            return Wish::grow(sight.room(missing), why);
        }
        match self.rules.algorithm {
            CheaperAlgorithm::Spare => self.spare(&sight),
            CheaperAlgorithm::Spare2 => self.spare2(&sight),
            CheaperAlgorithm::Backlog => self.backlog(&sight),
            CheaperAlgorithm::Busyness(_) => match &mut self.busyness {
                Some(busyness) => busyness.look(&self.rules, &sight),
                None => Wish::Stay,
            },
            CheaperAlgorithm::Manual => Wish::Stay,
        }
    }

    /// What is worth telling, if `--cheaper-busyness-verbose` asks for it.
    pub fn take_remarks(&mut self) -> Vec<String> {
        self.busyness
            .as_mut()
            .map(Busyness::take_remarks)
            .unwrap_or_default()
    }

    fn spare(&mut self, sight: &Sight<'_>) -> Wish {
        let (count, idle) = (sight.count(), sight.idle());
        // Requests that wait mean that nobody is free, whatever this moment shows.
        if idle == 0 || sight.waiting > 0 {
            self.overloaded = self.overloaded.saturating_add(1);
            self.idle = 0;
        } else {
            self.overloaded = self.overloaded.saturating_sub(1);
        }
        if sight.may_grow && self.overloaded > self.rules.cycles(self.rules.overload) {
            self.overloaded = 0;
            return Wish::grow(sight.room(self.rules.step), || {
                let waiting = sight.waiting;
                format!("all {count} busy for a while, {waiting} requests waiting")
            });
        }
        // One that is free beside busy ones is the spare one; without any work it is one of the least.
        if self.overloaded > 0 || idle == 1 {
            return Wish::Stay;
        }
        self.idle = self.idle.saturating_add(1);
        let is_time = self
            .idle
            .is_multiple_of(self.rules.cycles(self.rules.overload));
        if count > self.rules.least && is_time {
            return Wish::Shrink(format!("{idle} of {count} idle for a while"));
        }
        Wish::Stay
    }

    fn spare2(&mut self, sight: &Sight<'_>) -> Wish {
        let idle = if sight.waiting > 0 { 0 } else { sight.idle() };
        if idle <= self.rules.least {
            self.idle = 0;
            let missing = (self.rules.least - idle).min(self.rules.step);
            if !sight.may_grow {
                return Wish::Stay;
            }
            return Wish::grow(sight.room(missing), || {
                format!("{idle} of {} idle", sight.count())
            });
        }
        self.idle += 1;
        if self.idle < self.rules.cycles(self.rules.idle) {
            return Wish::Stay;
        }
        self.idle = 0;
        Wish::Shrink(format!("{idle} of {} idle for a while", sight.count()))
    }

    fn backlog(&mut self, sight: &Sight<'_>) -> Wish {
        let waiting = u64::try_from(sight.waiting).unwrap_or(u64::MAX);
        let most = self.rules.overload.as_secs();
        if waiting > most {
            if !sight.may_grow {
                return Wish::Stay;
            }
            return Wish::grow(sight.room(self.rules.step), || {
                format!("{waiting} requests waiting")
            });
        }
        if waiting < most && sight.count() > self.rules.least {
            return Wish::Shrink(format!("{waiting} requests waiting"));
        }
        Wish::Stay
    }
}

#[cfg(test)]
mod tests {
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

    fn workers(busy: usize, idle: usize) -> Vec<Seen> {
        (1..=busy + idle)
            .map(|worker| Seen {
                crew: worker as u64,
                worker,
                is_busy: worker <= busy,
                running: Duration::ZERO,
            })
            .collect()
    }

    fn sight(workers: &[Seen], waiting: usize) -> Sight<'_> {
        Sight {
            at: Duration::ZERO,
            workers,
            most: 4,
            waiting,
            resident_bytes: 0,
            may_grow: true,
        }
    }

    /// The wish, without its words.
    fn look(policy: &mut Policy, busy: usize, idle: usize, waiting: usize) -> i64 {
        number(policy.look(&sight(&workers(busy, idle), waiting)))
    }

    fn number(wish: Wish) -> i64 {
        match wish {
            Wish::Stay => 0,
            Wish::Grow(count, _) => i64::try_from(count).unwrap_or(i64::MAX),
            Wish::Shrink(_) => -1,
        }
    }

    #[test]
    fn spare_grows_by_a_step_when_all_were_busy_for_longer_than_the_overload() {
        let mut policy = Policy::new(rules(CheaperAlgorithm::Spare));
        let wishes: Vec<_> = (0..5).map(|_| look(&mut policy, 1, 0, 0)).collect();
        assert_eq!(wishes, [0, 0, 0, 2, 0]);
        // There is room for one.
        let wishes: Vec<_> = (0..3).map(|_| look(&mut policy, 3, 0, 0)).collect();
        assert_eq!(wishes, [0, 0, 1]);
        // And for none.
        assert!((0..9).all(|_| look(&mut policy, 4, 0, 5) == 0));
    }

    #[test]
    fn spare_takes_requests_that_wait_for_a_sign_of_overload() {
        let mut policy = Policy::new(rules(CheaperAlgorithm::Spare));
        let wishes: Vec<_> = (0..4).map(|_| look(&mut policy, 0, 1, 7)).collect();
        assert_eq!(wishes, [0, 0, 0, 2]);
    }

    #[test]
    fn spare_keeps_one_free_and_gives_the_others_back_one_at_a_time() {
        let mut policy = Policy::new(rules(CheaperAlgorithm::Spare));
        assert!((0..9).all(|_| look(&mut policy, 2, 1, 0) == 0), "one spare");
        let wishes: Vec<_> = (0..6).map(|_| look(&mut policy, 1, 2, 0)).collect();
        assert_eq!(wishes, [0, 0, -1, 0, 0, -1]);
        assert!((0..9).all(|_| look(&mut policy, 0, 1, 0) == 0), "the least");
    }

    #[test]
    fn a_spike_ends_the_idle_time() {
        let mut policy = Policy::new(rules(CheaperAlgorithm::Spare));
        assert_eq!(look(&mut policy, 0, 3, 0), 0);
        assert_eq!(look(&mut policy, 0, 3, 0), 0);
        assert_eq!(look(&mut policy, 3, 0, 0), 0);
        let wishes: Vec<_> = (0..3).map(|_| look(&mut policy, 0, 3, 0)).collect();
        assert_eq!(wishes, [0, 0, -1]);
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
        let wishes: Vec<_> = (0..5).map(|_| look(&mut policy, 0, 3, 0)).collect();
        // The overload of three seconds and the idle time of four both count in seconds.
        assert_eq!(wishes, [0, 0, 0, -1, 0]);
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
        let with = |bytes| Sight {
            resident_bytes: bytes,
            ..sight(&seen, 0)
        };
        assert!((0..9).all(|_| number(policy.look(&with(150))) == 0));
        assert_eq!(number(policy.look(&with(200))), -1);
        // The overload was remembered.
        assert_eq!(number(policy.look(&with(99))), 2);
        let one = workers(1, 0);
        let alone = Sight {
            resident_bytes: 300,
            ..sight(&one, 0)
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
        let broken = Sight {
            may_grow: false,
            ..sight(&seen, 0)
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
