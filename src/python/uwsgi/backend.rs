//! The process as the `uwsgi` module of an interpreter sees it. Plain values go both ways, never a
//! Python object. `app` and `server` implement [`Backend`]; any thread of any interpreter calls it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::python::refusal::RefusedExtension;

/// The value of an option, for `uwsgi.opt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionText {
    /// A flag that is on: `True`.
    On,
    /// Anything else: `bytes`.
    Text(String),
}

/// The module's constants.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `uwsgi.hostname`
    pub hostname: String,
    /// `uwsgi.numproc`: interpreters that were asked for.
    pub processes: usize,
    /// `uwsgi.cores`: threads of each.
    pub threads: usize,
    /// `uwsgi.buffer_size`, in bytes.
    pub buffer_size: usize,
    /// `uwsgi.started_on`, in seconds since 1970.
    pub started_on: u64,
    /// `uwsgi.pidfile`
    pub pidfile: Option<String>,
    /// `uwsgi.opt`: every option and placeholder, in the order in which they were written.
    pub options: Vec<(String, OptionText)>,
    /// `uwsgi.magic_table`
    pub magic_table: Vec<(char, String)>,
    /// `uwsgi.sockets`: the listeners' descriptors, where there are such.
    pub sockets: Vec<i64>,
    /// `uwsgi.is_a_reload`
    pub is_reload: bool,
    /// `uwsgi.spoolers`: the spooler's directories.
    pub spoolers: Vec<String>,
}

/// A source of signals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignalSource {
    /// `add_timer`, `add_ms_timer`, `add_rb_timer`
    Timer {
        /// Time between two signals; not zero.
        period: Duration,
        /// How many signals there will be; `None`: no limit.
        iterations: Option<u32>,
    },
    /// `add_cron`: minute, hour, day, month, weekday; -1 is any, -n every n-th.
    Cron([i32; 5]),
    /// `add_file_monitor`
    File(PathBuf),
}

/// One worker, for `uwsgi.workers()`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerFacts {
    /// From 1.
    pub id: usize,
    /// Requests that the app has had.
    pub requests: u64,
    /// Of these, requests of its present interpreter.
    pub delta_requests: u64,
    /// Requests in which the app raised.
    pub exceptions: u64,
    /// Requests that took too long and were ended.
    pub harakiri: u64,
    /// Signals that were handled.
    pub signals: u64,
    /// `idle`, `busy` or `sigN`.
    pub status: String,
    /// Microseconds spent in requests.
    pub running_time: u64,
    /// Microseconds of a request, on average of late.
    pub average_time: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// When its interpreter was made, in seconds since 1970.
    pub last_spawn: u64,
    /// How often its interpreter was made.
    pub respawns: u64,
    /// The applications that its interpreter has loaded.
    pub apps: Vec<AppFacts>,
}

/// One application of one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppFacts {
    /// From 0.
    pub id: usize,
    /// In uWSGI's spelling.
    pub mountpoint: String,
    /// Seconds that its loading took.
    pub startup_time: u64,
    /// Requests that it was called for.
    pub requests: u64,
    /// Of these, requests in which it raised.
    pub exceptions: u64,
}

/// A task of the spooler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolTask {
    /// Keys and values, in their order.
    pub pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Any number of bytes.
    pub body: Vec<u8>,
}

/// Why a lock was not taken or released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockRefused {
    /// There is no such lock: a ValueError, as in uWSGI.
    Unknown(String),
    /// Anything else: a RuntimeError.
    Impossible(String),
}

/// A change of an item of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheChange<'a> {
    /// Only a key that is not there.
    Set(&'a [u8]),
    /// Whether the key is there or not.
    Update(&'a [u8]),
    /// The number of the item and this one; an item that is there keeps its expiry.
    Add(i64),
    /// As `Add`.
    Subtract(i64),
    /// As `Add`.
    Multiply(i64),
    /// Through 0 is 0.
    Divide(i64),
}

/// What the `uwsgi` module calls. Methods that may wait are called detached.
pub trait Backend: Send + Sync {
    /// The constants.
    fn facts(&self) -> &Facts;

    /// Worker `worker` handles signal `number` from now on.
    ///
    /// # Errors
    /// The text of a ValueError.
    fn register_signal(&self, worker: usize, number: u8, target: &str) -> Result<(), String>;

    /// Raises a signal.
    fn raise_signal(&self, number: u8);

    /// Adds a source of signals. `is_loading`: the app of `worker` is being loaded, and each
    /// interpreter asks for the same.
    ///
    /// # Errors
    /// The text of a ValueError.
    fn add_source(
        &self,
        worker: usize,
        is_loading: bool,
        number: u8,
        source: SignalSource,
    ) -> Result<(), String>;

    /// Whether this is the first interpreter of its generation that asks: it initialises plugins.
    fn is_first(&self) -> bool;

    /// Asks for a graceful reload.
    fn reload(&self);

    /// Asks for a stop.
    fn stop(&self);

    /// Names the process (`setprocname`).
    fn set_process_name(&self, name: &str);

    /// Raises the alarm of this name; returns whether it exists.
    fn raise_alarm(&self, name: &str, message: &str) -> bool;

    /// The workers, in the order of their numbers.
    fn workers(&self) -> Vec<WorkerFacts>;

    /// Requests that wait to be run.
    fn queued_requests(&self) -> usize;

    /// Bytes of the process: resident, and of address space.
    fn memory(&self) -> (u64, u64);

    /// Bytes of the log file; 0 if the log is none.
    fn log_bytes(&self) -> u64;

    /// Takes a lock, waiting for it. `thread` tells the threads of one interpreter apart,
    /// `interpreter` the interpreters.
    fn lock(&self, number: usize, interpreter: u64, thread: u64) -> Result<(), LockRefused>;

    /// Releases a lock; `false`: this thread does not hold it.
    fn unlock(&self, number: usize, interpreter: u64, thread: u64) -> Result<bool, LockRefused>;

    /// Whether a lock is held.
    fn is_locked(&self, number: usize) -> Result<bool, LockRefused>;

    /// The value of an item. In this and the next, an empty `cache` is the first one. They wait for
    /// other threads no longer than a lookup takes, and are called attached.
    fn cache_get(&self, cache: &str, key: &[u8]) -> Option<Arc<[u8]>>;

    /// The number that an item holds; 0: there is none.
    fn cache_number(&self, cache: &str, key: &[u8]) -> i64;

    /// Whether there is an item.
    fn cache_contains(&self, cache: &str, key: &[u8]) -> bool;

    /// Changes an item, which expires after so many seconds; 0 is never. Returns whether it is
    /// done.
    fn cache_change(&self, cache: &str, key: &[u8], change: CacheChange<'_>, expires: u64) -> bool;

    /// Returns whether there was such an item.
    fn cache_delete(&self, cache: &str, key: &[u8]) -> bool;

    /// Returns whether there is such a cache.
    fn cache_clear(&self, cache: &str) -> bool;

    /// `None`: there is no such cache.
    fn cache_keys(&self, cache: &str) -> Option<Vec<Arc<[u8]>>>;

    /// Limits the current request of the thread to `limit` from now; `None`: the server's own
    /// limit. A call also records for good that such limits are used, even outside of a request.
    fn limit_request(&self, interpreter: u64, thread: u64, limit: Option<Duration>);

    /// An extension has refused the calling interpreter; `is_loading`: while its apps were loaded.
    /// Called detached.
    fn extension_refused(&self, refused: &RefusedExtension, is_loading: bool);

    /// An extension has turned the GIL of a free-threaded Python on, for good; `is_loading`: while
    /// apps were loaded. Called detached.
    fn gil_turned_on(&self, extension: &str, is_loading: bool);

    /// Adds a task for the spooler. Returns its path.
    ///
    /// # Errors
    /// Why it does not exist.
    fn spool(&self, task: SpoolTask) -> Result<PathBuf, String>;

    /// The tasks in the first directory of the spooler.
    fn spooled(&self) -> Vec<PathBuf>;

    /// Reads the task at a path; `None`: there is none, or it is being run.
    fn spooled_task(&self, path: &Path) -> Option<SpoolTask>;

    /// Sets the time between two looks at the spooler's directories.
    fn set_spooler_frequency(&self, frequency: Duration);

    /// The directory of the tasks that this thread runs; `None`: it is no spooler.
    fn spooler_folder(&self, thread: u64) -> Option<PathBuf>;

    /// Releases the locks of a thread or, with `None`, of all threads of the interpreter. Returns
    /// their numbers.
    fn release_locks(&self, interpreter: u64, thread: Option<u64>) -> Vec<usize>;
}

/// The backend of an interpreter, as a part of its spec.
#[derive(Clone)]
pub struct BackendRef(pub Arc<dyn Backend>);

impl fmt::Debug for BackendRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("BackendRef")
    }
}

impl Default for BackendRef {
    /// A backend without a server: for tests and benches of this room.
    fn default() -> Self {
        Self::without_server(Facts::default())
    }
}

impl BackendRef {
    /// The backend of an interpreter that serves no listener: the constants, and calls without
    /// effect.
    #[must_use]
    pub fn without_server(facts: Facts) -> Self {
        Self(Arc::new(NoServer { facts }))
    }
}

#[derive(Debug)]
struct NoServer {
    facts: Facts,
}

impl Backend for NoServer {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn register_signal(&self, _: usize, _: u8, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn raise_signal(&self, _: u8) {}

    fn add_source(&self, _: usize, _: bool, _: u8, _: SignalSource) -> Result<(), String> {
        Ok(())
    }

    fn is_first(&self) -> bool {
        true
    }

    fn reload(&self) {}

    fn stop(&self) {}

    fn set_process_name(&self, _: &str) {}

    fn raise_alarm(&self, _: &str, _: &str) -> bool {
        false
    }

    fn workers(&self) -> Vec<WorkerFacts> {
        Vec::new()
    }

    fn queued_requests(&self) -> usize {
        0
    }

    fn memory(&self) -> (u64, u64) {
        (0, 0)
    }

    fn log_bytes(&self) -> u64 {
        0
    }

    fn lock(&self, _: usize, _: u64, _: u64) -> Result<(), LockRefused> {
        Ok(())
    }

    fn unlock(&self, _: usize, _: u64, _: u64) -> Result<bool, LockRefused> {
        Ok(true)
    }

    fn is_locked(&self, _: usize) -> Result<bool, LockRefused> {
        Ok(false)
    }

    fn cache_get(&self, _: &str, _: &[u8]) -> Option<Arc<[u8]>> {
        None
    }

    fn cache_number(&self, _: &str, _: &[u8]) -> i64 {
        0
    }

    fn cache_contains(&self, _: &str, _: &[u8]) -> bool {
        false
    }

    fn cache_change(&self, _: &str, _: &[u8], _: CacheChange<'_>, _: u64) -> bool {
        false
    }

    fn cache_delete(&self, _: &str, _: &[u8]) -> bool {
        false
    }

    fn cache_clear(&self, _: &str) -> bool {
        false
    }

    fn cache_keys(&self, _: &str) -> Option<Vec<Arc<[u8]>>> {
        None
    }

    fn limit_request(&self, _: u64, _: u64, _: Option<Duration>) {}

    fn extension_refused(&self, _: &RefusedExtension, _: bool) {}

    fn gil_turned_on(&self, _: &str, _: bool) {}

    fn spool(&self, _: SpoolTask) -> Result<PathBuf, String> {
        Err("there is no spooler".to_owned())
    }

    fn spooled(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn spooled_task(&self, _: &Path) -> Option<SpoolTask> {
        None
    }

    fn set_spooler_frequency(&self, _: Duration) {}

    fn spooler_folder(&self, _: u64) -> Option<PathBuf> {
        None
    }

    fn release_locks(&self, _: u64, _: Option<u64>) -> Vec<usize> {
        Vec::new()
    }
}
