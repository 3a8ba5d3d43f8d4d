//! The results of the reloader's tasks, and why a reload failed. Made on `sm-reload`, evaluated on
//! the main thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::handover::successor_process::Successor;
use super::resize::Resized;
use super::version::Version;
use crate::app::{Generation, Report, StartError};

pub struct TaskResult {
    pub(super) started: Instant,
    pub(super) outcome: TaskOutcome,
}

pub(super) enum TaskOutcome {
    Loaded(Result<Loaded, Failed>),
    /// The interpreters were replaced one after the other.
    Rolled(Rolled),
    /// A successor has loaded the application and can serve.
    SuccessorReady(Result<Successor, String>),
    /// A worker has a fresh interpreter, beside which the old one ended.
    Replaced {
        worker: usize,
        result: Result<Duration, StartError>,
    },
    /// A worker's old interpreter ended before the fresh one started; `None`: it has not ended.
    ReplacedOldFirst {
        missing: MissingWorker,
        result: Result<Option<Duration>, StartError>,
    },
    /// The number of interpreters has changed.
    Resized(Resized),
}

/// A generation that is ready, and the version that it is of.
pub(super) struct Loaded {
    pub(super) generation: Arc<Generation>,
    pub(super) report: Report,
    pub(super) version: Arc<Version>,
}

pub(super) struct Rolled {
    pub(super) generation: u64,
    pub(super) fresh: usize,
    pub(super) count: usize,
    pub(super) failed: Option<RollingFailure>,
}

/// Why a rolling reload ended early.
pub(super) struct RollingFailure {
    /// The worker that could not be replaced; 0 for none in particular.
    pub(super) worker: usize,
    pub(super) why: Failed,
}

/// A worker that has lost its old interpreter and has no fresh one yet.
pub(super) struct MissingWorker {
    pub(super) generation: u64,
    pub(super) group: u64,
    pub(super) worker: usize,
    pub(super) wanted: usize,
}

impl TaskResult {
    /// Drops the result of a task that is no longer wanted.
    pub fn discard(self) {
        if let TaskOutcome::SuccessorReady(Ok(successor)) = self.outcome {
            successor.kill();
        }
    }
}

pub(super) enum Failed {
    Start(StartError),
    Hook(String),
    /// The successor's report: a line for the log, and perhaps the details, which it has logged.
    Successor(String),
}

impl Failed {
    pub(super) fn text(&self) -> String {
        match self {
            Failed::Start(error) => error.to_string(),
            Failed::Hook(why) => why.clone(),
            Failed::Successor(report) => {
                let details = report.split_once('\n').map(|(_, details)| details);
                details.unwrap_or(report).to_owned()
            }
        }
    }

    /// One line for clients that wait: of a traceback the last one.
    pub(super) fn summary(&self) -> String {
        let text = self.text();
        let mut lines = text.lines().map(str::trim);
        let last = lines.rfind(|line| !line.is_empty());
        last.unwrap_or_default().to_owned()
    }

    /// Logs the details and returns the reason for a log line; `None` if the task was cancelled.
    pub(super) fn reason(&self) -> Option<String> {
        Some(match self {
            Failed::Start(StartError::Cancelled) => return None,
            Failed::Start(error @ StartError::Load(_)) => {
                tracing::error!("{error}");
                "the application could not be loaded, see above".to_owned()
            }
            Failed::Start(StartError::MainIsTaken) => {
                format!("{}; restart the process", StartError::MainIsTaken)
            }
            Failed::Start(error) => error.to_string(),
            Failed::Hook(why) => why.clone(),
            Failed::Successor(report) => report.lines().next().unwrap_or_default().to_owned(),
        })
    }
}
