//! The spooler's files: tasks that are done later, in uWSGI's format and directories.
//!
//! `app` runs the handlers and asks here for the next task; the `uwsgi` module adds tasks, on any
//! thread; `server` makes the one [`Spooler`] of the process. The directory is the state: nothing
//! here has to survive the process. No Python, and no sockets. Read `folder` first, then
//! `directory`.
//!
//! - `format`, `name`: the bytes and the name of a task
//! - `disk`, `lock`: file operations, and which process runs a task
//! - [`folder`]: tasks are added, claimed, removed, set aside
//! - `schedule`, [`directory`]: which task is next, and the threads that wait for it
//! - `command`: `singlemalt spool`

pub mod command;
pub mod directory;
mod disk;
#[cfg(test)]
mod fault_tests;
pub mod folder;
mod format;
#[cfg_attr(unix, path = "lock_unix.rs")]
#[cfg_attr(windows, path = "lock_windows.rs")]
mod lock;
mod name;
mod schedule;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::queue::SegQueue;
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;

use crate::config::SpoolerConfig;
use directory::{Directory, RetryRules, Running};
use disk::Disk;
use folder::{Folder, NewTask};

pub use format::Packet;

/// A piece of work for a spooler's thread.
pub enum Work {
    Task(Box<Running>),
    /// A signal for the target `spooler`.
    Signal(u8),
    /// Nothing came in time.
    Idle,
    /// The thread is to end.
    Over,
}

/// All directories of this process.
#[derive(Default)]
pub struct Spooler {
    directories: Vec<Arc<Directory>>,
    /// The generation that runs tasks; 0: none does.
    in_charge: AtomicU64,
    /// Another process takes over, or the server stops.
    is_paused: AtomicBool,
    signals: SegQueue<u8>,
    watcher: Mutex<Option<RecommendedWatcher>>,
}

impl Spooler {
    /// Makes missing directories.
    ///
    /// # Errors
    /// A directory cannot be used, in words.
    pub fn open(config: &SpoolerConfig, host: &str) -> Result<Self, String> {
        let rules = RetryRules {
            delay: config.retry_delay,
            tries_max: config.tries_max,
        };
        let own = config.folders.iter().map(|path| (path, false));
        let others = config.external_folders.iter().map(|path| (path, true));
        let mut directories: Vec<Arc<Directory>> = Vec::new();
        for (path, is_external) in own.chain(others) {
            let mut folder = Folder {
                path: path.clone(),
                disk: Disk::default(),
                is_durable: config.is_durable,
                host: host.to_owned(),
            };
            folder.prepare().map_err(|error| {
                format!(
                    "cannot use the spooler directory {}: {error}",
                    path.display()
                )
            })?;
            // uWSGI names directories by their real paths.
            folder.path = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            if directories.iter().any(|one| one.folder.path == folder.path) {
                continue;
            }
            let one = Directory::new(folder, is_external, config.frequency, rules);
            directories.push(Arc::new(one));
        }
        Ok(Self {
            directories,
            ..Self::default()
        })
    }

    pub fn directories(&self) -> &[Arc<Directory>] {
        &self.directories
    }

    /// Adds a task. `directory`: one of the configured directories, otherwise the first.
    ///
    /// # Errors
    /// The task does not exist then: why, in words.
    pub fn add(&self, packet: Packet) -> Result<PathBuf, String> {
        let chosen = match packet.value(b"spooler") {
            None | Some(b"") => self.directories.first(),
            Some(path) => {
                let path = String::from_utf8_lossy(path).into_owned();
                let found = self.named(Path::new(&path));
                Some(found.ok_or_else(|| format!("there is no spooler \"{path}\" here"))?)
            }
        };
        let chosen = chosen.ok_or("there is no spooler (--spooler)")?;
        let task = new_task(packet)?;
        chosen.add(&task).map_err(|why| why.to_string())
    }

    fn named(&self, path: &Path) -> Option<&Arc<Directory>> {
        let real = std::fs::canonicalize(path).ok()?;
        self.directories.iter().find(|one| one.folder.path == real)
    }

    /// Tells of changed files, at once where the system can.
    pub fn watch(&self) {
        let own: Vec<_> = self.own().cloned().collect();
        if own.is_empty() || self.watcher.lock().is_some() {
            return;
        }
        let folders: Vec<_> = own.iter().map(|one| one.folder.path.clone()).collect();
        let started =
            notify::recommended_watcher(move |event| tell(&own, event)).and_then(|mut watcher| {
                for folder in &folders {
                    watcher.watch(folder, RecursiveMode::Recursive)?;
                }
                Ok(watcher)
            });
        match started {
            Ok(watcher) => *self.watcher.lock() = Some(watcher),
            Err(error) => tracing::warn!(
                "tasks of other processes are found every --spooler-frequency seconds only: the \
                 system cannot tell of changes: {error}"
            ),
        }
    }

    /// The directories in which tasks are run here.
    pub fn own(&self) -> impl Iterator<Item = &Arc<Directory>> {
        self.directories.iter().filter(|one| !one.is_external)
    }

    /// Tasks that begin from now on run in this generation.
    pub fn take_charge(&self, generation: u64) {
        self.in_charge.store(generation, Ordering::SeqCst);
        self.wake_all();
    }

    /// No task begins from now on.
    pub fn pause(&self) {
        self.is_paused.store(true, Ordering::SeqCst);
        self.wake_all();
    }

    /// Tasks begin again.
    pub fn resume(&self) {
        self.is_paused.store(false, Ordering::SeqCst);
        self.wake_all();
    }

    /// Threads look at their conditions again.
    pub fn wake_all(&self) {
        for one in &self.directories {
            one.wake_all();
        }
    }

    /// Raises a signal in one of the spooler's threads. Returns whether there are any.
    pub fn raise(&self, number: u8) -> bool {
        if self.own().next().is_none() {
            return false;
        }
        self.signals.push(number);
        self.wake_all();
        true
    }

    pub fn set_frequency(&self, frequency: Duration) {
        for one in &self.directories {
            one.set_frequency(frequency);
        }
    }

    /// Waits for the next piece of work of a generation. `patience`: how long at most.
    pub fn next(
        &self,
        directory: &Directory,
        generation: u64,
        is_over: &dyn Fn() -> bool,
        patience: Option<Duration>,
    ) -> Work {
        let may_run = || {
            self.in_charge.load(Ordering::SeqCst) == generation
                && !self.is_paused.load(Ordering::SeqCst)
        };
        let has_signal = || may_run() && !self.signals.is_empty();
        let deadline = patience.map(|patience| Instant::now() + patience);
        loop {
            if is_over() {
                return Work::Over;
            }
            if may_run()
                && let Some(number) = self.signals.pop()
            {
                return Work::Signal(number);
            }
            let is_over_or_signalled = || is_over() || has_signal();
            match directory.next(&is_over_or_signalled, &may_run, deadline) {
                Some(running) => return Work::Task(Box::new(running)),
                None if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                    return Work::Idle;
                }
                None => {}
            }
        }
    }

    /// Waits until no task is run, or until the deadline. Returns how many are.
    pub fn wait_until_idle(&self, deadline: Instant) -> usize {
        let left = self.own().map(|one| one.wait_until_idle(deadline));
        left.sum()
    }
}

/// On the thread of `notify`.
fn tell(own: &[Arc<Directory>], event: notify::Result<notify::Event>) {
    let event = match event {
        Ok(event) if !event.need_rescan() => event,
        // Events were lost.
        Ok(_) | Err(_) => return own.iter().for_each(|one| one.look_again()),
    };
    let is_change = match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        // On Linux a file is complete when it is closed or renamed.
        EventKind::Create(_) => cfg!(not(target_os = "linux")),
        EventKind::Modify(kind) => {
            !(cfg!(target_os = "linux") && matches!(kind, ModifyKind::Data(_)))
        }
        EventKind::Remove(_) => false,
        EventKind::Any | EventKind::Other => true,
    };
    if is_change {
        for path in &event.paths {
            own.iter().for_each(|one| one.note_change(path));
        }
    }
}

/// The keys `priority` and `at` of a packet, as uWSGI reads them.
fn new_task(packet: Packet) -> Result<NewTask, String> {
    let priority = match packet.value(b"priority") {
        None | Some(b"") => None,
        Some(text) => Some(folder::priority_in(&packet).ok_or_else(|| {
            let text = String::from_utf8_lossy(text);
            format!("the priority of a task is a number from 0, got \"{text}\"")
        })?),
    };
    let at = match packet.value(b"at") {
        None | Some(b"") => None,
        Some(text) => Some(time_in(text)?),
    };
    Ok(NewTask {
        packet,
        priority,
        at,
    })
}

/// Seconds since 1970, perhaps with a fraction.
fn time_in(text: &[u8]) -> Result<SystemTime, String> {
    let text = String::from_utf8_lossy(text);
    let seconds: Result<f64, _> = text.trim().parse();
    let since = seconds
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    since
        .and_then(|since| UNIX_EPOCH.checked_add(since))
        .ok_or_else(|| format!("the time of a task (at) is in seconds since 1970, got \"{text}\""))
}
