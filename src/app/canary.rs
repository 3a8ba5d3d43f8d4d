//! The rules of a canary: which requests it gets, and whether it fails more often than the
//! generation in charge. Pure; any thread.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// All requests, in the unit of a [`Chooser`].
pub const WHOLE: u32 = 1_000_000;

/// Selects requests for the canary: of any number in a row it gets its share, to within one.
#[derive(Debug)]
pub struct Chooser {
    share: u32,
    dealt: AtomicU64,
}

impl Chooser {
    /// `share` is in millionths.
    pub fn new(share: u32) -> Self {
        Self {
            share: share.min(WHOLE),
            dealt: AtomicU64::new(0),
        }
    }

    pub fn is_canarys(&self) -> bool {
        let whole = u64::from(WHOLE);
        let share = u64::from(self.share);
        let count = self.dealt.fetch_add(1, Ordering::Relaxed) % whole;
        // The line of slope `share` passes a whole number here.
        count * share % whole + share >= whole
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Requests whose answers have ended, and abandoned ones.
    pub answered: u64,
    /// Of these, requests with a 5xx status, an exception, or an end by harakiri.
    pub failed: u64,
}

impl Score {
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            answered: self.answered.saturating_sub(before.answered),
            failed: self.failed.saturating_sub(before.failed),
        }
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            answered: self.answered.saturating_add(other.answered),
            failed: self.failed.saturating_add(other.failed),
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} of {}", self.failed, self.answered)
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence {
    pub canary: Score,
    /// The requests of the generation in charge, in the same time.
    pub others: Score,
    /// Its earlier requests, used if there are too few in the same time.
    pub others_before: Score,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// One of many checks while the canary runs: only a difference that is hardly chance counts.
    Passing,
    /// The final check at the end of the stage.
    Last,
}

/// Fewer failures are taken for chance.
const FAILURES_MIN: u64 = 3;
/// No decision before the final check with fewer requests.
const ANSWERED_MIN: u64 = 10;
/// Fewer requests of the others are no basis for a comparison.
const OTHERS_MIN: u64 = 20;
/// The ratio of failure rates that counts as clearly worse.
const TIMES_MIN: f64 = 2.0;

impl Look {
    /// The probability of chance below which a difference counts.
    fn significance(self) -> f64 {
        match self {
            // Looked at every second, for minutes or hours.
            Look::Passing => 1e-5,
            Look::Last => 1e-3,
        }
    }

    fn answered_min(self) -> u64 {
        match self {
            Look::Passing => ANSWERED_MIN,
            Look::Last => FAILURES_MIN,
        }
    }
}

impl Evidence {
    /// Whether the canary fails clearly more often than the others: three times at least, twice as
    /// often at least, and so that chance would make such a difference less than once in 100000
    /// looks (1000, at the last one; Fisher's exact test).
    pub fn is_worse(&self, look: Look) -> bool {
        let canary = self.canary;
        let mut others = self.others;
        if others.answered < OTHERS_MIN {
            others = others.and(self.others_before);
        }
        // An application without requests so far is assumed to answer its first ones.
        others.answered = others.answered.max(OTHERS_MIN);
        canary.failed >= FAILURES_MIN
            && canary.answered >= look.answered_min()
            && chance(canary, others) < look.significance()
    }
}

fn rate(score: Score) -> f64 {
    if score.answered == 0 {
        return 0.0;
    }
    score.failed as f64 / score.answered as f64
}

/// The probability that this many failures or more fall to the canary by chance (upper tail of the
/// hypergeometric distribution). Returns 1 if the canary does not fail clearly more often;
/// otherwise each term of the sum is at most half of the one before it, so the sum is short.
fn chance(canary: Score, others: Score) -> f64 {
    if rate(canary) < TIMES_MIN * rate(others) {
        return 1.0;
    }
    let failed = canary.failed.min(canary.answered);
    let all_failed = failed + others.failed.min(others.answered);
    let first = ln_choose(canary.answered, failed)
        + ln_choose(others.answered, all_failed - failed)
        - ln_choose(canary.answered + others.answered, all_failed);
    let mut term = first.exp();
    let mut sum = term;
    for count in failed..canary.answered.min(all_failed) {
        let ways = (canary.answered - count) as f64 * (all_failed - count) as f64;
        // Positive: the others have more requests than failures.
        let ways_before = (count + 1) as f64 * (others.answered + count + 1 - all_failed) as f64;
        term *= ways / ways_before;
        sum += term;
        if term <= sum * 1e-12 {
            break;
        }
    }
    sum.min(1.0)
}

/// The logarithm of the binomial coefficient, good to eight digits.
fn ln_choose(all: u64, some: u64) -> f64 {
    ln_factorial(all) - ln_factorial(some) - ln_factorial(all - some)
}

fn ln_factorial(number: u64) -> f64 {
    let n = number as f64;
    if number < 20 {
        return (2..=number).map(|factor| (factor as f64).ln()).sum();
    }
    // Stirling's series.
    n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + 1.0 / (12.0 * n)
        - 1.0 / (360.0 * n.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(failed: u64, answered: u64) -> Score {
        Score { answered, failed }
    }

    fn is_worse(canary: Score, others: Score, look: Look) -> bool {
        Evidence {
            canary,
            others,
            others_before: Score::default(),
        }
        .is_worse(look)
    }

    #[test]
    fn any_share_of_any_number_of_requests_is_exact() {
        for share in [1, 333, 50_000, 123_457, 500_000, 999_999, WHOLE] {
            let chooser = Chooser::new(share);
            let mut chosen: u64 = 0;
            for count in 1..=30_000_u64 {
                chosen += u64::from(chooser.is_canarys());
                let exact = count * u64::from(share) / u64::from(WHOLE);
                assert_eq!(chosen, exact, "{share} of {count}");
            }
        }
    }

    #[test]
    fn a_share_is_spread_evenly() {
        let chooser = Chooser::new(WHOLE / 20);
        let at: Vec<usize> = (1..=100).filter(|_| chooser.is_canarys()).collect();
        assert_eq!(at, [20, 40, 60, 80, 100]);
    }

    #[test]
    fn nothing_is_nothing_and_all_is_all() {
        let (none, all) = (Chooser::new(0), Chooser::new(u32::MAX));
        assert!((0..1000).all(|_| !none.is_canarys() && all.is_canarys()));
    }

    #[test]
    fn the_test_is_fishers() {
        let about = |canary, others, expected: f64| {
            let found = chance(canary, others);
            assert!(
                (found / expected - 1.0).abs() < 1e-6,
                "{found} is not {expected}"
            );
        };
        // One failure in all: it falls to the canary as often as requests do.
        about(score(1, 10), score(0, 190), 0.05);
        // All ten failures: one way of C(200, 10).
        about(score(10, 10), score(0, 190), 4.45414373e-17);
        // A tea lady who knows three cups of four.
        about(score(3, 4), score(1, 4), 17.0 / 70.0);
        about(score(0, 30), score(3, 40), 1.0);
    }

    #[test]
    fn bad_luck_is_no_failure() {
        for look in [Look::Passing, Look::Last] {
            assert!(!is_worse(score(1, 10), score(0, 190), look));
            assert!(!is_worse(score(2, 10), score(0, 190), look));
            assert!(!is_worse(score(0, 0), score(0, 0), look));
            // The one before was no better.
            assert!(!is_worse(score(10, 100), score(190, 1900), look));
            assert!(!is_worse(score(100, 100), score(1900, 1900), look));
            // Significant, but not clearly more.
            assert!(!is_worse(score(1500, 10_000), score(19_000, 190_000), look));
            // Nothing to compare with, and not hopeless.
            assert!(!is_worse(score(3, 10), score(0, 0), look));
        }
        assert!(!is_worse(score(3, 10), score(0, 190), Look::Passing));
    }

    #[test]
    fn a_clear_difference_decides() {
        for look in [Look::Passing, Look::Last] {
            assert!(is_worse(score(10, 10), score(0, 190), look));
            assert!(is_worse(score(5, 20), score(0, 380), look));
            assert!(is_worse(score(300, 10_000), score(190, 190_000), look));
            // All of them, where there is no earlier figure.
            assert!(is_worse(score(10, 10), score(0, 0), look));
        }
        // When the time is over, few will do.
        assert!(is_worse(score(3, 3), score(0, 57), Look::Last));
        assert!(!is_worse(score(3, 3), score(0, 57), Look::Passing));
    }

    #[test]
    fn what_was_before_counts_where_the_others_get_nothing() {
        let evidence = Evidence {
            canary: score(30, 100),
            others: score(0, 0),
            others_before: score(3000, 10_000),
        };
        assert!(!evidence.is_worse(Look::Last));
        let evidence = Evidence {
            others_before: score(3, 10_000),
            ..evidence
        };
        assert!(evidence.is_worse(Look::Passing));
    }

    #[test]
    fn scores_of_any_size_can_be_judged() {
        let sizes = [0, 1, 2, 3, 19, 20, 1 << 20, u64::from(u32::MAX), 1 << 52];
        for answered in sizes {
            for failed in sizes {
                for others in sizes {
                    let canary = score(failed.min(answered), answered);
                    let chance = chance(canary, score(others / 2, others.max(20)));
                    assert!((0.0..=1.0).contains(&chance), "{canary} {others}: {chance}");
                }
            }
        }
    }
}
