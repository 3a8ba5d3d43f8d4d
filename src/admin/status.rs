//! The server in numbers: what `singlemalt status --json` prints. Plain values; names of fields are
//! names of JSON.
//!
//! Times are seconds since 1970, spans are in the unit that their name says.

use serde::Serialize;

pub use crate::python::RefusedExtension;
pub use crate::reload::record::{CanaryReport, Reload, Reloads, RollbackTarget};

#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// singlemalt's.
    pub version: &'static str,
    /// CPython's.
    pub python: String,
    pub pid: u32,
    /// `serving` or `stopping`.
    pub state: &'static str,
    /// When the process began, or began anew.
    pub started: u64,
    pub uptime_seconds: u64,
    /// What serves; `None` at the end.
    pub generation: Option<Generation>,
    /// Old generations that still answer what was queued in them.
    pub ending: Vec<u64>,
    pub reload: Reload,
    /// How many there were since the process began; it may have begun anew meanwhile.
    pub reloads: Reloads,
    /// The generation that a rollback would put back.
    pub kept: Option<RollbackTarget>,
    pub refused_extensions: Vec<RefusedExtension>,
    /// Requests that wait for a worker.
    pub queue: Queue,
    pub connections: usize,
    pub listen: Vec<String>,
    pub workers: Vec<Worker>,
    /// The directories of the spooler.
    pub spoolers: Vec<SpoolDirectory>,
    /// Interpreters of the process that could not be ended, and stay.
    pub parked_interpreters: usize,
    /// Threads that have not come back from a request that was given up.
    pub stuck_threads: usize,
    pub memory: Memory,
    /// With `--supervise`.
    pub supervised: Option<Supervised>,
    /// Since the process began.
    pub counters: Counters,
}

/// The crashes of the server, which its first process counts.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Supervised {
    pub crashes: u32,
    pub last_crash: Option<Crash>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Crash {
    pub at: u64,
    /// `was killed by signal 11 (SIGSEGV)`
    pub how: String,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Generation {
    /// From 1.
    pub number: u64,
    pub since: u64,
    pub isolation: &'static str,
    /// Whether it has an application; without one everything is answered 500.
    pub has_application: bool,
}

/// A directory of the spooler; counts are of this process.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SpoolDirectory {
    pub directory: String,
    /// Another server runs its tasks.
    pub is_external: bool,
    /// Tasks in it, those that run included.
    pub tasks: usize,
    pub running: usize,
    /// Since the oldest of them was due.
    pub oldest_seconds: u64,
    pub added: u64,
    pub done: u64,
    /// Runs that ended otherwise.
    pub retried: u64,
    /// Of these, runs that raised.
    pub raised: u64,
    /// Tasks that were moved to failed/, and files to broken/.
    pub failed: u64,
    pub broken: u64,
    pub last_failure: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Queue {
    pub length: usize,
    /// At most; further ones are answered 503.
    pub max: usize,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Worker {
    /// From 1.
    pub id: usize,
    /// `idle`, `busy`, `sigN`, `cheap`.
    pub status: String,
    /// Requests that it, and those before it under its number, were given.
    pub requests: u64,
    /// Of these, requests of the present interpreter.
    pub delta_requests: u64,
    /// Requests that failed in the application.
    pub exceptions: u64,
    /// Requests that took too long and were ended.
    pub harakiri: u64,
    pub signals: u64,
    /// How often an interpreter was made for this number.
    pub respawns: u64,
    pub last_spawn: u64,
    /// Time spent in requests.
    pub running_micros: u64,
    /// Of one request, on average of late.
    pub average_micros: u64,
    pub sent_bytes: u64,
    pub threads: Vec<Thread>,
    #[serde(skip)]
    pub apps: Vec<App>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Thread {
    /// From 0 (uWSGI's core).
    pub id: usize,
    /// `idle`, `busy`, `sigN`.
    pub status: String,
    pub requests: u64,
    /// How long it has been at it, unless it is idle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What it works on, if requests are watched (--harakiri).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Request {
    /// `GET`
    pub method: String,
    pub target: String,
    /// How long it has been at work.
    pub seconds: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct App {
    /// From 0.
    pub id: usize,
    /// Where it is mounted, in uWSGI's spelling.
    pub mountpoint: String,
    /// How long its loading took.
    pub startup_seconds: u64,
    pub requests: u64,
    /// Of these, failed ones.
    pub exceptions: u64,
}

/// Memory of the process; zeros where the system does not tell.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Memory {
    /// Resident.
    pub resident_bytes: u64,
    /// Address space.
    pub address_bytes: u64,
}

/// Since the process began.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counters {
    pub connections: u64,
    pub requests: u64,
    pub files: u64,
    pub refused: u64,
    /// Answered 503 because the queue was full.
    pub queue_full: u64,
    /// Dropped because their client had gone.
    pub client_gone: u64,
    /// Connections closed because a deadline had passed.
    pub deadlines_passed: u64,
    pub handshakes_failed: u64,
}
