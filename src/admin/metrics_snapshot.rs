//! The figures of the server for the control socket, the stats server and the fifo: one source for
//! all of them, the same as of `uwsgi.workers()` (`src/app/inspect/counters.rs`). Any thread; never
//! waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use super::stats_document::{self, About, CacheStats};
use super::status::{
    App, Counters, Generation, Memory, Queue, Request, SpoolDirectory, Status, Supervised, Thread,
    Worker,
};
use super::table;
use crate::app::inspect::worker_status::{ThreadStatus, WorkerStatus};
use crate::app::process::Process;
use crate::app::spooler::service::DirectoryStatus;
use crate::app::{Current, Workers};
use crate::net::Net;
use crate::os::pidfile;
use crate::python::{self, Isolation};
use crate::reload::history::{ReloadHistory, seconds};
use crate::shared::cache::Cache;

/// Where the numbers come from.
pub struct MetricsSnapshot {
    pub net: Arc<Net>,
    pub current: Arc<Current>,
    /// Memory, locks, requests that take too long.
    pub process: Arc<Process>,
    pub history: Arc<ReloadHistory>,
    /// CPython's version.
    pub python: String,
    pub listen: Vec<String>,
    /// Requests that may wait.
    pub queue_max: usize,
    /// When the process began, or began anew.
    pub started: (Instant, SystemTime),
    /// What else uWSGI's statistics tell.
    pub about: About,
    /// The crashes of the server; `None` without `--supervise`.
    pub supervised: SupervisedNow,
}

/// Knows the crashes of the server at this moment.
pub type SupervisedNow = Box<dyn Fn() -> Option<Supervised> + Send + Sync>;

impl MetricsSnapshot {
    /// How the server is. From now on what workers work on is noted.
    pub fn status(&self) -> Status {
        self.process.harakiri.look_on();
        // Not kept: a reference to a generation delays its end.
        let (serving, isolation) = match self.current.load() {
            Some(generation) => (Some(generation.workers()), generation.isolation()),
            None => (None, Isolation::Main),
        };
        let (resident_bytes, address_bytes) = (self.process.memory)();
        let workers = serving.as_ref().map_or_else(Vec::new, Workers::status);
        Status {
            version: env!("CARGO_PKG_VERSION"),
            python: self.python.clone(),
            pid: pidfile::pid(),
            state: if self.net.is_draining() {
                "stopping"
            } else {
                "serving"
            },
            started: seconds(self.started.1),
            uptime_seconds: self.started.0.elapsed().as_secs(),
            generation: serving.as_ref().map(|workers| Generation {
                number: workers.generation(),
                since: self.history.serving_since(),
                isolation: isolation.word(),
                has_application: workers.has_application(),
            }),
            ending: self.history.draining(),
            reload: self.history.latest(),
            reloads: self.history.counts(),
            kept: self.history.kept(),
            refused_extensions: self.process.refused_extensions.met(),
            queue: Queue {
                length: serving.as_ref().map_or(0, Workers::queued),
                max: self.queue_max,
            },
            connections: self.net.open_connections(),
            listen: self.listen.clone(),
            workers: workers.into_iter().map(worker).collect(),
            spoolers: self
                .process
                .spooler
                .status()
                .into_iter()
                .map(directory)
                .collect(),
            parked_interpreters: python::parked_count(),
            stuck_threads: self.process.harakiri.stuck(),
            memory: Memory {
                resident_bytes,
                address_bytes,
            },
            supervised: (self.supervised)(),
            counters: self.counters(),
        }
    }

    /// The same as `singlemalt status` shows it.
    pub fn shown(&self) -> String {
        let status = serde_json::to_value(self.status()).unwrap_or_default();
        table::status(&status, seconds(SystemTime::now()))
            .trim_end()
            .to_owned()
    }

    /// The same in uWSGI's JSON.
    pub fn stats(&self) -> Vec<u8> {
        let about = About {
            cwd: std::env::current_dir()
                .map(|folder| folder.display().to_string())
                .unwrap_or_default(),
            locks: self
                .process
                .locks
                .held()
                .enumerate()
                .map(|(number, is_held)| (format!("user {number}"), is_held))
                .collect(),
            caches: self.process.caches.all().iter().map(cache_stats).collect(),
            ..self.about.clone()
        };
        stats_document::render(&self.status(), &about, seconds(SystemTime::now()))
    }

    fn counters(&self) -> Counters {
        let counters = &self.net.counters;
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            connections: read(&counters.accepted),
            requests: read(&counters.requests),
            files: read(&counters.files),
            refused: read(&counters.refused),
            queue_full: read(&counters.shed),
            client_gone: read(&counters.abandoned),
            deadlines_passed: read(&counters.expired),
            handshakes_failed: read(&counters.handshakes_failed),
        }
    }
}

fn directory(status: DirectoryStatus) -> SpoolDirectory {
    SpoolDirectory {
        directory: status.path,
        is_external: status.is_external,
        tasks: status.tasks,
        running: status.running,
        oldest_seconds: status.oldest_seconds,
        added: status.added,
        done: status.done,
        retried: status.retried,
        raised: status.raised,
        failed: status.failed,
        broken: status.broken,
        last_failure: status.last_failure,
    }
}

/// The hash is that of our table, whose size follows the number of items.
fn cache_stats(cache: &Cache) -> CacheStats {
    let (rules, counts) = (cache.rules(), cache.counts());
    CacheStats {
        name: rules.name.clone(),
        hash: "siphash",
        hashsize: counts.items,
        keysize: rules.key_max,
        max_items: rules.items_max,
        blocks: rules.blocks,
        blocksize: rules.block_bytes,
        items: counts.items,
        hits: counts.hits,
        miss: counts.misses,
        full: counts.full,
        last_modified_at: 0,
    }
}

fn worker(survey: WorkerStatus) -> Worker {
    let facts = survey.facts;
    Worker {
        id: facts.id,
        status: facts.status,
        requests: facts.requests,
        delta_requests: facts.delta_requests,
        exceptions: facts.exceptions,
        harakiri: facts.harakiri,
        signals: facts.signals,
        respawns: facts.respawns,
        last_spawn: facts.last_spawn,
        running_micros: facts.running_time,
        average_micros: facts.average_time,
        sent_bytes: facts.sent_bytes,
        threads: survey.threads.into_iter().map(thread).collect(),
        apps: survey
            .apps
            .into_iter()
            .map(|app| App {
                id: app.id,
                mountpoint: app.mountpoint,
                startup_seconds: app.startup_time.as_secs(),
                requests: app.requests,
                exceptions: app.exceptions,
            })
            .collect(),
    }
}

fn thread(survey: ThreadStatus) -> Thread {
    Thread {
        id: survey.core,
        status: survey.status,
        requests: survey.requests,
        seconds: survey.time.map(|time| time.as_secs_f64()),
        request: survey.work.map(|work| Request {
            method: work.method.escape_ascii().to_string(),
            target: work.target.escape_ascii().to_string(),
            seconds: work.time.as_secs_f64(),
        }),
    }
}
