//! When a worker sends what it has answered: at once, or a few answers together.
//!
//! A client on the same machine, nginx for one, is woken by each answer that is sent to it while it sleeps, and that wake is a good
//! part of what a small answer costs. So, while further requests wait and the application is quick, a worker keeps a few
//! answers for a moment and sends them in a row. With nothing else to do, or an application that takes its time, an answer
//! leaves when it is made.
//!
//! What is kept lies where any thread can send it: if a request turns out to be slow after all, the acceptor does, at its second
//! look ([`Turn::relieve`](crate::net::Turn::relieve)).

use std::time::{Duration, Instant};

/// Answers that are sent together: by then a wake is shared by enough of them, and more would leave the client without work.
const ANSWERS_MAX: usize = 8;
/// How long the first of them may have been kept.
const TIME_MAX: Duration = Duration::from_millis(1);
/// An application is quick if it has not taken longer than this of late.
const QUICK: Duration = Duration::from_millis(1);

/// One worker's rule.
#[derive(Debug, Default)]
pub struct Holding {
    /// What the application has taken of late, at most; what is long past counts less and less.
    slowest: Duration,
    count: usize,
    since: Option<Instant>,
}

impl Holding {
    /// Whether the next answer may be kept, if further requests wait.
    pub fn may_hold(&self) -> bool {
        self.slowest < QUICK
    }

    /// The application took so long over a request.
    pub fn note(&mut self, app: Duration) {
        let fading = self.slowest - self.slowest / 8;
        self.slowest = fading.max(app);
    }

    /// An answer is kept. Whether it is time to send it, and those before it.
    pub fn hold(&mut self, at: Instant) -> bool {
        self.count += 1;
        let since = *self.since.get_or_insert(at);
        self.count >= ANSWERS_MAX || at.saturating_duration_since(since) >= TIME_MAX
    }

    /// Whether there are any.
    pub fn is_any(&self) -> bool {
        self.count > 0
    }

    /// They are sent.
    pub fn clear(&mut self) {
        self.count = 0;
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_answers_are_kept_and_not_for_long() {
        let start = Instant::now();
        let mut holding = Holding::default();
        let due = (1..=ANSWERS_MAX).map(|_| holding.hold(start));
        let due: Vec<bool> = due.collect();
        assert_eq!(due.iter().position(|&is_due| is_due), Some(ANSWERS_MAX - 1));
        holding.clear();
        assert!(!holding.is_any());
        assert!(!holding.hold(start));
        assert!(holding.hold(start + TIME_MAX));
    }

    #[test]
    fn one_slow_request_is_remembered_for_a_while() {
        let mut holding = Holding::default();
        assert!(holding.may_hold());
        holding.note(Duration::from_millis(50));
        let quick = Duration::from_micros(20);
        let until = (0..1000).position(|_| {
            holding.note(quick);
            holding.may_hold()
        });
        assert!(
            until.is_some_and(|count| (20..100).contains(&count)),
            "{until:?}"
        );
    }
}
