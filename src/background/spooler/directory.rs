//! A spooler's directory at work: its schedule, its counters, and the threads that wait for a task.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use super::folder::{Claim, Folder, NewTask, NotClaimed, NotSpooled, Tries};
use super::name::Place;
use super::schedule::{Schedule, Seen, Wait};

/// The longest pause between two tries.
const DELAY_MAX: Duration = Duration::from_secs(60 * 60);

/// When a task is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryRules {
    /// The pause after the first try; it doubles. `None`: until the next look, as in uWSGI.
    pub delay: Option<Duration>,
    /// After so many tries a task goes to `failed/`.
    pub tries_max: Option<u32>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `SPOOL_OK`
    Done,
    /// `SPOOL_RETRY`, and what is no number.
    Retry,
    /// `SPOOL_IGNORE`: for another spooler.
    Ignored,
    /// The handler raised: its traceback.
    Raised(String),
}

/// What a directory's tasks came to since the server's start.
#[derive(Default)]
pub struct Counters {
    pub added: AtomicU64,
    pub done: AtomicU64,
    /// Runs that ended otherwise.
    pub retried: AtomicU64,
    /// Of these, runs that raised.
    pub raised: AtomicU64,
    /// Tasks in `failed/` and files in `broken/`.
    pub failed: AtomicU64,
    pub broken: AtomicU64,
}

/// A task that is run.
pub struct Running {
    pub claim: Claim,
    place: Place,
}

struct State {
    schedule: Schedule,
    next_look: Instant,
    /// Tasks that are done, and cannot be removed: their locks are kept.
    undeletable: Vec<Running>,
    last_failure: Option<String>,
    has_failed_to_look: bool,
}

pub struct Directory {
    pub folder: Folder,
    /// Another server runs its tasks.
    pub is_external: bool,
    pub counters: Counters,
    state: Mutex<State>,
    changed: Condvar,
    frequency: Mutex<Duration>,
    rules: RetryRules,
}

fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Directory {
    pub fn new(folder: Folder, is_external: bool, frequency: Duration, rules: RetryRules) -> Self {
        Self {
            folder,
            is_external,
            counters: Counters::default(),
            state: Mutex::new(State {
                schedule: Schedule::default(),
                next_look: Instant::now(),
                undeletable: Vec::new(),
                last_failure: None,
                has_failed_to_look: false,
            }),
            changed: Condvar::new(),
            frequency: Mutex::new(frequency),
            rules,
        }
    }

    /// Puts a task into the directory and wakes a spooler.
    pub fn add(&self, task: &NewTask) -> Result<PathBuf, NotSpooled> {
        let path = self.folder.add(task)?;
        add_one(&self.counters.added);
        if !self.is_external {
            self.note_change(&path);
        }
        Ok(path)
    }

    /// A file has changed, or is new.
    pub fn note_change(&self, path: &Path) {
        let Some(place) = self.folder.place_of(path) else {
            return;
        };
        let Some(time) = Folder::time_of(path) else {
            return;
        };
        let mut state = self.state.lock();
        state
            .schedule
            .note(place, time, Seen::Change, SystemTime::now());
        drop(state);
        self.changed.notify_one();
    }

    /// Changes may have been missed.
    pub fn look_again(&self) {
        self.state.lock().next_look = Instant::now();
        self.changed.notify_one();
    }

    pub fn set_frequency(&self, frequency: Duration) {
        *self.frequency.lock() = frequency;
        self.look_again();
    }

    /// Threads that wait look at their conditions again.
    pub fn wake_all(&self) {
        // A thread that has looked and does not wait yet holds this.
        drop(self.state.lock());
        self.changed.notify_all();
    }

    /// Waits until `is_over`, or a task can be run, or until `deadline`. `may_run`: whether tasks
    /// are run at present. Both are asked again after [`wake_all`](Self::wake_all).
    pub fn next(
        &self,
        is_over: &dyn Fn() -> bool,
        may_run: &dyn Fn() -> bool,
        deadline: Option<Instant>,
    ) -> Option<Running> {
        loop {
            if is_over() {
                return None;
            }
            if may_run()
                && let Some(running) = self.take()
            {
                return Some(running);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return None;
            }
            let mut state = self.state.lock();
            let is_due = may_run() && self.is_due(&state);
            if is_over() || is_due {
                continue;
            }
            let until = if may_run() {
                Some(self.next_event(&state))
            } else {
                None
            };
            let until = [until, deadline].into_iter().flatten().min();
            match until {
                Some(until) => drop(self.changed.wait_until(&mut state, until)),
                None => self.changed.wait(&mut state),
            }
        }
    }

    fn is_due(&self, state: &State) -> bool {
        let is_time = |time| time <= SystemTime::now();
        state.schedule.has_ready()
            || state.schedule.wants_look()
            || state.schedule.next_time().is_some_and(is_time)
            || state.next_look <= Instant::now()
    }

    fn next_event(&self, state: &State) -> Instant {
        let now = SystemTime::now();
        let due = state.schedule.next_time().map(|time| {
            Instant::now() + time.duration_since(now).unwrap_or_default().min(DELAY_MAX)
        });
        due.map_or(state.next_look, |due| due.min(state.next_look))
    }

    /// A task to run now.
    fn take(&self) -> Option<Running> {
        self.look_if_due();
        loop {
            let place = self.state.lock().schedule.take(SystemTime::now())?;
            let claimed = self.folder.claim(&place.path);
            let mut state = self.state.lock();
            let wait = match claimed {
                Ok(claim) => {
                    let is_more = state.schedule.has_ready();
                    drop(state);
                    if is_more {
                        self.changed.notify_one();
                    }
                    return Some(Running { claim, place });
                }
                Err(NotClaimed::Gone) => None,
                Err(NotClaimed::Broken(why)) => {
                    add_one(&self.counters.broken);
                    state.last_failure = Some(format!("{}: {why}", place.path.display()));
                    None
                }
                Err(NotClaimed::Locked) => Some(Wait::Locked),
                Err(NotClaimed::Early(time)) => Some(Wait::Until(time)),
                Err(NotClaimed::Disk(error)) => {
                    let text = format!("cannot read {}: {error}", place.path.display());
                    tracing::error!("spooler: {text}");
                    state.last_failure = Some(text);
                    Some(Wait::Retry(Folder::time_of(&place.path)))
                }
            };
            state.schedule.release(place, wait);
        }
    }

    /// Reads the directory at its time.
    fn look_if_due(&self) {
        let mut state = self.state.lock();
        if state.next_look > Instant::now() && !state.schedule.wants_look() {
            return;
        }
        state.next_look = Instant::now() + *self.frequency.lock();
        let undeletable = std::mem::take(&mut state.undeletable);
        drop(state);
        for running in undeletable {
            self.remove(running);
        }
        let found = self.folder.scan();
        let now = SystemTime::now();
        let found = found.map(|places| {
            let timed = places.into_iter().filter_map(|place| {
                let time = Folder::time_of(&place.path)?;
                Some((place, time))
            });
            timed.collect::<Vec<_>>()
        });
        let mut state = self.state.lock();
        match found {
            Ok(found) => {
                state.has_failed_to_look = false;
                state.schedule.begin_look();
                for (place, time) in found {
                    state.schedule.note(place, time, Seen::Look, now);
                }
            }
            Err(error) => {
                let text = format!("cannot read {}: {error}", self.folder.path.display());
                if !std::mem::replace(&mut state.has_failed_to_look, true) {
                    tracing::error!("spooler: {text}; it is tried again and again");
                }
                state.last_failure = Some(text);
            }
        }
    }

    /// A run has ended. Returns whether the task is done and its file gone.
    pub fn finish(&self, running: Running, outcome: Outcome) -> bool {
        if outcome == Outcome::Done {
            return self.remove(running);
        }
        self.keep(running, outcome);
        false
    }

    /// A run has ended, and the task is not done.
    fn keep(&self, running: Running, outcome: Outcome) {
        let name = running.claim.path.display().to_string();
        let why = match outcome {
            Outcome::Done | Outcome::Ignored => {
                let wait = Wait::Retry(Folder::time_of(&running.claim.path));
                return self.release(running, Some(wait));
            }
            Outcome::Retry => None,
            Outcome::Raised(why) => {
                add_one(&self.counters.raised);
                self.state.lock().last_failure = Some(format!("{name}\n{why}"));
                Some(why)
            }
        };
        add_one(&self.counters.retried);
        // `@spoolforever`: to run again and again is no failure.
        let is_endless = running.claim.packet.value(b"ud_spool_ret") == Some(b"-1");
        let counts = !(is_endless && why.is_none());
        let has_rules = self.rules.delay.is_some() || self.rules.tries_max.is_some();
        let tries = if counts && (has_rules || why.is_some()) {
            let why = why.as_deref().unwrap_or_default();
            self.folder.note_try(&running.claim.path, why)
        } else {
            Tries::default()
        };
        if counts && self.rules.tries_max.is_some_and(|max| tries.count >= max) {
            return self.give_up(running, tries.count);
        }
        let wait = match self.rules.delay.filter(|_| counts) {
            None => Wait::Retry(Folder::time_of(&running.claim.path)),
            Some(delay) => {
                let doubled = delay.saturating_mul(1 << tries.count.clamp(1, 20) >> 1);
                let until = SystemTime::now() + doubled.min(DELAY_MAX);
                match self.folder.postpone(&running.claim, until) {
                    Ok(()) => Wait::Until(Folder::time_of(&running.claim.path).unwrap_or(until)),
                    Err(error) => {
                        tracing::warn!("cannot set the time of {name}: {error}");
                        Wait::Until(until)
                    }
                }
            }
        };
        self.release(running, Some(wait));
    }

    fn give_up(&self, running: Running, tries: u32) {
        let name = running.claim.path.display().to_string();
        match self.folder.give_up(&running.claim) {
            Ok(to) => {
                add_one(&self.counters.failed);
                tracing::error!(
                    "a task has failed {tries} times (--spooler-retry-max) and is kept as {}",
                    to.display()
                );
                self.release(running, None);
            }
            Err(error) => {
                tracing::error!("cannot move {name} to failed/: {error}");
                let wait = Wait::Retry(Folder::time_of(&running.claim.path));
                self.release(running, Some(wait));
            }
        }
    }

    /// Removes a task that is done. If that fails, it is tried at every look, and the task's lock
    /// is kept so that no other process runs it again. Returns whether it is gone.
    fn remove(&self, running: Running) -> bool {
        match self.folder.done(&running.claim) {
            Ok(()) => {
                add_one(&self.counters.done);
                self.release(running, None);
                true
            }
            Err(error) => {
                let path = running.claim.path.display();
                let text = format!("{path} is done and cannot be removed: {error}");
                tracing::error!("spooler: {text}; if this process ends now, it runs again");
                let mut state = self.state.lock();
                state.last_failure = Some(text);
                state.undeletable.push(running);
                false
            }
        }
    }

    fn release(&self, running: Running, wait: Option<Wait>) {
        let Running { claim, place } = running;
        // Unlocks the file.
        drop(claim);
        let mut state = self.state.lock();
        state.schedule.release(place, wait);
        drop(state);
        // A thread that waits for the end of all tasks, or for this one's next time.
        self.changed.notify_all();
    }

    /// Tasks that are run now.
    pub fn running(&self) -> usize {
        let state = self.state.lock();
        state.schedule.running() - state.undeletable.len()
    }

    /// Waits until no task is run, or until the deadline. Returns how many are.
    pub fn wait_until_idle(&self, deadline: Instant) -> usize {
        let mut state = self.state.lock();
        loop {
            let running = state.schedule.running() - state.undeletable.len();
            if running == 0 || self.changed.wait_until(&mut state, deadline).timed_out() {
                return running;
            }
        }
    }

    /// The last failure, for people.
    pub fn last_failure(&self) -> Option<String> {
        self.state.lock().last_failure.clone()
    }

    /// The tasks in the directory.
    pub fn tasks(&self) -> io::Result<Vec<Place>> {
        self.folder.scan()
    }
}
