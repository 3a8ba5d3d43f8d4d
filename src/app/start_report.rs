//! How the start of a generation, of an interpreter and of a thread went, and how long it is waited
//! for.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, at, never};
use crossbeam::select;

use crate::python::{InterpreterHandle, Isolation, RuntimeError};

use super::apps::{AppReport, NotLoaded};
use super::probe::Unanswered;
use super::worker_group::WorkerGroup;

/// How the start of a generation went, for the start-up report.
#[derive(Debug)]
pub struct Report {
    /// How interpreters were made.
    pub isolation: Isolation,
    pub why: String,
    /// The workers are not made as they were asked for.
    pub shape_change: Option<ShapeChange>,
    /// What was loaded, each application in order, or why nothing was.
    pub loaded: Result<Vec<AppReport>, String>,
    /// How long each interpreter took, its application's loading included.
    pub interpreters: Vec<Duration>,
    pub most: usize,
    pub threads: usize,
}

/// Interpreters that were asked for and became threads of the main one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapeChange {
    /// Interpreters that were asked for.
    pub processes: usize,
    /// Threads of each.
    pub threads: usize,
}

impl fmt::Display for ShapeChange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processes, threads } = *self;
        let all = processes * threads;
        write!(
            out,
            "processes = {processes} with threads = {threads} are {all} threads of one \
             interpreter here: they share modules and their state, as threads do"
        )?;
        if threads == 1 {
            write!(
                out,
                ". An application that counts on one request at a time in an interpreter needs \
                 --processes 1 --threads 1"
            )?;
        }
        Ok(())
    }
}

/// Why there is no generation.
#[derive(Debug)]
pub enum StartError {
    /// No application could be loaded; or one that another interpreter has could not.
    Load(NotLoaded),
    /// The application loads, and does not answer as it should.
    Probe(Unanswered),
    /// An interpreter could not be made.
    Runtime(RuntimeError),
    Thread(io::Error),
    /// A worker ended without a word: it panicked while it started.
    Panicked,
    /// It took longer than it may.
    TooLate,
    /// It is not wanted any more.
    Cancelled,
    /// It could live in the main interpreter only, and that has had an application.
    MainIsTaken,
    /// The interpreter that was to be replaced has left already.
    Gone,
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Load(failures) => failures.fmt(out),
            StartError::Probe(unanswered) => unanswered.fmt(out),
            StartError::Runtime(error) => error.fmt(out),
            StartError::Thread(error) => write!(
                out,
                "cannot start a thread: {error}. Lower --processes or --threads, or raise the limit (ulimit -u)"
            ),
            StartError::Panicked => {
                write!(out, "a worker panicked while it started; this is a bug")
            }
            StartError::TooLate => write!(
                out,
                "the application was still loading when the time was up (--reload-timeout)"
            ),
            StartError::Gone => write!(out, "the interpreter has left already"),
            StartError::Cancelled => write!(out, "the server stops"),
            StartError::MainIsTaken => write!(
                out,
                "this application lives in the main interpreter, which cannot be renewed inside a running process"
            ),
        }
    }
}

impl std::error::Error for StartError {}

/// How long a report is waited for.
#[derive(Clone, Debug)]
pub struct Deadlines {
    pub until: Option<Instant>,
    /// Or until the other end of this is dropped.
    pub cancelled: Receiver<Infallible>,
}

impl Deadlines {
    /// For as long as it takes.
    pub fn endless() -> Self {
        Self {
            until: None,
            cancelled: never(),
        }
    }

    /// Waits for this long.
    pub fn pause(&self, time: Duration) -> Result<(), StartError> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return Err(StartError::TooLate);
        }
        select! {
            recv(self.cancelled) -> _ => Err(StartError::Cancelled),
            default(time) => Ok(()),
        }
    }

    pub(super) fn receive(
        &self,
        reported: &Receiver<StartReport>,
    ) -> Result<StartReport, StartError> {
        let overdue = self.until.map_or_else(never, at);
        select! {
            // Every thread reports; a channel that closes without has lost one to a panic.
            recv(reported) -> report => report.map_err(|_| StartError::Panicked),
            recv(self.cancelled) -> _ => Err(StartError::Cancelled),
            recv(overdue) -> _ => Err(StartError::TooLate),
        }
    }
}

/// How one thread's start went.
pub(super) struct StartReport {
    pub(super) group: Arc<WorkerGroup>,
    pub(super) elapsed: Duration,
    pub(super) result: Result<InterpreterHandle, StartError>,
}
