//! How reloads went, for whoever waits for one or asks later.
//!
//! Whoever wants to know gets a number with the wish. Wishes that wait become one reload, so a reload stands for every number that was
//! given before it began. The supervisor writes, any thread reads and waits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::control::status::Reload;

/// Reloads that are remembered for those who wait.
const ENDED_MAX: usize = 32;

/// See the file's header.
#[derive(Default)]
pub struct Journal {
    pages: Mutex<Pages>,
    changed: Condvar,
}

#[derive(Default)]
struct Pages {
    /// The highest number that was given.
    asked: u64,
    /// The highest number that the supervisor has heard of.
    heard: u64,
    /// Reloads that have begun.
    begun: u64,
    /// Wishes that the supervisor has heard since the present reload began.
    waiting: bool,
    running: Option<Running>,
    ended: VecDeque<Ended>,
    /// The server stops: nothing will come of what is asked now.
    closed: Option<&'static str>,
    /// When the generation that serves took over.
    serving_since: Option<SystemTime>,
    /// Generations that still work, and get nothing new.
    ending: Vec<u64>,
}

struct Running {
    number: u64,
    by: String,
    since: SystemTime,
    started: Instant,
    /// Numbers up to this one are answered by it.
    covers: u64,
}

struct Ended {
    covers: u64,
    reload: Reload,
}

/// How a reload went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The new version serves, as this generation.
    Serves(u64),
    /// It does not, and why.
    Failed(String),
    /// Some interpreters have it.
    Partly(String),
    /// Nobody waited for it to end, and why.
    GivenUp(String),
}

impl Journal {
    /// A number for a wish that is about to be told to the supervisor.
    pub fn number(&self) -> u64 {
        let mut pages = self.pages();
        pages.asked += 1;
        pages.asked
    }

    /// The supervisor has heard of the wish with this number; 0 for one without.
    pub fn heard(&self, number: u64) {
        let mut pages = self.pages();
        pages.heard = pages.heard.max(number);
        pages.waiting = true;
        if let Some(why) = pages.closed {
            // What begins now ends at once.
            let heard = pages.heard;
            pages.end_for(heard, Outcome::GivenUp(why.to_owned()));
            self.changed.notify_all();
        }
    }

    /// A reload begins; it stands for every wish that was heard.
    pub fn begin(&self, by: &str) {
        let mut pages = self.pages();
        if pages.running.is_some() {
            return;
        }
        pages.begun += 1;
        pages.waiting = false;
        pages.running = Some(Running {
            number: pages.begun,
            by: by.to_owned(),
            since: SystemTime::now(),
            started: Instant::now(),
            covers: pages.heard,
        });
    }

    /// It has ended. Without one under way, nothing happens: an interpreter was renewed.
    pub fn end(&self, outcome: Outcome) {
        let mut pages = self.pages();
        if let Some(running) = pages.running.take() {
            pages.ended(running, outcome);
            self.changed.notify_all();
        }
    }

    /// The server stops: what is under way is given up, and so is what is asked from now on.
    pub fn close(&self, why: &'static str) {
        let mut pages = self.pages();
        pages.closed = Some(why);
        if let Some(running) = pages.running.take() {
            pages.ended(running, Outcome::GivenUp(why.to_owned()));
        }
        let heard = pages.heard;
        pages.end_for(heard, Outcome::GivenUp(why.to_owned()));
        self.changed.notify_all();
    }

    /// Waits up to `timeout` for the end of the reload that stands for this number. `None`: not yet.
    pub fn wait(&self, number: u64, timeout: Duration) -> Option<Reload> {
        let deadline = Instant::now() + timeout;
        let mut pages = self.pages();
        loop {
            if let Some(ended) = pages.ended.iter().find(|ended| ended.covers >= number) {
                return Some(ended.reload.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            (pages, _) = self
                .changed
                .wait_timeout(pages, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether this number was ever given.
    pub fn knows(&self, number: u64) -> bool {
        (1..=self.pages().asked).contains(&number)
    }

    /// The reload under way, or else the last one.
    pub fn latest(&self) -> Reload {
        let pages = self.pages();
        let one_more_waits = pages.waiting;
        match (&pages.running, pages.ended.back()) {
            (Some(running), _) => Reload {
                one_more_waits,
                ..described(running, "loading")
            },
            (None, Some(ended)) => Reload {
                one_more_waits,
                ..ended.reload.clone()
            },
            (None, None) => Reload {
                outcome: "none",
                ..Reload::default()
            },
        }
    }

    /// A generation has taken over.
    pub fn takes_over(&self) {
        self.pages().serving_since = Some(SystemTime::now());
    }

    /// When the generation that serves took over, in seconds since 1970.
    pub fn serving_since(&self) -> u64 {
        self.pages().serving_since.map_or(0, seconds)
    }

    /// These generations still work, and get nothing new.
    pub fn ending(&self, generations: Vec<u64>) {
        self.pages().ending = generations;
    }

    /// Generations that still work, and get nothing new.
    pub fn still_ending(&self) -> Vec<u64> {
        self.pages().ending.clone()
    }

    /// What the next image of this process has to know (`resumed`). Empty: nothing is under way.
    pub fn carried(&self) -> String {
        let pages = self.pages();
        pages.running.as_ref().map_or_else(String::new, |running| {
            let since = seconds(running.since);
            // Whoever asked after this one began is answered by it, too: the image that it leads to is younger than the wish.
            format!("{} {} {since} {}", running.number, pages.asked, running.by)
        })
    }

    /// The journal of a process that has started anew, and has yet to say that it serves.
    pub fn resumed(carried: &str) -> Self {
        let journal = Self::default();
        let mut words = carried.splitn(4, ' ');
        let mut next = || words.next()?.parse::<u64>().ok();
        let numbers = (next(), next(), next());
        if let (Some(number), Some(asked), Some(since)) = numbers {
            let since = UNIX_EPOCH + Duration::from_secs(since);
            let elapsed = since.elapsed().unwrap_or_default();
            let mut pages = journal.pages();
            (pages.asked, pages.heard, pages.begun) = (asked, asked, number);
            pages.running = Some(Running {
                number,
                by: words.next().unwrap_or_default().to_owned(),
                since,
                started: Instant::now()
                    .checked_sub(elapsed)
                    .unwrap_or_else(Instant::now),
                covers: asked,
            });
        }
        journal
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // Nothing is left half-written by a panic.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn ended(&mut self, running: Running, outcome: Outcome) {
        let mut reload = described(&running, "");
        tell(&mut reload, outcome);
        self.push(running.covers, reload);
    }

    /// For wishes that no reload came of, if there are any.
    fn end_for(&mut self, covers: u64, outcome: Outcome) {
        if covers <= self.ended.back().map_or(0, |ended| ended.covers) {
            return;
        }
        let mut reload = Reload {
            since: seconds(SystemTime::now()),
            ..Reload::default()
        };
        tell(&mut reload, outcome);
        self.waiting = false;
        self.push(covers, reload);
    }

    fn push(&mut self, covers: u64, reload: Reload) {
        if self.ended.len() == ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(Ended { covers, reload });
    }
}

fn described(running: &Running, outcome: &'static str) -> Reload {
    Reload {
        outcome,
        number: running.number,
        by: running.by.clone(),
        since: seconds(running.since),
        seconds: running.started.elapsed().as_secs_f64(),
        ..Reload::default()
    }
}

fn tell(reload: &mut Reload, outcome: Outcome) {
    (reload.outcome, reload.generation, reload.reason) = match outcome {
        Outcome::Serves(generation) => ("serves", generation, String::new()),
        Outcome::Failed(reason) => ("failed", 0, reason),
        Outcome::Partly(reason) => ("partly", 0, reason),
        Outcome::GivenUp(reason) => ("given up", 0, reason),
    };
}

/// Since 1970.
pub(super) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn outcome(journal: &Journal, number: u64) -> Option<String> {
        let reload = journal.wait(number, NOW)?;
        Some(format!("{} {}", reload.outcome, reload.reason))
    }

    #[test]
    fn a_wish_is_answered_by_the_reload_that_began_after_it() {
        let journal = Journal::default();
        assert_eq!(journal.latest().outcome, "none");
        let first = journal.number();
        journal.heard(first);
        journal.begin("first");
        let (second, third) = (journal.number(), journal.number());
        journal.heard(second);
        journal.heard(third);
        assert!(journal.latest().one_more_waits);
        assert_eq!(outcome(&journal, first), None);
        journal.end(Outcome::Failed("NameError".to_owned()));
        assert_eq!(
            outcome(&journal, first).as_deref(),
            Some("failed NameError")
        );
        assert_eq!(
            outcome(&journal, second),
            None,
            "the old version failed, not this one"
        );
        journal.begin("second");
        journal.end(Outcome::Serves(3));
        assert_eq!(outcome(&journal, second).as_deref(), Some("serves "));
        assert_eq!(outcome(&journal, third).as_deref(), Some("serves "));
        assert_eq!(
            outcome(&journal, first).as_deref(),
            Some("failed NameError")
        );
        let latest = journal.latest();
        assert_eq!((latest.number, latest.generation), (2, 3));
        assert!(journal.knows(third) && !journal.knows(third + 1) && !journal.knows(0));
    }

    #[test]
    fn what_is_asked_of_a_server_that_stops_is_given_up() {
        let journal = Journal::default();
        let first = journal.number();
        journal.heard(first);
        journal.begin("first");
        let second = journal.number();
        journal.heard(second);
        journal.close("the server stops");
        assert_eq!(
            outcome(&journal, first).as_deref(),
            Some("given up the server stops")
        );
        assert_eq!(
            outcome(&journal, second).as_deref(),
            Some("given up the server stops")
        );
        let third = journal.number();
        journal.heard(third);
        assert_eq!(
            outcome(&journal, third).as_deref(),
            Some("given up the server stops")
        );
    }

    #[test]
    fn the_next_image_of_the_process_answers() {
        let journal = Journal::default();
        assert_eq!(journal.carried(), "");
        let first = journal.number();
        journal.heard(first);
        journal.begin("touch-reload: my file has changed");
        let second = journal.number();
        let next = Journal::resumed(&journal.carried());
        assert_eq!(next.latest().outcome, "loading");
        assert_eq!(next.latest().by, "touch-reload: my file has changed");
        next.end(Outcome::Serves(1));
        assert_eq!(outcome(&next, first).as_deref(), Some("serves "));
        assert_eq!(outcome(&next, second).as_deref(), Some("serves "));
        assert_eq!(next.number(), second + 1);
        assert_eq!(Journal::resumed("").latest().outcome, "none");
        assert_eq!(Journal::resumed("nonsense").latest().outcome, "none");
    }

    #[test]
    fn a_renewed_interpreter_is_no_reload() {
        let journal = Journal::default();
        journal.end(Outcome::Failed("no fresh interpreter".to_owned()));
        assert_eq!(journal.latest().outcome, "none");
    }

    #[test]
    fn only_so_many_are_remembered() {
        let journal = Journal::default();
        for generation in 0..100 {
            let number = journal.number();
            journal.heard(number);
            journal.begin("test");
            journal.end(Outcome::Serves(generation));
        }
        // The oldest that is remembered covers those before it: it is younger than they.
        assert!(journal.wait(1, NOW).is_some());
        assert_eq!(journal.pages().ended.len(), ENDED_MAX);
    }
}
