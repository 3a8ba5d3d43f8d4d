//! Which task of a directory is next. Pure: the time comes from the caller.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::name::Place;

/// Tasks in memory. Of a fuller directory the first ones are kept, and it is read again later.
const READY_MAX: usize = 20_000;

/// Why a task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// For this time, which its file has.
    Until(SystemTime),
    /// For the next look: its handler wants it tried again. The time is that of its file.
    Retry(Option<SystemTime>),
    /// For the next look, or a change: another process has it.
    Locked,
}

/// Where a task was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// In a look at the whole directory.
    Look,
    /// The system or a caller tells of a change.
    Change,
}

#[derive(Default)]
pub struct Schedule {
    ready: BTreeSet<Place>,
    waiting: HashMap<PathBuf, (Place, Wait)>,
    times: BTreeMap<(SystemTime, PathBuf), ()>,
    running: BTreeSet<PathBuf>,
    /// There are more tasks in the directory than in memory.
    is_partial: bool,
}

impl Schedule {
    /// A task is in the directory, to run at `time`.
    pub fn note(&mut self, place: Place, time: SystemTime, seen: Seen, now: SystemTime) {
        if self.running.contains(&place.path) || self.ready.contains(&place) {
            return;
        }
        if let Some((_, wait)) = self.waiting.get(&place.path) {
            let stays = match wait {
                Wait::Until(until) => *until == time && time > now,
                Wait::Retry(before) => seen == Seen::Change && *before == Some(time),
                Wait::Locked => false,
            };
            if stays {
                return;
            }
            self.forget(&place.path);
        }
        if time > now {
            self.wait(place, Wait::Until(time));
        } else {
            self.ready.insert(place);
            if self.ready.len() > READY_MAX {
                self.ready.pop_last();
                self.is_partial = true;
            }
        }
    }

    fn wait(&mut self, place: Place, wait: Wait) {
        if let Wait::Until(time) = wait {
            self.times.insert((time, place.path.clone()), ());
        }
        self.waiting.insert(place.path.clone(), (place, wait));
    }

    fn forget(&mut self, path: &Path) -> Option<Place> {
        let (place, wait) = self.waiting.remove(path)?;
        if let Wait::Until(time) = wait {
            self.times.remove(&(time, path.to_owned()));
        }
        Some(place)
    }

    /// The next task to run now. It counts as running until [`release`](Self::release).
    pub fn take(&mut self, now: SystemTime) -> Option<Place> {
        while let Some(((time, path), ())) = self.times.first_key_value()
            && *time <= now
        {
            let path = path.clone();
            if let Some(place) = self.forget(&path) {
                self.ready.insert(place);
            }
        }
        let place = self.ready.pop_first()?;
        self.running.insert(place.path.clone());
        Some(place)
    }

    /// A task that was taken runs no more. `None`: it is gone.
    pub fn release(&mut self, place: Place, wait: Option<Wait>) {
        self.running.remove(&place.path);
        if let Some(wait) = wait {
            self.wait(place, wait);
        }
    }

    /// When the next waiting task is due.
    pub fn next_time(&self) -> Option<SystemTime> {
        self.times.first_key_value().map(|((time, _), ())| *time)
    }

    /// The directory is being read: it is partial only if that is found again.
    pub fn begin_look(&mut self) {
        self.is_partial = false;
    }

    /// Whether the directory has to be read again for more tasks.
    pub fn wants_look(&self) -> bool {
        self.is_partial && self.ready.is_empty()
    }

    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub fn running(&self) -> usize {
        self.running.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn place(number: usize) -> Place {
        let name = format!("uwsgi_spoolfile_on_h_1_{number}_0_{number}_0");
        Place::new(None, &name, PathBuf::from(&name))
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_task_is_taken_once_and_in_order() {
        let mut schedule = Schedule::default();
        for number in [2, 1, 2] {
            schedule.note(place(number), at(5), Seen::Change, at(10));
        }
        assert_eq!(schedule.take(at(10)), Some(place(1)));
        schedule.note(place(1), at(5), Seen::Look, at(10));
        assert_eq!(schedule.take(at(10)), Some(place(2)));
        assert_eq!(schedule.take(at(10)), None);
        assert_eq!(schedule.running(), 2);
        schedule.release(place(1), None);
        assert_eq!(schedule.running(), 1);
    }

    #[test]
    fn a_task_of_later_runs_at_its_time_and_when_that_is_changed() {
        let mut schedule = Schedule::default();
        schedule.note(place(1), at(20), Seen::Look, at(10));
        schedule.note(place(2), at(30), Seen::Look, at(10));
        assert_eq!(schedule.next_time(), Some(at(20)));
        assert_eq!(schedule.take(at(19)), None);
        assert_eq!(schedule.take(at(20)), Some(place(1)));
        schedule.note(place(2), at(15), Seen::Change, at(20));
        assert_eq!(schedule.take(at(20)), Some(place(2)));
        assert_eq!(schedule.next_time(), None);
    }

    #[test]
    fn a_retry_waits_for_the_next_look_and_for_no_event_of_its_own_file() {
        let mut schedule = Schedule::default();
        schedule.note(place(1), at(5), Seen::Look, at(10));
        schedule.take(at(10)).expect("it is ready");
        schedule.release(place(1), Some(Wait::Retry(Some(at(5)))));
        schedule.note(place(1), at(5), Seen::Change, at(10));
        assert_eq!(schedule.take(at(10)), None);
        schedule.note(place(1), at(9), Seen::Change, at(10));
        assert_eq!(schedule.take(at(10)), Some(place(1)), "its time was set");
        schedule.release(place(1), Some(Wait::Retry(Some(at(9)))));
        schedule.note(place(1), at(9), Seen::Look, at(10));
        assert_eq!(schedule.take(at(10)), Some(place(1)));
        schedule.release(place(1), Some(Wait::Locked));
        schedule.note(place(1), at(9), Seen::Change, at(10));
        assert_eq!(
            schedule.take(at(10)),
            Some(place(1)),
            "it was closed elsewhere"
        );
    }

    #[test]
    fn a_full_directory_is_read_again_when_the_first_tasks_are_done() {
        let mut schedule = Schedule::default();
        for number in (0..READY_MAX + 5).rev() {
            schedule.note(place(number), at(5), Seen::Look, at(10));
        }
        assert!(!schedule.wants_look());
        assert_eq!(schedule.take(at(10)), Some(place(0)));
        while schedule.take(at(10)).is_some() {}
        assert!(schedule.wants_look());
    }
}
