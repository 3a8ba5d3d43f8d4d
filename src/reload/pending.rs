//! What is to be renewed next: one thing at a time, and nothing asked for twice. Pure; the main thread's.

use std::collections::VecDeque;

use crate::app::Due;

/// Something that takes the place of what serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// The next generation takes the place of the present one, at once or one interpreter after the other.
    Reload {
        /// What asked for it, for the log.
        by: String,
        /// One interpreter after the other.
        is_rolling: bool,
    },
    /// A fresh interpreter takes the place of one.
    Renew(Due),
    /// There are to be more interpreters, or fewer.
    Change(Change),
}

/// Another number of interpreters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// So many more.
    Grow {
        /// How many.
        count: usize,
        /// Why, for the log.
        why: String,
    },
    /// One less.
    Shrink {
        /// Why, for the log.
        why: String,
    },
    /// None, until the next request.
    Rest,
    /// There is none, and a request waits.
    Wake,
}

/// What became of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing else is under way: take it.
    Next,
    /// It waits for what is under way.
    Waits,
    /// The same waits already.
    Known,
}

/// What is under way and what waits.
#[derive(Debug, Default)]
pub struct Agenda {
    is_busy: bool,
    reload: Option<(String, bool)>,
    renewals: VecDeque<Due>,
    change: Option<Change>,
}

impl Agenda {
    /// A reload is wanted. Several that wait become one; it is a swap if one of them was to be.
    pub fn ask_reload(&mut self, by: String, is_rolling: bool) -> Asked {
        // A new generation has new interpreters: whatever was due is settled by it.
        self.renewals.clear();
        // And is as large as the present one is then; but whoever waits for an interpreter waits still.
        self.change.take_if(|change| *change != Change::Wake);
        match &mut self.reload {
            Some((_, waiting)) => {
                *waiting &= is_rolling;
                Asked::Known
            }
            None => {
                self.reload = Some((by, is_rolling));
                self.fate()
            }
        }
    }

    /// An interpreter is to be renewed.
    pub fn ask_renewal(&mut self, renewal: Due) -> Asked {
        let is_known =
            |known: &Due| (known.generation, known.crew) == (renewal.generation, renewal.crew);
        if self.reload.is_some() || self.renewals.iter().any(is_known) {
            return Asked::Known;
        }
        self.renewals.push_back(renewal);
        self.fate()
    }

    /// There are to be more interpreters, or fewer. What the operator or a request asks for comes before what a policy
    /// wishes: that looks again.
    pub fn ask_change(&mut self, change: Change) -> Asked {
        match (&self.change, &change) {
            (Some(Change::Wake), _) => Asked::Known,
            (_, Change::Wake) => {
                self.change = Some(change);
                self.fate()
            }
            _ if self.reload.is_some() => Asked::Known,
            _ => {
                self.change = Some(change);
                self.fate()
            }
        }
    }

    fn fate(&self) -> Asked {
        if self.is_busy {
            Asked::Waits
        } else {
            Asked::Next
        }
    }

    /// What to do now, if nothing is under way. It is under way until [`done`](Self::done).
    pub fn take(&mut self) -> Option<Task> {
        if self.is_busy {
            return None;
        }
        let wake = self.change.take_if(|change| *change == Change::Wake);
        let task = if let Some(wake) = wake {
            Task::Change(wake)
        } else if let Some((by, is_rolling)) = self.reload.take() {
            Task::Reload { by, is_rolling }
        } else if let Some(renewal) = self.renewals.pop_front() {
            Task::Renew(renewal)
        } else {
            Task::Change(self.change.take()?)
        };
        self.is_busy = true;
        Some(task)
    }

    /// Whether something is under way.
    pub fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Whether a reload waits.
    pub fn has_reload(&self) -> bool {
        self.reload.is_some()
    }

    /// The reload that waits is not wanted any more.
    pub fn forget_reload(&mut self) {
        self.reload = None;
    }

    /// What was under way goes on with something else.
    pub fn begin(&mut self) {
        self.is_busy = true;
    }

    /// What was under way has ended, one way or the other.
    pub fn done(&mut self) {
        self.is_busy = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reload(by: &str) -> Option<Task> {
        Some(Task::Reload {
            by: by.to_owned(),
            is_rolling: false,
        })
    }

    fn renewal(crew: u64) -> Due {
        Due {
            generation: 1,
            crew,
            worker: 1,
            why: "100 requests".to_owned(),
        }
    }

    #[test]
    fn one_reload_runs_and_one_waits() {
        let mut agenda = Agenda::default();
        assert_eq!(agenda.ask_reload("first".to_owned(), false), Asked::Next);
        assert_eq!(agenda.take(), reload("first"));
        assert_eq!(agenda.ask_reload("second".to_owned(), false), Asked::Waits);
        assert_eq!(agenda.ask_reload("third".to_owned(), false), Asked::Known);
        assert_eq!(agenda.take(), None, "never two at once");
        agenda.done();
        assert_eq!(agenda.take(), reload("second"));
        agenda.done();
        assert_eq!(agenda.take(), None);
    }

    #[test]
    fn a_swap_is_not_weakened_by_a_rolling_reload() {
        let mut agenda = Agenda::default();
        agenda.ask_reload("chain".to_owned(), true);
        agenda.ask_reload("SIGHUP".to_owned(), false);
        assert_eq!(agenda.take(), reload("chain"));
    }

    #[test]
    fn interpreters_are_renewed_one_after_the_other_and_once() {
        let mut agenda = Agenda::default();
        assert_eq!(agenda.ask_renewal(renewal(1)), Asked::Next);
        assert_eq!(agenda.take(), Some(Task::Renew(renewal(1))));
        assert_eq!(agenda.ask_renewal(renewal(2)), Asked::Waits);
        assert_eq!(agenda.ask_renewal(renewal(2)), Asked::Known);
        assert_eq!(agenda.take(), None);
        agenda.done();
        assert_eq!(agenda.take(), Some(Task::Renew(renewal(2))));
    }

    fn grow(count: usize) -> Change {
        Change::Grow {
            count,
            why: String::new(),
        }
    }

    #[test]
    fn a_request_that_waits_for_an_interpreter_comes_first() {
        let mut agenda = Agenda::default();
        agenda.ask_renewal(renewal(1));
        agenda.ask_change(grow(1));
        assert_eq!(agenda.ask_change(Change::Wake), Asked::Next);
        assert_eq!(agenda.ask_change(Change::Rest), Asked::Known);
        agenda.ask_reload("SIGHUP".to_owned(), false);
        assert_eq!(agenda.take(), Some(Task::Change(Change::Wake)));
        agenda.done();
        assert_eq!(agenda.take(), reload("SIGHUP"));
        agenda.done();
        assert_eq!(agenda.take(), None);
    }

    #[test]
    fn a_reload_makes_its_own_number_of_interpreters() {
        let mut agenda = Agenda::default();
        agenda.ask_reload("SIGHUP".to_owned(), false);
        assert_eq!(agenda.ask_change(grow(2)), Asked::Known);
        assert_eq!(agenda.take(), reload("SIGHUP"));
        assert_eq!(agenda.ask_change(grow(3)), Asked::Waits, "of the next one");
        agenda.done();
        assert_eq!(agenda.take(), Some(Task::Change(grow(3))));
    }

    #[test]
    fn a_reload_settles_what_was_due() {
        let mut agenda = Agenda::default();
        agenda.ask_renewal(renewal(1));
        agenda.ask_reload("SIGHUP".to_owned(), false);
        assert_eq!(agenda.ask_renewal(renewal(2)), Asked::Known);
        assert_eq!(agenda.take(), reload("SIGHUP"));
        agenda.done();
        assert_eq!(agenda.take(), None);
    }
}
