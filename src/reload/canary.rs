//! A canary's time: its stages, one after the other, and what is decided at each look. Pure: the time and the numbers are
//! told. The main thread's.

use std::time::{Duration, Instant};

use crate::app::canary::{Evidence, Look, Score};
use crate::config::CanaryStage;

/// Requests wait in the canary, and so long none has been answered: it is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// What both generations have done since they were made, and what waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// The canary's requests.
    pub canary: Score,
    /// The one in charge's.
    pub others: Score,
    /// Requests that wait in the canary's queue.
    pub waiting: usize,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    GoOn,
    /// The canary gets another share, of a million.
    Share(u32),
    /// It is put in charge.
    Complete,
    /// It is withdrawn, and why.
    RollBack(String),
}

/// See the file's header.
#[derive(Debug)]
pub struct Trial {
    stages: Vec<CanaryStage>,
    stage: usize,
    until: Instant,
    /// What there was when the stage began: a stage is judged by its own requests, because another share and another time of
    /// day would not compare.
    before: Counts,
    seen: Counts,
    /// When a request of the canary was last answered, or none waited.
    moved: Instant,
}

impl Trial {
    /// Its first stage begins. `None` if there are no stages.
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

    /// The share that it has now, of a million.
    pub fn share(&self) -> u32 {
        self.stages[self.stage].share
    }

    /// Which stage it is in, from 1, and how many there are.
    pub fn stage(&self) -> (usize, usize) {
        (self.stage + 1, self.stages.len())
    }

    /// What is left of the stage.
    pub fn left(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }

    /// What both have done in this stage, as of the last look.
    pub fn scores(&self) -> (Score, Score) {
        (
            self.seen.canary.since(self.before.canary),
            self.seen.others.since(self.before.others),
        )
    }

    /// Takes a look.
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
        // What is looked at last has been looked at in passing, too.
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

    fn counts(canary: (u64, u64), others: (u64, u64)) -> Counts {
        let score = |(failed, answered)| Score { answered, failed };
        Counts {
            canary: score(canary),
            others: score(others),
            waiting: 0,
        }
    }

    fn begun(counts: Counts) -> (Trial, Instant) {
        let now = Instant::now();
        let trial = Trial::begin(&stages(), counts, now).expect("there are stages");
        (trial, now)
    }

    #[test]
    fn a_good_record_leads_through_all_stages() {
        let (mut trial, start) = begun(Counts::default());
        assert_eq!((trial.share(), trial.stage()), (50_000, (1, 2)));
        assert_eq!(
            trial.look(counts((0, 5), (1, 95)), start + SECOND),
            Step::GoOn
        );
        let at = start + SECOND * 60;
        assert_eq!(
            trial.look(counts((0, 50), (5, 950)), at),
            Step::Share(500_000)
        );
        assert_eq!((trial.share(), trial.stage()), (500_000, (2, 2)));
        assert_eq!(trial.left(at), SECOND * 30);
        // Numbers are the stage's.
        assert_eq!(trial.scores().0, Score::default());
        let at = at + SECOND * 30;
        assert_eq!(trial.look(counts((1, 90), (6, 990)), at), Step::Complete);
    }

    #[test]
    fn without_requests_there_is_nothing_to_hold_against_it() {
        let (mut trial, start) = begun(Counts::default());
        let step = trial.look(Counts::default(), start + SECOND * 60);
        assert_eq!(step, Step::Share(500_000));
    }

    #[test]
    fn a_bad_record_ends_it_at_once() {
        let (mut trial, start) = begun(counts((0, 0), (100, 10_000)));
        let step = trial.look(counts((10, 20), (104, 10_400)), start + SECOND);
        assert_eq!(
            step,
            Step::RollBack("10 of 20 requests failed, 4 of 400 in the old one".to_owned())
        );
    }

    #[test]
    fn one_that_answers_nothing_is_stuck() {
        let (mut trial, start) = begun(Counts::default());
        let waiting = |answered, waiting| Counts {
            waiting,
            ..counts((0, answered), (0, 500))
        };
        assert_eq!(trial.look(waiting(1, 3), start + SECOND), Step::GoOn);
        assert_eq!(trial.look(waiting(1, 3), start + SECOND * 9), Step::GoOn);
        // It moves again.
        assert_eq!(trial.look(waiting(2, 3), start + SECOND * 10), Step::GoOn);
        assert_eq!(trial.look(waiting(2, 3), start + SECOND * 19), Step::GoOn);
        let step = trial.look(waiting(2, 4), start + SECOND * 20);
        assert!(matches!(step, Step::RollBack(why) if why.starts_with("4 requests wait in it")));
    }

    #[test]
    fn no_stages_are_no_trial() {
        assert!(Trial::begin(&[], Counts::default(), Instant::now()).is_none());
    }
}
