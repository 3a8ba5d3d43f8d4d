//! Answers the `uwsgi` module of a generation's interpreters. Runs on worker threads, attached.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::background::cron::When;
use crate::background::{TimerSpec, Trigger};
use crate::config::IsolationChoice;
use crate::python::{
    Backend, CacheChange, Facts, LockRefused, RefusedExtension, SignalSource, SpoolTask,
    WorkerFacts,
};
use crate::shared::cache::{self, Cache, Change, Math};
use crate::shared::locks::{LockError, LockOwner};

use super::generation_state::GenerationState;
use super::plan::Plan;
use super::process::{AppRequest, Process};

pub(super) struct UwsgiBackend {
    shared: Weak<GenerationState>,
    process: Arc<Process>,
    facts: Facts,
    has_first: AtomicBool,
}

impl UwsgiBackend {
    pub(super) fn new(generation: u64, shared: Weak<GenerationState>, plan: &Plan) -> Self {
        Self {
            shared,
            process: Arc::clone(&plan.process),
            has_first: AtomicBool::new(false),
            facts: Facts {
                is_reload: generation > 1 || plan.facts.is_reload,
                ..plan.facts.clone()
            },
        }
    }
}

impl Backend for UwsgiBackend {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn register_signal(&self, worker: usize, number: u8, target: &str) -> Result<(), String> {
        let Some(shared) = self.shared.upgrade() else {
            return Ok(());
        };
        let target = shared.existing_target(target);
        shared
            .signals
            .registrations
            .register(worker, number, target)
            .map_err(|refused| refused.to_string())
    }

    fn raise_signal(&self, number: u8) {
        if let Some(shared) = self.shared.upgrade() {
            shared.raise(number);
        }
    }

    fn add_source(
        &self,
        worker: usize,
        is_loading: bool,
        number: u8,
        source: SignalSource,
    ) -> Result<(), String> {
        let trigger = match source {
            SignalSource::Timer { period, iterations } => Trigger::Timer(TimerSpec {
                number,
                period,
                iterations,
            }),
            SignalSource::Cron([minute, hour, day, month, weekday]) => {
                let when = When::new(minute, hour, day, month, weekday);
                let when = when.map_err(|never| never.to_string())?;
                Trigger::Cron { number, when }
            }
            SignalSource::File(path) => Trigger::File { number, path },
        };
        let Some(shared) = self.shared.upgrade() else {
            return Ok(());
        };
        shared
            .signals
            .registrations
            .add(worker, is_loading, trigger)
            .map_err(|refused| refused.to_string())
    }

    fn is_first(&self) -> bool {
        !self.has_first.swap(true, Ordering::SeqCst)
    }

    fn reload(&self) {
        (self.process.on_request)(AppRequest::Reload);
    }

    fn stop(&self) {
        (self.process.on_request)(AppRequest::Stop);
    }

    fn set_process_name(&self, name: &str) {
        (self.process.set_title)(name);
    }

    fn raise_alarm(&self, name: &str, message: &str) -> bool {
        self.process.alarms.raise(name, message)
    }

    fn workers(&self) -> Vec<WorkerFacts> {
        self.shared
            .upgrade()
            .map_or_else(Vec::new, |shared| shared.worker_facts())
    }

    fn queued_requests(&self) -> usize {
        self.shared
            .upgrade()
            .map_or(0, |shared| shared.queue().len())
    }

    fn memory(&self) -> (u64, u64) {
        (self.process.memory)()
    }

    fn log_bytes(&self) -> u64 {
        (self.process.log_bytes)()
    }

    fn lock(&self, number: usize, interpreter: u64, thread: u64) -> Result<(), LockRefused> {
        let owner = LockOwner {
            interpreter,
            thread,
        };
        self.process.locks.lock(number, owner).map_err(refused)
    }

    fn unlock(&self, number: usize, interpreter: u64, thread: u64) -> Result<bool, LockRefused> {
        let owner = LockOwner {
            interpreter,
            thread,
        };
        self.process.locks.unlock(number, owner).map_err(refused)
    }

    fn is_locked(&self, number: usize) -> Result<bool, LockRefused> {
        self.process.locks.is_locked(number).map_err(refused)
    }

    fn cache_get(&self, cache: &str, key: &[u8]) -> Option<Arc<[u8]>> {
        self.process.caches.get(cache)?.get(key)
    }

    fn cache_number(&self, cache: &str, key: &[u8]) -> i64 {
        self.cache_get(cache, key)
            .map_or(0, |value| cache::number(&value))
    }

    fn cache_contains(&self, cache: &str, key: &[u8]) -> bool {
        let cache = self.process.caches.get(cache);
        cache.is_some_and(|cache| cache.contains(key))
    }

    fn cache_change(&self, cache: &str, key: &[u8], change: CacheChange<'_>, expires: u64) -> bool {
        let caches = &self.process.caches;
        let change = match change {
            CacheChange::Set(value) => Change::Set(value),
            CacheChange::Update(value) => Change::Update(value),
            CacheChange::Add(by) => Change::Math(Math::Add(by)),
            CacheChange::Subtract(by) => Change::Math(Math::Subtract(by)),
            CacheChange::Multiply(by) => Change::Math(Math::Multiply(by)),
            CacheChange::Divide(by) => Change::Math(Math::Divide(by)),
        };
        let cache = caches.get(cache);
        cache.is_some_and(|cache| caches.change(cache, key, change, expires))
    }

    fn cache_delete(&self, cache: &str, key: &[u8]) -> bool {
        let cache = self.process.caches.get(cache);
        cache.is_some_and(|cache| cache.delete(key))
    }

    fn cache_clear(&self, cache: &str) -> bool {
        let cache = self.process.caches.get(cache);
        cache.inspect(|cache| cache.clear()).is_some()
    }

    fn cache_keys(&self, cache: &str) -> Option<Vec<Arc<[u8]>>> {
        self.process.caches.get(cache).map(Cache::keys)
    }

    fn limit_request(&self, _interpreter: u64, thread: u64, limit: Option<Duration>) {
        let harakiri = &self.process.harakiri;
        harakiri.want();
        let watch = self
            .shared
            .upgrade()
            .and_then(|shared| harakiri.record_of(shared.setup.id, thread));
        // A thread that the application started has no record.
        match watch {
            Some(watch) => watch.limit(limit),
            None => self.process.spooler.limit(thread, limit),
        }
    }

    fn extension_refused(&self, refused: &RefusedExtension, is_loading: bool) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let choice = shared.setup.plan.isolation;
        let extensions = &self.process.refused_extensions;
        extensions.note(refused, choice, is_loading);
        // The loader decides about refusals while the application loads.
        if !is_loading && refused.is_missed() && choice == IsolationChoice::Auto {
            shared.needs_main();
        }
    }

    fn gil_turned_on(&self, extension: &str, is_loading: bool) {
        if let Some(shared) = self.shared.upgrade() {
            shared.gil_gates.close_all();
        }
        // Else the start report names it.
        if !is_loading {
            tracing::warn!(
                "the extension {extension} does not declare that it works without a GIL: CPython \
                 has turned the GIL on, and threads take turns from now on. PYTHON_GIL=0 in the \
                 environment keeps it off at your own risk"
            );
        }
    }

    fn spool(&self, task: SpoolTask) -> Result<PathBuf, String> {
        self.process.spooler.add(task)
    }

    fn spooled(&self) -> Vec<PathBuf> {
        self.process.spooler.tasks()
    }

    fn spooled_task(&self, path: &Path) -> Option<SpoolTask> {
        self.process.spooler.task_at(path)
    }

    fn set_spooler_frequency(&self, frequency: Duration) {
        self.process.spooler.files.set_frequency(frequency);
    }

    fn spooler_folder(&self, thread: u64) -> Option<PathBuf> {
        self.process.spooler.folder_of(thread)
    }

    fn release_locks(&self, interpreter: u64, thread: Option<u64>) -> Vec<usize> {
        self.process.locks.release(interpreter, thread)
    }
}

fn refused(error: LockError) -> LockRefused {
    match error {
        LockError::Unknown(_) => LockRefused::Unknown(error.to_string()),
        LockError::WaitsForItself => LockRefused::Impossible(error.to_string()),
    }
}
