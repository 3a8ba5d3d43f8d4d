//! What all generations of a process have around them: the part of the `uwsgi` module's answers
//! that outlives each of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::harakiri::Harakiri;
use super::inspect::stacks::{self, Stacks};
use super::isolation::refused_extensions::RefusedExtensions;
use crate::background::alarms::Alarms;
use crate::background::clockwork::Clockwork;
use crate::shared::locks::Locks;

/// What the application asks of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppRequest {
    /// `uwsgi.reload()`
    Reload,
    /// `uwsgi.stop()`
    Stop,
    /// An extension that it imports refuses the interpreters that serve.
    MainInterpreter,
}

/// See the file's header. Made once, by the server.
pub struct Process {
    /// `uwsgi.lock()`
    pub locks: Locks,
    /// `uwsgi.alarm()`
    pub alarms: Arc<Alarms>,
    /// Timers, cron entries, file monitors.
    pub clockwork: Arc<Clockwork>,
    /// Extensions that have refused interpreters.
    pub refused_extensions: RefusedExtensions,
    /// Ends requests that take too long.
    pub harakiri: Arc<Harakiri>,
    /// Tells the server what the application wants. Any thread; does not wait.
    pub on_request: Box<dyn Fn(AppRequest) + Send + Sync>,
    /// Bytes of the process: resident, and of address space; zeros where the system does not tell.
    pub memory: fn() -> (u64, u64),
    pub set_title: fn(&str),
}

impl Process {
    /// What every worker of every generation does at this moment. Takes `timeout` and a moment at
    /// most, also when a GIL is held by code that does not return. Any thread that has no part in
    /// an interpreter may call it.
    pub fn stacks(&self, timeout: Duration) -> Stacks {
        stacks::of(&self.harakiri, timeout)
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Process").finish_non_exhaustive()
    }
}
