//! Results of starting a generation, an interpreter or a thread, and the time limits of a start.

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

#[derive(Debug)]
pub struct Report {
    pub isolation: Isolation,
    pub why: String,
    /// Set if the workers differ from the configured ones.
    pub shape_change: Option<ShapeChange>,
    pub loaded: Result<Vec<AppReport>, String>,
    /// The start time of each interpreter, with the loading of its applications.
    pub interpreters: Vec<Duration>,
    pub most: usize,
    pub threads: usize,
}

/// Configured interpreters that became threads of the main one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapeChange {
    pub processes: usize,
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

#[derive(Debug)]
pub enum StartError {
    Load(NotLoaded),
    /// The application loads, but fails the probe.
    Probe(Unanswered),
    Runtime(RuntimeError),
    Thread(io::Error),
    Panicked,
    /// The time limit has passed.
    TooLate,
    Cancelled,
    /// Only the main interpreter would do, and an application was loaded there before.
    MainIsTaken,
    /// The interpreter to replace has left already.
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
                "cannot start a thread: {error}. Lower --processes or --threads, or raise the limit of threads (ulimit -u) or of the address space (limit-as, ulimit -v)"
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

#[derive(Clone, Debug)]
pub struct Deadlines {
    pub until: Option<Instant>,
    pub cancelled: Receiver<Infallible>,
}

impl Deadlines {
    pub fn endless() -> Self {
        Self {
            until: None,
            cancelled: never(),
        }
    }

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
            // Every thread reports; a closed channel means that one panicked.
            recv(reported) -> report => report.map_err(|_| StartError::Panicked),
            recv(self.cancelled) -> _ => Err(StartError::Cancelled),
            recv(overdue) -> _ => Err(StartError::TooLate),
        }
    }
}

pub(super) struct StartReport {
    pub(super) group: Arc<WorkerGroup>,
    pub(super) elapsed: Duration,
    pub(super) result: Result<InterpreterHandle, StartError>,
}
