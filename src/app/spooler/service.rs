//! The spooler of a process, which all generations share: the directories, the settings, the
//! deadlines. Any thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::deadlines::Deadlines;
use crate::background::spooler::directory::Directory;
use crate::background::spooler::folder::Folder;
use crate::background::spooler::{Packet, Spooler};
use crate::config::SpoolerConfig;
use crate::python::{SpoolTask, TargetKind};

/// The spooler of a process.
#[derive(Default)]
pub struct SpoolerService {
    pub files: Spooler,
    pub config: SpoolerConfig,
    /// `--spooler-import`
    pub imports: Vec<TargetKind>,
    pub(super) deadlines: Arc<Deadlines>,
    /// Counts how often interpreters were to be renewed.
    pub(super) renewals: AtomicU64,
    pub(super) has_warned: AtomicBool,
}

/// One directory, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectoryStatus {
    pub path: String,
    pub is_external: bool,
    /// Tasks that are there, those that run included.
    pub tasks: usize,
    pub running: usize,
    /// Seconds since the oldest one was due.
    pub oldest_seconds: u64,
    pub added: u64,
    pub done: u64,
    pub retried: u64,
    pub raised: u64,
    pub failed: u64,
    pub broken: u64,
    pub last_failure: Option<String>,
}

impl SpoolerService {
    pub fn new(files: Spooler, config: SpoolerConfig, imports: Vec<TargetKind>) -> Self {
        Self {
            files,
            config,
            imports,
            ..Self::default()
        }
    }

    /// The paths of all directories.
    pub fn paths(&self) -> Vec<String> {
        let all = self.files.directories().iter();
        all.map(|one| one.folder.path.display().to_string())
            .collect()
    }

    /// Adds a task.
    pub(in crate::app) fn add(&self, task: SpoolTask) -> Result<PathBuf, String> {
        let SpoolTask { pairs, body } = task;
        let path = self.files.add(Packet { pairs, body })?;
        tracing::debug!("[spooler] written {}", path.display());
        Ok(path)
    }

    /// The tasks of the first directory itself, in their order; as in uWSGI.
    pub(in crate::app) fn tasks(&self) -> Vec<PathBuf> {
        let Some(first) = self.files.directories().first() else {
            return Vec::new();
        };
        let mut places = first.tasks().unwrap_or_default();
        places.sort();
        let paths = places.into_iter().map(|place| place.path);
        paths
            .filter(|path| path.parent() == Some(&first.folder.path))
            .collect()
    }

    /// The task at a path, unless it is being run.
    pub(in crate::app) fn task_at(&self, path: &Path) -> Option<SpoolTask> {
        let first = self.files.directories().first()?;
        let Packet { pairs, body } = first.folder.read(path).ok()?;
        Some(SpoolTask { pairs, body })
    }

    /// The directory of the tasks that a thread of Python runs.
    pub(in crate::app) fn folder_of(&self, thread: u64) -> Option<PathBuf> {
        self.deadlines
            .record_of(thread)
            .map(|one| one.folder.clone())
    }

    /// Limits the current task of a thread, if it is the spooler's.
    pub(in crate::app) fn limit(&self, thread: u64, limit: Option<Duration>) {
        if let Some(record) = self.deadlines.record_of(thread) {
            record.limit(limit.or(self.config.harakiri));
            self.deadlines.wake();
        }
    }

    /// Interpreters are to be renewed after the task that they run.
    pub(in crate::app) fn renew(&self) {
        self.renewals.fetch_add(1, Ordering::SeqCst);
        self.files.wake_all();
    }

    pub fn status(&self) -> Vec<DirectoryStatus> {
        self.files
            .directories()
            .iter()
            .map(|one| status(one))
            .collect()
    }
}

fn status(one: &Directory) -> DirectoryStatus {
    let places = one.tasks().unwrap_or_default();
    let now = SystemTime::now();
    let ages = places
        .iter()
        .filter_map(|place| now.duration_since(Folder::time_of(&place.path)?).ok());
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    DirectoryStatus {
        path: one.folder.path.display().to_string(),
        is_external: one.is_external,
        tasks: places.len(),
        running: one.running(),
        oldest_seconds: ages.max().unwrap_or_default().as_secs(),
        added: count(&one.counters.added),
        done: count(&one.counters.done),
        retried: count(&one.counters.retried),
        raised: count(&one.counters.raised),
        failed: count(&one.counters.failed),
        broken: count(&one.counters.broken),
        last_failure: one.last_failure(),
    }
}
