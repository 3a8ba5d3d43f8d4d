//! What came of reloads, for whoever asks: the last one in full, and how many there were. Written by the main thread at every
//! step of a reload, read by any thread; a reader gets a copy and holds nothing up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::app::canary::Score;

/// How a reload goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A new generation beside the old one.
    Swap,
    /// One interpreter after the other.
    Rolling,
    /// The process anew in its own place.
    Exec,
    /// The generation before, which was kept.
    Rollback,
}

impl Way {
    /// As it stands in status and statistics.
    pub const fn word(self) -> &'static str {
        match self {
            Way::Swap => "swap",
            Way::Rolling => "rolling",
            Way::Exec => "exec",
            Way::Rollback => "rollback",
        }
    }
}

/// How far a reload has come, or how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The new version loads.
    Loading,
    /// It has a part of the requests, and is judged by what comes of them.
    Canary,
    /// It is in charge.
    Done,
    /// It did not come to serve, and why: the old one serves on.
    Failed(String),
    /// It served a part of the requests and was withdrawn, and why: the old one serves on.
    RolledBack(String),
    /// The server stopped, or another reload came, before it was decided.
    GivenUp(String),
}

impl State {
    /// As it stands in status and statistics.
    pub const fn word(&self) -> &'static str {
        match self {
            State::Loading => "loading",
            State::Canary => "canary",
            State::Done => "ok",
            State::Failed(_) => "failed",
            State::RolledBack(_) => "rolled back",
            State::GivenUp(_) => "given up",
        }
    }

    /// Why it is not in charge, in words for a person.
    pub fn reason(&self) -> Option<&str> {
        match self {
            State::Failed(why) | State::RolledBack(why) | State::GivenUp(why) => Some(why),
            State::Loading | State::Canary | State::Done => None,
        }
    }

    /// Whether nothing more comes of it.
    pub const fn is_final(&self) -> bool {
        !matches!(self, State::Loading | State::Canary)
    }
}

/// What a canary has shown so far. Numbers are of its present stage, and not older than a second while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CanaryRecord {
    /// Of a million requests.
    pub share: u32,
    /// Which stage it is in, from 1.
    pub stage: usize,
    /// How many there are.
    pub stages: usize,
    /// When the stage is over.
    pub until: Option<SystemTime>,
    /// What came of its requests.
    pub canary: Score,
    /// What came of the old generation's in the same time.
    pub others: Score,
}

/// One reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Counts them, from 1; rollbacks by hand are counted, too.
    pub number: u64,
    /// What asked for it.
    pub by: String,
    /// How it goes.
    pub way: Way,
    /// How far it has come.
    pub state: State,
    /// When it began.
    pub began: SystemTime,
    /// When its state became final.
    pub ended: Option<SystemTime>,
    /// The generation that served when it began; 0 where that was another image of the process.
    pub old: u64,
    /// The generation that it made, or put back.
    pub new: Option<u64>,
    /// What the canary showed, if there was one.
    pub canary: Option<CanaryRecord>,
}

/// A generation that could be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub generation: u64,
    /// Until when.
    pub until: SystemTime,
}

/// Everything at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The last reload that has begun.
    pub last: Option<Reload>,
    /// Reloads that ended well.
    pub done: u64,
    /// That failed before they served anybody.
    pub failed: u64,
    /// That were withdrawn by a canary's numbers, or by hand while it ran.
    pub rolled_back: u64,
    /// The generation before, while it is kept.
    pub kept: Option<Kept>,
}

/// The place where it stands. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ReloadRecord(Arc<Mutex<Snapshot>>);

impl ReloadRecord {
    /// Of a process that has started anew in its own place: that was the last reload.
    pub(super) fn of_rebirth(since: SystemTime) -> Self {
        let record = Self::default();
        record.lock().last = Some(Reload {
            number: 1,
            by: "the process started anew".to_owned(),
            way: Way::Exec,
            state: State::Done,
            began: since,
            ended: Some(SystemTime::now()),
            old: 0,
            new: Some(1),
            canary: None,
        });
        record.lock().done = 1;
        record
    }

    /// What is known now.
    pub fn read(&self) -> Snapshot {
        self.lock().clone()
    }

    /// A reload begins. One that has not ended is given up by it.
    pub(super) fn begin(&self, by: &str, way: Way, old: u64) {
        self.end(State::GivenUp("another reload came".to_owned()));
        let mut now = self.lock();
        let number = now.last.as_ref().map_or(0, |last| last.number) + 1;
        now.last = Some(Reload {
            number,
            by: by.to_owned(),
            way,
            state: State::Loading,
            began: SystemTime::now(),
            ended: None,
            old,
            new: None,
            canary: None,
        });
    }

    /// It goes another way than it was thought to.
    pub(super) fn goes(&self, way: Way) {
        self.change(|reload| reload.way = way);
    }

    /// The generation that it makes.
    pub(super) fn makes(&self, generation: u64) {
        self.change(|reload| reload.new = Some(generation));
    }

    /// How its canary does.
    pub(super) fn canary(&self, canary: CanaryRecord) {
        self.change(|reload| {
            reload.state = State::Canary;
            reload.canary = Some(canary);
        });
    }

    /// It has ended; what has ended stays as it is.
    pub(super) fn end(&self, state: State) {
        let mut now = self.lock();
        let now = &mut *now;
        let Some(last) = &mut now.last else {
            return;
        };
        if last.state.is_final() {
            return;
        }
        let counter = match &state {
            State::Done => Some(&mut now.done),
            State::Failed(_) => Some(&mut now.failed),
            State::RolledBack(_) => Some(&mut now.rolled_back),
            State::Loading | State::Canary | State::GivenUp(_) => None,
        };
        if let Some(counter) = counter {
            *counter += 1;
        }
        last.state = state;
        last.ended = Some(SystemTime::now());
    }

    /// A generation is kept, or none.
    pub(super) fn keeps(&self, kept: Option<Kept>) {
        self.lock().kept = kept;
    }

    /// Changes the last reload, if it has not ended.
    fn change(&self, change: impl FnOnce(&mut Reload)) {
        if let Some(last) = &mut self.lock().last
            && !last.state.is_final()
        {
            change(last);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        // Every change is complete before the lock is let go of.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reload_is_told() {
        let record = ReloadRecord::default();
        assert_eq!(record.read(), Snapshot::default());
        record.begin("SIGHUP", Way::Swap, 1);
        record.makes(2);
        record.canary(CanaryRecord::default());
        let told = record.clone().read().last.expect("one has begun");
        assert_eq!((told.number, told.old, told.new), (1, 1, Some(2)));
        assert_eq!((told.state, told.ended), (State::Canary, None));
        record.end(State::RolledBack("5 of 20 failed".to_owned()));
        // What comes late changes nothing.
        record.end(State::Done);
        record.canary(CanaryRecord::default());
        record.makes(9);
        let read = record.read();
        let told = read.last.expect("one has begun");
        assert_eq!(told.state.word(), "rolled back");
        assert_eq!(told.state.reason(), Some("5 of 20 failed"));
        assert_eq!((told.new, told.ended.is_some()), (Some(2), true));
        assert_eq!((read.done, read.failed, read.rolled_back), (0, 0, 1));
    }

    #[test]
    fn one_that_has_not_ended_is_given_up_by_the_next() {
        let record = ReloadRecord::default();
        record.begin("SIGHUP", Way::Swap, 1);
        record.begin("SIGHUP", Way::Swap, 1);
        record.end(State::Done);
        let read = record.read();
        assert_eq!((read.done, read.failed), (1, 0));
        assert_eq!(read.last.map(|last| last.number), Some(2));
    }
}
