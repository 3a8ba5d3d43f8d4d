//! What must hold before the server starts, as values.

use std::path::PathBuf;
use std::time::Duration;

/// What is done before the server starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartConfig {
    /// The directory to begin in (`force-cwd`).
    pub folder: Option<PathBuf>,
    /// The nice value (`prio`).
    pub nice: Option<i32>,
    /// Files to lock (`flock`, `flock-wait`, `flock2`, `flock-wait2`).
    pub locks: Vec<FileLock>,
    /// What to wait for before privileges are dropped; sockets: before the application is loaded.
    pub awaited: Vec<Awaited>,
    /// Start anew with this file when the exit code is 1 (`fallback-config`).
    pub fallback: Option<PathBuf>,
}

/// A file to lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLock {
    /// It must exist.
    pub path: PathBuf,
    /// Wait until the lock is free, instead of leaving.
    pub waits: bool,
    /// After the log is open and the server has detached.
    pub is_late: bool,
    /// The option, for messages.
    pub option: &'static str,
}

/// Something to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// What it is.
    pub target: WaitTarget,
    /// How long; then the start has failed.
    pub timeout: Duration,
    /// The option, for messages.
    pub option: &'static str,
}

/// What can be waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitTarget {
    /// Anything of this path.
    Path(PathBuf),
    /// A file.
    File(PathBuf),
    /// A directory.
    Folder(PathBuf),
    /// A directory that another file system is mounted on.
    Mount(PathBuf),
    /// A network interface.
    Interface(String),
    /// A server that accepts connections: `HOST:PORT`, or the path of a unix socket.
    Socket(String),
}
