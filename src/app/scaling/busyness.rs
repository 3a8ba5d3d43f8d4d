//! uWSGI's `busyness`: the time that interpreters spend in requests decides their number. Pure.
//!
//! Every `--cheaper-overload` seconds the average is compared with two limits. Above the upper one
//! interpreters are added; below the lower one for `multiplier` rounds, one is ended. If that was
//! too early and it is needed again, the multiplier grows. Waiting requests add interpreters at
//! once, and those leave sooner.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::{BusynessRules, CheaperRules};

use super::observation::{Decision, Observation};

/// Rounds in a row between the limits that restart the wait before a removal.
const TOLERATED_ROUNDS: u64 = 3;

#[derive(Debug)]
pub(crate) struct Busyness {
    rules: BusynessRules,
    multiplier: u64,
    /// By group: the time in requests at the last round, and busy sightings since.
    known: HashMap<u64, (Duration, u64)>,
    round_began: Option<Duration>,
    may_end_at: Option<Duration>,
    ended_at: Option<Duration>,
    has_just_ended_one: bool,
    tolerated: u64,
    /// Interpreters that were added for waiting requests.
    extra: u64,
    waiting_since: Option<Duration>,
    round: Duration,
    remarks: Vec<String>,
}

impl Busyness {
    pub(crate) fn new(rules: BusynessRules, general: &CheaperRules) -> Self {
        Self {
            multiplier: rules.multiplier,
            rules,
            known: HashMap::new(),
            round_began: None,
            may_end_at: None,
            ended_at: None,
            has_just_ended_one: false,
            tolerated: 0,
            extra: 0,
            waiting_since: None,
            round: general.overload.max(Duration::from_millis(1)),
            remarks: Vec::new(),
        }
    }

    pub(crate) fn take_remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    fn remark(&mut self, text: impl FnOnce() -> String) {
        if self.rules.is_verbose {
            self.remarks.push(text());
        }
    }

    pub(crate) fn look(&mut self, general: &CheaperRules, observed: &Observation<'_>) -> Decision {
        self.known
            .retain(|group, _| observed.workers.iter().any(|seen| seen.group == *group));
        for seen in observed.workers {
            let known = self.known.entry(seen.group).or_insert((seen.running, 0));
            known.1 += u64::from(seen.is_busy);
        }
        let began = *self.round_began.get_or_insert(observed.at);
        if self.may_end_at.is_none() {
            self.put_off(observed.at);
        }
        if observed.waiting == 0 {
            self.waiting_since = None;
        }
        let waiting_since = *self.waiting_since.get_or_insert(observed.at);
        let waits_for_long = observed.waiting > 0
            && observed.at.saturating_sub(waiting_since) >= self.rules.backlog_nonzero;
        let is_alert = observed.waiting > self.rules.backlog_alert || waits_for_long;
        if observed.at.saturating_sub(began) < self.round {
            return if is_alert {
                self.add_extra(observed)
            } else {
                Decision::Stay
            };
        }
        self.round_began = Some(observed.at);
        let percent = self.percent(observed);
        let count = observed.count();
        let decision = if percent > self.rules.percent_max {
            self.grow(general, observed, percent)
        } else if is_alert {
            self.add_extra(observed)
        } else if count <= 1 {
            Decision::Stay
        } else if percent < self.rules.percent_min {
            self.tolerated = 0;
            self.shrink(general, observed, percent)
        } else {
            self.tolerate(observed);
            Decision::Stay
        };
        self.remark(|| format!("{count} interpreters are busy for {percent} % of their time"));
        decision
    }

    /// The average over serving groups. A group that finished no request but was seen busy counts
    /// as fully busy.
    fn percent(&mut self, observed: &Observation<'_>) -> u64 {
        let mut sum = 0;
        for seen in observed.workers {
            let known = self.known.entry(seen.group).or_default();
            let spent = seen.running.saturating_sub(known.0);
            let percent = if spent.is_zero() && known.1 > 0 {
                100
            } else {
                spent.as_micros() * 100 / self.round.as_micros().max(1)
            };
            sum += u64::try_from(percent).unwrap_or(100).min(100);
            *known = (seen.running, 0);
        }
        sum / u64::try_from(observed.count()).unwrap_or(1).max(1)
    }

    fn grow(
        &mut self,
        general: &CheaperRules,
        observed: &Observation<'_>,
        percent: u64,
    ) -> Decision {
        self.tolerated = 0;
        let count = observed.room(general.step);
        if count == 0 || !observed.may_grow {
            return Decision::Stay;
        }
        self.has_just_ended_one = false;
        let least_idle = times(self.round, self.multiplier + 1);
        let was_too_early = self
            .ended_at
            .is_some_and(|ended| observed.at.saturating_sub(ended) < least_idle);
        if was_too_early {
            self.multiplier = self.multiplier.saturating_add(self.rules.penalty);
        } else {
            self.relent();
        }
        self.put_off(observed.at);
        Decision::Grow(count, format!("busy for {percent} % of the time"))
    }

    fn add_extra(&mut self, observed: &Observation<'_>) -> Decision {
        let count = observed.room(self.rules.backlog_step);
        if count == 0 || !observed.may_grow {
            return Decision::Stay;
        }
        self.multiplier = self.rules.multiplier;
        self.has_just_ended_one = false;
        self.extra += u64::try_from(count).unwrap_or(0);
        self.waiting_since = None;
        self.put_off(observed.at);
        Decision::Grow(count, format!("{} requests waiting", observed.waiting))
    }

    fn shrink(
        &mut self,
        general: &CheaperRules,
        observed: &Observation<'_>,
        percent: u64,
    ) -> Decision {
        let is_time = self.may_end_at.is_none_or(|at| observed.at >= at);
        if observed.count() <= general.least || !is_time {
            return Decision::Stay;
        }
        if self.has_just_ended_one {
            self.relent();
        }
        self.put_off(observed.at);
        self.ended_at = Some(observed.at);
        self.has_just_ended_one = true;
        self.extra = self.extra.saturating_sub(1);
        Decision::Shrink(format!("busy for {percent} % of the time"))
    }

    fn tolerate(&mut self, observed: &Observation<'_>) {
        self.extra = self.extra.saturating_sub(1);
        self.tolerated += 1;
        if self.tolerated >= TOLERATED_ROUNDS {
            self.put_off(observed.at);
        } else {
            // This round does not count as idle.
            self.may_end_at = self.may_end_at.map(|at| at.saturating_add(self.round));
        }
    }

    fn put_off(&mut self, now: Duration) {
        let rounds = if self.extra > 0 {
            self.rules.backlog_multiplier
        } else {
            self.multiplier
        };
        self.may_end_at = Some(now.saturating_add(times(self.round, rounds)));
    }

    fn relent(&mut self) {
        if self.multiplier > self.rules.multiplier {
            self.multiplier -= 1;
        }
    }
}

fn times(time: Duration, count: u64) -> Duration {
    time.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::cheaper::Policy;
    use super::super::observation::WorkerLoad;
    use super::*;
    use crate::config::CheaperAlgorithm;

    fn policy(change: impl FnOnce(&mut BusynessRules)) -> Policy {
        let mut busyness = BusynessRules {
            percent_min: 25,
            percent_max: 50,
            multiplier: 2,
            penalty: 3,
            is_verbose: false,
            backlog_alert: 33,
            backlog_multiplier: 1,
            backlog_step: 2,
            backlog_nonzero: Duration::from_secs(60),
        };
        change(&mut busyness);
        Policy::new(CheaperRules {
            least: 1,
            initial: 1,
            step: 1,
            overload: Duration::from_secs(2),
            idle: Duration::from_secs(10),
            algorithm: CheaperAlgorithm::Busyness(busyness),
            memory_soft: None,
            memory_hard: None,
        })
    }

    /// What is wished in each second of a time in which so many interpreters work for that many
    /// percent of it.
    struct World {
        second: u64,
        running: Duration,
        policy: Policy,
    }

    impl World {
        fn new(policy: Policy) -> Self {
            Self {
                second: 0,
                running: Duration::ZERO,
                policy,
            }
        }

        fn go(&mut self, seconds: u64, count: usize, percent: u64, waiting: usize) -> Vec<i64> {
            (0..seconds)
                .map(|_| {
                    self.second += 1;
                    self.running += Duration::from_millis(percent * 10);
                    let workers: Vec<_> = (1..=count)
                        .map(|worker| WorkerLoad {
                            group: worker as u64,
                            worker,
                            is_busy: percent >= 100,
                            running: self.running,
                        })
                        .collect();
                    let decision = self.policy.look(&Observation {
                        at: Duration::from_secs(self.second),
                        workers: &workers,
                        most: 4,
                        waiting,
                        resident_bytes: 0,
                        may_grow: true,
                    });
                    match decision {
                        Decision::Stay => 0,
                        Decision::Grow(count, _) => i64::try_from(count).unwrap_or(i64::MAX),
                        Decision::Shrink(_) => -1,
                    }
                })
                .collect()
        }
    }

    #[test]
    fn much_work_adds_a_step_each_round() {
        let mut world = World::new(policy(|_| {}));
        assert_eq!(world.go(5, 1, 80, 0), [0, 0, 1, 0, 1]);
        assert_eq!(world.go(2, 4, 80, 0), [0, 0], "no room");
    }

    #[test]
    fn little_work_ends_one_after_as_many_rounds_as_the_multiplier_says() {
        let mut world = World::new(policy(|_| {}));
        // Two rounds of two seconds from the first look on, and again.
        assert_eq!(world.go(9, 3, 10, 0), [0, 0, 0, 0, -1, 0, 0, 0, -1]);
        assert!(world.go(9, 1, 0, 0).iter().all(|decision| *decision == 0));
    }

    #[test]
    fn in_between_nothing_is_ended() {
        let mut world = World::new(policy(|_| {}));
        assert!(world.go(30, 3, 40, 0).iter().all(|decision| *decision == 0));
    }

    #[test]
    fn one_that_was_needed_after_all_costs_a_penalty() {
        let mut world = World::new(policy(|_| {}));
        assert_eq!(world.go(5, 2, 10, 0).last(), Some(&-1));
        assert_eq!(world.go(2, 1, 90, 0), [0, 1]);
        // The multiplier is 5 now: ten seconds instead of four.
        let decisions = world.go(10, 2, 10, 0);
        assert_eq!(
            decisions.iter().position(|decision| *decision == -1),
            Some(9)
        );
    }

    #[test]
    fn a_long_request_is_work_before_it_ends() {
        let mut world = World::new(policy(|_| {}));
        let busy = [WorkerLoad {
            group: 1,
            worker: 1,
            is_busy: true,
            running: Duration::ZERO,
        }];
        let mut look = |at| {
            let observed = Observation {
                at: Duration::from_secs(at),
                workers: &busy,
                most: 4,
                waiting: 0,
                resident_bytes: 0,
                may_grow: true,
            };
            world.policy.look(&observed) != Decision::Stay
        };
        assert_eq!([1, 2, 3].map(&mut look), [false, false, true]);
    }

    #[test]
    fn waiting_requests_add_some_at_once_and_those_leave_soon() {
        let mut world = World::new(policy(|_| {}));
        assert_eq!(world.go(1, 1, 0, 0), [0]);
        assert_eq!(world.go(1, 1, 0, 34), [2]);
        let decisions = world.go(6, 3, 0, 0);
        assert_eq!(
            decisions.iter().position(|decision| *decision == -1),
            Some(2)
        );
    }

    #[test]
    fn a_request_that_waits_for_too_long_is_enough() {
        let mut world = World::new(policy(|rules| {
            rules.backlog_nonzero = Duration::from_secs(5)
        }));
        let decisions = world.go(7, 1, 30, 1);
        assert_eq!(
            decisions.iter().position(|decision| *decision == 2),
            Some(5)
        );
    }

    #[test]
    fn what_it_sees_is_told_if_asked() {
        let mut world = World::new(policy(|rules| rules.is_verbose = true));
        world.go(3, 2, 40, 0);
        assert_eq!(
            world.policy.take_remarks(),
            ["2 interpreters are busy for 40 % of their time"]
        );
        assert!(world.policy.take_remarks().is_empty());
    }
}
