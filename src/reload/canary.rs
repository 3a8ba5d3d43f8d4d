//! A canary: a new version that gets a growing share of the requests, stage by stage, and the
//! decision at each look. Pure: the caller supplies the time and the counts. Used by the main
//! thread.

use std::time::{Duration, Instant};

use crate::app::canary::{Evidence, Look, Score};
use crate::config::CanaryStage;

/// A canary that has requests waiting and answers none for this long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// What both generations have done since they were made, and how many requests wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub canary: Score,
    /// Requests of the generation in charge.
    pub others: Score,
    /// Requests that wait in the canary's queue.
    pub waiting: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    GoOn,
    /// The canary gets another share, in millionths.
    Share(u32),
    Complete,
    RollBack(String),
}

/// A canary's progress through its stages.
#[derive(Debug)]
pub struct Canary {
    stages: Vec<CanaryStage>,
    stage: usize,
    until: Instant,
    /// The counts when the stage began. A stage is judged by its own requests: those of another
    /// share and another time of day do not compare.
    before: Counts,
    seen: Counts,
    /// When the canary last answered a request, or had none waiting.
    moved: Instant,
}

impl Canary {
    /// Begins the first stage. `None` if there are no stages.
    pub fn begin(stages: &[CanaryStage], counts: Counts, now: Instant) -> Option<Self> {
        let first = stages.first()?;
        Some(Self {
            until: now + first.time,
            stages: stages.to_vec(),
            stage: 0,
            before: counts,
            seen: counts,
            moved: now,
        })
    }

    pub fn share(&self) -> u32 {
        self.stages[self.stage].share
    }

    /// The present stage, from 1, and how many there are.
    pub fn stage(&self) -> (usize, usize) {
        (self.stage + 1, self.stages.len())
    }

    /// How long the present stage is.
    pub fn time(&self) -> Duration {
        self.stages[self.stage].time
    }

    pub fn left(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }

    /// What the canary and the others have done in this stage, as of the last look.
    pub fn scores(&self) -> (Score, Score) {
        (
            self.seen.canary.since(self.before.canary),
            self.seen.others.since(self.before.others),
        )
    }

    pub fn look(&mut self, counts: Counts, now: Instant) -> Step {
        if counts.waiting == 0 || counts.canary.answered != self.seen.canary.answered {
            self.moved = now;
        }
        self.seen = counts;
        let is_over = now >= self.until;
        let (canary, others) = self.scores();
        let evidence = Evidence {
            canary,
            others,
            others_before: self.before.others,
        };
        if evidence.is_worse(Look::Passing) || is_over && evidence.is_worse(Look::Last) {
            return Step::RollBack(format!("{canary} requests failed, {others} in the old one"));
        }
        let stuck_for = now.saturating_duration_since(self.moved);
        if stuck_for >= STUCK_AFTER {
            return Step::RollBack(format!(
                "{} requests wait in it, and none has been answered for {} s",
                counts.waiting,
                stuck_for.as_secs()
            ));
        }
        if !is_over {
            return Step::GoOn;
        }
        let Some(next) = self.stages.get(self.stage + 1) else {
            return Step::Complete;
        };
        self.stage += 1;
        self.until = now + next.time;
        self.before = counts;
        Step::Share(next.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn stages() -> Vec<CanaryStage> {
        [(50_000, 60), (500_000, 30)]
            .map(|(share, seconds)| CanaryStage {
                share,
                time: SECOND * seconds,
            })
            .to_vec()
    }

    fn score(failed: u64, answered: u64) -> Score {
        Score { answered, failed }
    }

    fn counts(canary: Score, others: Score) -> Counts {
        Counts {
            canary,
            others,
            waiting: 0,
        }
    }

    fn begun(counts: Counts) -> (Canary, Instant) {
        let now = Instant::now();
        let canary = Canary::begin(&stages(), counts, now).expect("there are stages");
        (canary, now)
    }

    #[test]
    fn a_good_record_leads_through_all_stages() {
        let (mut canary, start) = begun(Counts::default());
        assert_eq!((canary.share(), canary.stage()), (50_000, (1, 2)));
        assert_eq!(
            canary.look(counts(score(0, 5), score(1, 95)), start + SECOND),
            Step::GoOn
        );
        let at = start + SECOND * 60;
        assert_eq!(
            canary.look(counts(score(0, 50), score(5, 950)), at),
            Step::Share(500_000)
        );
        assert_eq!((canary.share(), canary.stage()), (500_000, (2, 2)));
        assert_eq!(canary.left(at), SECOND * 30);
        // Numbers are the stage's.
        assert_eq!(canary.scores().0, Score::default());
        let at = at + SECOND * 30;
        assert_eq!(
            canary.look(counts(score(1, 90), score(6, 990)), at),
            Step::Complete
        );
    }

    #[test]
    fn a_canary_without_requests_goes_on() {
        let (mut canary, start) = begun(Counts::default());
        let step = canary.look(Counts::default(), start + SECOND * 60);
        assert_eq!(step, Step::Share(500_000));
    }

    #[test]
    fn a_bad_record_ends_it_at_once() {
        let (mut canary, start) = begun(counts(score(0, 0), score(100, 10_000)));
        let step = canary.look(counts(score(10, 20), score(104, 10_400)), start + SECOND);
        assert_eq!(
            step,
            Step::RollBack("10 of 20 requests failed, 4 of 400 in the old one".to_owned())
        );
    }

    #[test]
    fn a_canary_that_answers_nothing_is_stuck() {
        let (mut canary, start) = begun(Counts::default());
        let waiting = |answered, waiting| Counts {
            waiting,
            ..counts(score(0, answered), score(0, 500))
        };
        assert_eq!(canary.look(waiting(1, 3), start + SECOND), Step::GoOn);
        assert_eq!(canary.look(waiting(1, 3), start + SECOND * 9), Step::GoOn);
        // It moves again.
        assert_eq!(canary.look(waiting(2, 3), start + SECOND * 10), Step::GoOn);
        assert_eq!(canary.look(waiting(2, 3), start + SECOND * 19), Step::GoOn);
        let step = canary.look(waiting(2, 4), start + SECOND * 20);
        assert!(matches!(step, Step::RollBack(why) if why.starts_with("4 requests wait in it")));
    }

    #[test]
    fn no_stages_are_no_trial() {
        assert!(Canary::begin(&[], Counts::default(), Instant::now()).is_none());
    }
}
