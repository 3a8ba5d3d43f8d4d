//! The parts of a process that all its generations use, for the `uwsgi` module among others.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::harakiri::Harakiri;
use super::inspect::stacks::{self, Stacks};
use super::isolation::refused_extensions::RefusedExtensions;
use super::spooler::service::SpoolerService;
use crate::background::alarms::Alarms;
use crate::background::clockwork::Clockwork;
use crate::shared::cache::Caches;
use crate::shared::locks::Locks;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppRequest {
    /// `uwsgi.reload()`
    Reload,
    /// `uwsgi.stop()`
    Stop,
    /// An extension refuses the interpreters that serve.
    MainInterpreter,
    /// An interpreter could not be ended and stays.
    InterpreterParked,
}

/// Made once, by the server.
pub struct Process {
    /// `uwsgi.lock()`
    pub locks: Locks,
    /// `uwsgi.cache_get()`
    pub caches: Arc<Caches>,
    /// `uwsgi.alarm()`
    pub alarms: Arc<Alarms>,
    /// `uwsgi.spool()`
    pub spooler: Arc<SpoolerService>,
    /// Timers, cron entries, file monitors.
    pub clockwork: Arc<Clockwork>,
    pub refused_extensions: RefusedExtensions,
    /// Ends requests that take too long.
    pub harakiri: Arc<Harakiri>,
    /// Passes a request of the application to the server. Any thread; does not wait.
    pub on_request: Box<dyn Fn(AppRequest) + Send + Sync>,
    /// Bytes of the process: resident and address space; zeros if unknown.
    pub memory: fn() -> (u64, u64),
    /// Bytes of the log file; 0 if the log is none.
    pub log_bytes: fn() -> u64,
    pub set_title: fn(&str),
}

impl Process {
    /// The state of every worker of every generation. Takes little more than `timeout`, also when
    /// code holds a GIL and does not return. Any thread outside of interpreters may call it.
    pub fn stacks(&self, timeout: Duration) -> Stacks {
        stacks::of(&self.harakiri, timeout)
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Process").finish_non_exhaustive()
    }
}
