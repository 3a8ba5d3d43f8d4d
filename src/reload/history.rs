//! How reloads went, for whoever waits for one or asks later: the one record of them. What is under way in full, canary and all, the last
//! ones, what is kept to go back to, and how many there were.
//!
//! Whoever wants to know gets a number with the wish. Wishes that wait become one reload, so a reload stands for every number that was
//! given before it began. The supervisor writes, any thread reads and waits.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

use crate::reload::record::{Canary, Kept, Reload, Reloads};

/// Reloads that are remembered for those who wait.
const ENDED_MAX: usize = 32;

/// Whoever waits for a trial's end is told of the trial so long after having asked at the latest.
const TRIAL_LOOK: Duration = Duration::from_secs(2);

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
    /// Another process is the server.
    is_left: bool,
    /// When the generation that serves took over.
    serving_since: Option<SystemTime>,
    /// Generations that still work, and get nothing new.
    ending: Vec<u64>,
    /// The generation before, while it is kept.
    kept: Option<Kept>,
    counts: Reloads,
}

/// How a reload goes about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// A new generation beside the old one.
    #[default]
    Swap,
    /// One interpreter after the other.
    Rolling,
    /// The process anew in its own place.
    Exec,
    /// The generation before, which was kept.
    Rollback,
}

impl Way {
    const fn word(self) -> &'static str {
        match self {
            Way::Swap => "swap",
            Way::Rolling => "rolling",
            Way::Exec => "exec",
            Way::Rollback => "rollback",
        }
    }
}

struct Running {
    number: u64,
    by: String,
    way: Way,
    /// The generation that served when it began; 0 where that was another image of the process.
    old: u64,
    /// The generation that it makes, or puts back; 0: none so far.
    makes: u64,
    canary: Option<Canary>,
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
    /// It served a part of the requests and was withdrawn, and why.
    Withdrawn(String),
    /// Nobody waited for it to end, and why.
    GivenUp(String),
}

/// What [`Journal::wait`] has seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// How it went.
    Ended(Reload),
    /// It is tried out with some of the requests.
    TriedOut(Canary, u64),
    /// It loads, or waits for another one.
    Loads,
    /// Another process is the server by now, and knows.
    Elsewhere,
}

impl Journal {
    /// A number for a wish that is about to be told to the supervisor.
    pub fn number(&self) -> u64 {
        let mut pages = self.pages.lock();
        pages.asked += 1;
        pages.asked
    }

    /// The supervisor has heard of the wish with this number; 0 for one without.
    pub fn heard(&self, number: u64) {
        let mut pages = self.pages.lock();
        pages.heard = pages.heard.max(number);
        pages.waiting = true;
        if let Some(why) = pages.closed {
            // What begins now ends at once.
            let heard = pages.heard;
            pages.end_for(heard, Outcome::GivenUp(why.to_owned()));
            self.changed.notify_all();
        }
    }

    /// A reload begins while generation `old` serves; it stands for every wish that was heard. One that has not ended is given up by it.
    pub fn begin(&self, by: &str, way: Way, old: u64) {
        self.end(Outcome::GivenUp("another reload came".to_owned()));
        let mut pages = self.pages.lock();
        pages.begun += 1;
        pages.waiting = false;
        pages.running = Some(Running {
            number: pages.begun,
            by: by.to_owned(),
            way,
            old,
            makes: 0,
            canary: None,
            since: SystemTime::now(),
            started: Instant::now(),
            covers: pages.heard,
        });
    }

    /// It goes another way than it was thought to.
    pub fn goes(&self, way: Way) {
        self.change(|running| running.way = way);
    }

    /// The generation that it makes.
    pub fn makes(&self, generation: u64) {
        self.change(|running| running.makes = generation);
    }

    /// It is tried out, and how that goes.
    pub fn tries(&self, canary: Canary) {
        self.change(|running| running.canary = Some(canary));
    }

    fn change(&self, change: impl FnOnce(&mut Running)) {
        if let Some(running) = &mut self.pages.lock().running {
            change(running);
            self.changed.notify_all();
        }
    }

    /// What is under way, and what waits, is not wanted any more.
    pub fn give_up(&self, why: &str) {
        let mut pages = self.pages.lock();
        if let Some(running) = pages.running.take() {
            pages.ended(running, Outcome::GivenUp(why.to_owned()));
        }
        let heard = pages.heard;
        pages.end_for(heard, Outcome::GivenUp(why.to_owned()));
        pages.waiting = false;
        self.changed.notify_all();
    }

    /// It has ended. Without one under way, nothing happens: an interpreter was renewed.
    pub fn end(&self, outcome: Outcome) {
        let mut pages = self.pages.lock();
        if let Some(running) = pages.running.take() {
            pages.ended(running, outcome);
            self.changed.notify_all();
        }
    }

    /// The server stops: what is under way is given up, and so is what is asked from now on.
    pub fn close(&self, why: &'static str) {
        self.pages.lock().closed = Some(why);
        self.give_up(why);
    }

    /// Another process is the server, and has the journal: nobody waits here any more.
    pub fn leave(&self) {
        self.pages.lock().is_left = true;
        self.changed.notify_all();
    }

    /// Waits up to `timeout` for the end of the reload that stands for this number. `by_stages`: comes back earlier if a trial
    /// begins meanwhile, or its next stage, and soon if one is under way.
    pub fn wait(&self, number: u64, timeout: Duration, by_stages: bool) -> Seen {
        let (asked, deadline) = (Instant::now(), Instant::now() + timeout);
        let mut pages = self.pages.lock();
        let mut stage_before = None;
        loop {
            if let Some(ended) = pages.ended.iter().find(|ended| ended.covers >= number) {
                return Seen::Ended(ended.reload.clone());
            }
            if pages.is_left {
                return Seen::Elsewhere;
            }
            let running = pages
                .running
                .as_ref()
                .filter(|running| running.covers >= number);
            let trial = running.and_then(|running| Some((running.canary.clone()?, running.makes)));
            let stage = trial.as_ref().map_or(0, |(canary, _)| canary.stage);
            let is_news = by_stages
                && (stage != *stage_before.get_or_insert(stage)
                    || stage > 0 && asked.elapsed() >= TRIAL_LOOK);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || is_news {
                return trial.map_or(Seen::Loads, |(canary, makes)| Seen::TriedOut(canary, makes));
            }
            self.changed.wait_for(&mut pages, left);
        }
    }

    /// Whether this number was ever given.
    pub fn knows(&self, number: u64) -> bool {
        (1..=self.pages.lock().asked).contains(&number)
    }

    /// The reload under way, or else the last one.
    pub fn latest(&self) -> Reload {
        let pages = self.pages.lock();
        let one_more_waits = pages.waiting;
        match (&pages.running, pages.ended.back()) {
            (Some(running), _) => Reload {
                one_more_waits,
                ..described(
                    running,
                    if running.canary.is_some() {
                        "canary"
                    } else {
                        "loading"
                    },
                )
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
        self.pages.lock().serving_since = Some(SystemTime::now());
    }

    /// When the generation that serves took over, in seconds since 1970.
    pub fn serving_since(&self) -> u64 {
        self.pages.lock().serving_since.map_or(0, seconds)
    }

    /// A generation is kept, or none.
    pub fn keeps(&self, kept: Option<Kept>) {
        self.pages.lock().kept = kept;
    }

    /// The generation that could be put back.
    pub fn kept(&self) -> Option<Kept> {
        self.pages.lock().kept
    }

    /// How many there were.
    pub fn counts(&self) -> Reloads {
        self.pages.lock().counts
    }

    /// These generations still work, and get nothing new.
    pub fn ending(&self, generations: Vec<u64>) {
        self.pages.lock().ending = generations;
    }

    /// Generations that still work, and get nothing new.
    pub fn still_ending(&self) -> Vec<u64> {
        self.pages.lock().ending.clone()
    }

    /// What the next image of this process has to know (`resumed`). Empty: nothing is under way.
    pub fn carried(&self) -> String {
        let pages = self.pages.lock();
        pages.running.as_ref().map_or_else(String::new, |running| {
            let since = seconds(running.since);
            let Reloads {
                done,
                failed,
                withdrawn,
            } = pages.counts;
            // Whoever asked after this one began is answered by it, too: the image that it leads to is younger than the wish.
            format!(
                "{} {} {since} {done} {failed} {withdrawn} {}",
                running.number, pages.asked, running.by
            )
        })
    }

    /// The journal of a process that has started anew, and has yet to say that it serves.
    pub fn resumed(carried: &str) -> Self {
        let journal = Self::default();
        let mut words = carried.splitn(7, ' ');
        let mut next = || words.next()?.parse::<u64>().ok();
        let numbers = (next(), next(), next());
        let counts = (next(), next(), next());
        if let (
            (Some(number), Some(asked), Some(since)),
            (Some(done), Some(failed), Some(withdrawn)),
        ) = (numbers, counts)
        {
            let since = UNIX_EPOCH + Duration::from_secs(since);
            let elapsed = since.elapsed().unwrap_or_default();
            let mut pages = journal.pages.lock();
            (pages.asked, pages.heard, pages.begun) = (asked, asked, number);
            pages.counts = Reloads {
                done,
                failed,
                withdrawn,
            };
            pages.running = Some(Running {
                number,
                by: words.next().unwrap_or_default().to_owned(),
                way: Way::Exec,
                old: 0,
                makes: 1,
                canary: None,
                since,
                started: Instant::now()
                    .checked_sub(elapsed)
                    .unwrap_or_else(Instant::now),
                covers: asked,
            });
        }
        journal
    }
}

impl Pages {
    fn ended(&mut self, running: Running, outcome: Outcome) {
        let counter = match &outcome {
            Outcome::Serves(_) => Some(&mut self.counts.done),
            Outcome::Failed(_) | Outcome::Partly(_) => Some(&mut self.counts.failed),
            Outcome::Withdrawn(_) => Some(&mut self.counts.withdrawn),
            Outcome::GivenUp(_) => None,
        };
        if let Some(counter) = counter {
            *counter += 1;
        }
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
        way: running.way.word(),
        old: running.old,
        makes: running.makes,
        canary: running.canary.clone(),
        ..Reload::default()
    }
}

fn tell(reload: &mut Reload, outcome: Outcome) {
    (reload.outcome, reload.generation, reload.reason) = match outcome {
        Outcome::Serves(generation) => ("serves", generation, String::new()),
        Outcome::Failed(reason) => ("failed", 0, reason),
        Outcome::Partly(reason) => ("partly", 0, reason),
        Outcome::Withdrawn(reason) => ("withdrawn", 0, reason),
        Outcome::GivenUp(reason) => ("given up", 0, reason),
    };
}

/// Since 1970.
pub(crate) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn outcome(journal: &Journal, number: u64) -> Option<String> {
        match journal.wait(number, NOW, false) {
            Seen::Ended(reload) => Some(format!("{} {}", reload.outcome, reload.reason)),
            Seen::TriedOut(..) | Seen::Loads | Seen::Elsewhere => None,
        }
    }

    #[test]
    fn nobody_waits_for_what_another_process_knows() {
        let journal = std::sync::Arc::new(Journal::default());
        let number = journal.number();
        journal.heard(number);
        journal.begin("first", Way::Exec, 1);
        let waits = {
            let journal = std::sync::Arc::clone(&journal);
            std::thread::spawn(move || journal.wait(number, Duration::MAX / 4, false))
        };
        journal.leave();
        assert_eq!(waits.join().expect("no panic"), Seen::Elsewhere);
        let resumed = Journal::resumed(&journal.carried());
        resumed.end(Outcome::Serves(1));
        assert_eq!(outcome(&resumed, number).as_deref(), Some("serves "));
    }

    #[test]
    fn a_wish_is_answered_by_the_reload_that_began_after_it() {
        let journal = Journal::default();
        assert_eq!(journal.latest().outcome, "none");
        let first = journal.number();
        journal.heard(first);
        journal.begin("first", Way::Swap, 1);
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
        journal.begin("second", Way::Swap, 1);
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
        journal.begin("first", Way::Swap, 1);
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
        journal.begin("touch-reload: my file has changed", Way::Swap, 1);
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

    fn asked(journal: &Journal) -> u64 {
        let number = journal.number();
        journal.heard(number);
        number
    }

    fn stage(stage: usize) -> Canary {
        Canary {
            stage,
            ..Canary::default()
        }
    }

    #[test]
    fn a_canary_is_told_and_its_end_is_waited_for() {
        let journal = Journal::default();
        let first = asked(&journal);
        journal.begin("first", Way::Swap, 1);
        journal.makes(2);
        journal.tries(stage(1));
        assert_eq!(journal.latest().outcome, "canary");
        assert_eq!(journal.wait(first, NOW, true), Seen::TriedOut(stage(1), 2));
        // A wait that began before the stage ends with it; one that began in it does not.
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| journal.wait(first, Duration::from_secs(60), true));
            while !waits.is_finished() {
                journal.tries(stage(2));
                journal.tries(stage(3));
            }
            assert!(matches!(waits.join(), Ok(Seen::TriedOut(_, 2))));
        });
        journal.end(Outcome::Withdrawn("5 of 20 failed".to_owned()));
        // What comes late changes nothing.
        journal.end(Outcome::Serves(2));
        journal.tries(stage(4));
        assert_eq!(
            outcome(&journal, first).as_deref(),
            Some("withdrawn 5 of 20 failed")
        );
        let latest = journal.latest();
        assert_eq!((latest.old, latest.makes, latest.generation), (1, 2, 0));
        assert!(latest.canary.is_some());
        let counts = journal.counts();
        assert_eq!((counts.done, counts.failed, counts.withdrawn), (0, 0, 1));
    }

    #[test]
    fn what_is_taken_back_is_not_what_was_waited_for() {
        let journal = Journal::default();
        let first = asked(&journal);
        journal.begin("first", Way::Swap, 2);
        let second = asked(&journal);
        journal.give_up("a rollback came");
        journal.begin("back", Way::Rollback, 2);
        journal.end(Outcome::Serves(1));
        for number in [first, second] {
            assert_eq!(
                outcome(&journal, number).as_deref(),
                Some("given up a rollback came")
            );
        }
        let latest = journal.latest();
        assert_eq!(
            (latest.outcome, latest.way, latest.generation),
            ("serves", "rollback", 1)
        );
        assert!(!latest.one_more_waits);
    }

    #[test]
    fn one_that_has_not_ended_is_given_up_by_the_next() {
        let journal = Journal::default();
        let first = asked(&journal);
        journal.begin("first", Way::Swap, 1);
        journal.begin("second", Way::Swap, 1);
        assert_eq!(
            outcome(&journal, first).as_deref(),
            Some("given up another reload came")
        );
        journal.end(Outcome::Serves(3));
        assert_eq!(journal.counts().done, 1);
        assert_eq!(journal.latest().number, 2);
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
            journal.begin("test", Way::Swap, 1);
            journal.end(Outcome::Serves(generation));
        }
        // The oldest that is remembered covers those before it: it is younger than they.
        assert!(outcome(&journal, 1).is_some());
        assert_eq!(journal.pages.lock().ended.len(), ENDED_MAX);
    }
}
