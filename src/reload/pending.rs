//! The renewals that wait: one runs at a time, and a request that repeats a waiting one is merged
//! with it. Pure; used by the main thread.

use std::collections::VecDeque;

use crate::app::RecycleRequest;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Load a new version of the application.
    Reload {
        /// What asked for it, for the log.
        by: String,
        /// One interpreter after the other.
        is_rolling: bool,
    },
    Replace(RecycleRequest),
    /// Change the number of interpreters.
    Resize(Resize),
}

/// Another number of interpreters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resize {
    Grow {
        count: usize,
        /// Why, for the log.
        why: String,
    },
    Shrink {
        /// Why, for the log.
        why: String,
    },
    /// None, until the next request.
    Rest,
    Wake,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Next,
    Waits,
    /// A waiting request covers it.
    Merged,
}

/// The task that runs and the ones that wait.
#[derive(Debug, Default)]
pub struct PendingRenewals {
    is_busy: bool,
    reload: Option<PendingReload>,
    replacements: VecDeque<RecycleRequest>,
    resize: Option<Resize>,
}

#[derive(Debug)]
struct PendingReload {
    by: String,
    is_rolling: bool,
}

impl PendingRenewals {
    /// Asks for a reload. Several that wait become one; it is a swap if one of them is to be.
    pub fn ask_reload(&mut self, by: String, is_rolling: bool) -> Asked {
        // The new generation has fresh interpreters, and as many as the old one has then. A
        // request that waits for an interpreter still waits.
        self.replacements.clear();
        self.resize.take_if(|resize| *resize != Resize::Wake);
        match &mut self.reload {
            Some(waiting) => {
                waiting.is_rolling &= is_rolling;
                Asked::Merged
            }
            None => {
                self.reload = Some(PendingReload { by, is_rolling });
                self.answer()
            }
        }
    }

    pub fn ask_replacement(&mut self, due: RecycleRequest) -> Asked {
        let is_known =
            |known: &RecycleRequest| (known.generation, known.group) == (due.generation, due.group);
        if self.reload.is_some() || self.replacements.iter().any(is_known) {
            return Asked::Merged;
        }
        self.replacements.push_back(due);
        self.answer()
    }

    /// Asks for more interpreters, or fewer. A request from the operator or for a waiting client
    /// replaces one of the policy, which looks again later.
    pub fn ask_resize(&mut self, resize: Resize) -> Asked {
        match (&self.resize, &resize) {
            (Some(Resize::Wake), _) => Asked::Merged,
            (_, Resize::Wake) => {
                self.resize = Some(resize);
                self.answer()
            }
            _ if self.reload.is_some() => Asked::Merged,
            _ => {
                self.resize = Some(resize);
                self.answer()
            }
        }
    }

    fn answer(&self) -> Asked {
        if self.is_busy {
            Asked::Waits
        } else {
            Asked::Next
        }
    }

    /// The next task, unless one runs. It runs until [`done`](Self::done).
    pub fn take(&mut self) -> Option<Task> {
        if self.is_busy {
            return None;
        }
        let wake = self.resize.take_if(|resize| *resize == Resize::Wake);
        let task = if let Some(wake) = wake {
            Task::Resize(wake)
        } else if let Some(PendingReload { by, is_rolling }) = self.reload.take() {
            Task::Reload { by, is_rolling }
        } else if let Some(due) = self.replacements.pop_front() {
            Task::Replace(due)
        } else {
            Task::Resize(self.resize.take()?)
        };
        self.is_busy = true;
        Some(task)
    }

    pub fn is_busy(&self) -> bool {
        self.is_busy
    }

    pub fn has_reload(&self) -> bool {
        self.reload.is_some()
    }

    pub fn cancel_reload(&mut self) {
        self.reload = None;
    }

    /// The task that ran goes on with a further step.
    pub fn begin(&mut self) {
        self.is_busy = true;
    }

    /// The task that ran has ended.
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

    fn due(group: u64) -> RecycleRequest {
        RecycleRequest {
            generation: 1,
            group,
            worker: 1,
            why: "100 requests".to_owned(),
        }
    }

    #[test]
    fn one_reload_runs_and_one_waits() {
        let mut pending = PendingRenewals::default();
        assert_eq!(pending.ask_reload("first".to_owned(), false), Asked::Next);
        assert_eq!(pending.take(), reload("first"));
        assert_eq!(pending.ask_reload("second".to_owned(), false), Asked::Waits);
        assert_eq!(pending.ask_reload("third".to_owned(), false), Asked::Merged);
        assert_eq!(pending.take(), None, "never two at once");
        pending.done();
        assert_eq!(pending.take(), reload("second"));
        pending.done();
        assert_eq!(pending.take(), None);
    }

    #[test]
    fn a_swap_is_not_weakened_by_a_rolling_reload() {
        let mut pending = PendingRenewals::default();
        pending.ask_reload("chain".to_owned(), true);
        pending.ask_reload("SIGHUP".to_owned(), false);
        assert_eq!(pending.take(), reload("chain"));
    }

    #[test]
    fn interpreters_are_replaced_one_after_the_other_and_once() {
        let mut pending = PendingRenewals::default();
        assert_eq!(pending.ask_replacement(due(1)), Asked::Next);
        assert_eq!(pending.take(), Some(Task::Replace(due(1))));
        assert_eq!(pending.ask_replacement(due(2)), Asked::Waits);
        assert_eq!(pending.ask_replacement(due(2)), Asked::Merged);
        assert_eq!(pending.take(), None);
        pending.done();
        assert_eq!(pending.take(), Some(Task::Replace(due(2))));
    }

    fn grow(count: usize) -> Resize {
        Resize::Grow {
            count,
            why: String::new(),
        }
    }

    #[test]
    fn a_request_that_waits_for_an_interpreter_comes_first() {
        let mut pending = PendingRenewals::default();
        pending.ask_replacement(due(1));
        pending.ask_resize(grow(1));
        assert_eq!(pending.ask_resize(Resize::Wake), Asked::Next);
        assert_eq!(pending.ask_resize(Resize::Rest), Asked::Merged);
        pending.ask_reload("SIGHUP".to_owned(), false);
        assert_eq!(pending.take(), Some(Task::Resize(Resize::Wake)));
        pending.done();
        assert_eq!(pending.take(), reload("SIGHUP"));
        pending.done();
        assert_eq!(pending.take(), None);
    }

    #[test]
    fn a_reload_makes_its_own_number_of_interpreters() {
        let mut pending = PendingRenewals::default();
        pending.ask_reload("SIGHUP".to_owned(), false);
        assert_eq!(pending.ask_resize(grow(2)), Asked::Merged);
        assert_eq!(pending.take(), reload("SIGHUP"));
        assert_eq!(pending.ask_resize(grow(3)), Asked::Waits, "of the next one");
        pending.done();
        assert_eq!(pending.take(), Some(Task::Resize(grow(3))));
    }

    #[test]
    fn a_reload_replaces_the_interpreters_that_are_due() {
        let mut pending = PendingRenewals::default();
        pending.ask_replacement(due(1));
        pending.ask_reload("SIGHUP".to_owned(), false);
        assert_eq!(pending.ask_replacement(due(2)), Asked::Merged);
        assert_eq!(pending.take(), reload("SIGHUP"));
        pending.done();
        assert_eq!(pending.take(), None);
    }
}
