//! The applications of a generation: targets, mounts, the result of loading, and counters. Every
//! interpreter of a generation has the same table.
//!
//! Plain data. Each counter has one writer, a worker thread; any thread may read it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::python::{AppFacts, AppTarget, Environment, LoadFailure, Loaded, RefusedExtension};
use crate::wsgi::{Head, Mounts, Place, Rules};

#[derive(Clone, Debug, Default)]
pub struct Apps {
    targets: Vec<AppTarget>,
    mounts: Mounts,
    /// By application; missing entries are not needed.
    needed: Vec<bool>,
    /// The server is for something else: static files, cron, timers of imported modules.
    is_without: bool,
}

impl Apps {
    /// These applications, each at its place; [`Chosen::app`](crate::wsgi::Chosen::app) counts them
    /// in this order. None at all answers every request with 500.
    pub fn new(apps: Vec<(Place, AppTarget)>, rules: Rules) -> Self {
        let (places, targets) = apps.into_iter().unzip();
        Self {
            targets,
            mounts: Mounts::new(places, rules),
            needed: Vec::new(),
            is_without: false,
        }
    }

    /// For a server without an application, as it is meant.
    pub fn none_wanted() -> Self {
        Self {
            is_without: true,
            ..Self::default()
        }
    }

    pub(super) fn are_none_wanted(&self) -> bool {
        self.is_without
    }

    pub fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Place, &AppTarget)> {
        self.mounts.places().iter().zip(&self.targets)
    }

    pub(super) fn targets_mut(&mut self) -> impl Iterator<Item = &mut AppTarget> {
        self.targets.iter_mut()
    }

    /// Sets the applications without which the generation fails to load: the previous one serves
    /// them.
    pub fn need(&mut self, needed: Vec<bool>) {
        self.needed = needed;
    }

    pub(super) fn needs(&self, app: usize) -> bool {
        self.needed.get(app).is_some_and(|is_needed| *is_needed)
    }

    pub fn count(&self) -> usize {
        self.targets.len()
    }
}

/// The result of loading one application, for the start-up report.
#[derive(Clone, Debug)]
pub struct AppReport {
    /// Where it is mounted, in uWSGI's spelling.
    pub mountpoint: String,
    /// Requests outside every mount go to this application.
    pub is_default: bool,
    /// `None`: loading failed, and requests are answered with 500.
    pub loaded: Option<Loaded>,
}

/// The applications that failed to load, by mountpoint.
#[derive(Debug)]
pub struct NotLoaded(pub Vec<(String, LoadFailure)>);

impl NotLoaded {
    /// The failure that would not happen in the main interpreter, if there is one.
    pub fn needs_main(&self) -> Option<&LoadFailure> {
        let mut failures = self.0.iter().map(|(_, failure)| failure);
        failures.find(|failure| matches!(failure, LoadFailure::ExtensionsRefused { .. }))
    }

    pub fn missed(&self) -> Vec<RefusedExtension> {
        let mut all = Vec::new();
        for (_, failure) in &self.0 {
            if let LoadFailure::ExtensionsRefused { refused, .. } = failure {
                all.extend(refused.iter().cloned());
            }
        }
        all
    }
}

impl fmt::Display for NotLoaded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [(_, failure)] => failure.fmt(out),
            failures => {
                for (at, (mountpoint, failure)) in failures.iter().enumerate() {
                    let between = if at > 0 { "\n" } else { "" };
                    write!(out, "{between}{}: {failure}", shown(mountpoint))?;
                }
                Ok(())
            }
        }
    }
}

/// Formats a mountpoint for people: `/`, `/shop`, `example.org/shop`.
pub fn shown(mountpoint: &str) -> String {
    match mountpoint.split_once('|') {
        None if mountpoint.is_empty() => "/".to_owned(),
        None => mountpoint.to_owned(),
        Some((host, "")) => format!("{host}/"),
        Some((host, prefix)) => format!("{host}{prefix}"),
    }
}

/// Counters of one application in one interpreter (`uwsgi.workers()[..]['apps']`).
#[derive(Clone, Debug)]
pub struct AppStats {
    /// The interpreter, from 1 (uWSGI's worker id).
    pub worker: usize,
    /// The application's number, from 0.
    pub id: usize,
    /// Where it is mounted, in uWSGI's spelling.
    pub mountpoint: String,
    pub startup_time: Duration,
    /// Requests for this application, also while it is not loaded.
    pub requests: u64,
    pub exceptions: u64,
}

impl AppStats {
    pub(super) fn facts(&self) -> AppFacts {
        AppFacts {
            id: self.id,
            mountpoint: self.mountpoint.clone(),
            startup_time: self.startup_time.as_secs(),
            requests: self.requests,
            exceptions: self.exceptions,
        }
    }
}

/// One worker thread's counters for each application. Only that thread writes, with plain stores.
#[derive(Debug)]
pub(super) struct AppCounters(Box<[Counts]>);

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    exceptions: AtomicU64,
}

impl AppCounters {
    pub(super) fn new(apps: usize) -> Self {
        Self((0..apps).map(|_| Counts::default()).collect())
    }

    #[inline]
    pub(super) fn count(&self, app: usize, has_failed: bool) {
        if let Some(counts) = self.0.get(app) {
            add_one(&counts.requests);
            if has_failed {
                add_one(&counts.exceptions);
            }
        }
    }

    pub(super) fn of(&self, app: usize) -> (u64, u64) {
        self.0.get(app).map_or((0, 0), |counts| {
            (
                counts.requests.load(Ordering::Relaxed),
                counts.exceptions.load(Ordering::Relaxed),
            )
        })
    }
}

/// The loaded applications of each interpreter and their counters. Any thread may read.
#[derive(Debug, Default)]
pub(super) struct LoadedApps {
    loaded: Mutex<BTreeMap<usize, Vec<Option<Loaded>>>>,
    totals: Mutex<AppTotals>,
    environment: Mutex<Option<Environment>>,
    has_warned_no_app: AtomicBool,
}

#[derive(Debug, Default)]
struct AppTotals {
    /// Counters of threads that serve, with their worker numbers.
    present: Vec<(usize, Arc<AppCounters>)>,
    /// The sums of threads that have left, by worker and application.
    past: BTreeMap<(usize, usize), (u64, u64)>,
}

impl LoadedApps {
    /// The variables that the first interpreter has after it has loaded the applications.
    pub(super) fn note_environment(&self, environment: Environment) {
        *self.environment.lock() = Some(environment);
    }

    pub(super) fn environment(&self) -> Option<Environment> {
        self.environment.lock().clone()
    }

    /// The applications that the first interpreter loaded; `None` before it has tried. The others
    /// load the same.
    pub(super) fn loadable(&self) -> Option<Vec<bool>> {
        let loaded = self.loaded.lock();
        let first = loaded.get(&1)?;
        Some(first.iter().map(Option::is_some).collect())
    }

    pub(super) fn note_loaded(&self, worker: usize, loaded: Vec<Option<Loaded>>) {
        self.loaded.lock().insert(worker, loaded);
    }

    pub(super) fn begin(&self, worker: usize, apps: usize) -> Arc<AppCounters> {
        let counters = Arc::new(AppCounters::new(apps));
        let mut totals = self.totals.lock();
        totals.present.push((worker, Arc::clone(&counters)));
        counters
    }

    pub(super) fn end(&self, worker: usize, counters: &Arc<AppCounters>) {
        let mut totals = self.totals.lock();
        totals
            .present
            .retain(|(_, other)| !Arc::ptr_eq(other, counters));
        for app in 0..counters.0.len() {
            let (requests, exceptions) = counters.of(app);
            let sum = totals.past.entry((worker, app)).or_default();
            sum.0 += requests;
            sum.1 += exceptions;
        }
    }

    /// Warns, once, of a request outside every mount.
    pub(super) fn warn_no_app(&self, apps: &Apps, head: &Head) {
        let has_said = &self.has_warned_no_app;
        if apps.count() > 0 && !has_said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "no application is mounted for {} of host {}, and there is no default one: such requests are answered with 500 \
                 (this is said once)",
                head.target().escape_ascii(),
                head.host().unwrap_or_default().escape_ascii()
            );
        }
    }

    pub(super) fn reports(&self, apps: &Apps) -> Result<Vec<AppReport>, String> {
        if apps.count() == 0 && !apps.is_without {
            return Err("no application was named".to_owned());
        }
        let loaded = self.loaded.lock();
        let loaded = loaded.get(&1).map(Vec::as_slice).unwrap_or_default();
        let all = apps.iter().zip(loaded).enumerate();
        let report = all.map(|(at, ((place, _), loaded))| AppReport {
            mountpoint: place.mountpoint(),
            is_default: apps.mounts().default_app() == Some(at),
            loaded: loaded.clone(),
        });
        Ok(report.collect())
    }

    pub(super) fn stats(&self, apps: &Apps) -> Vec<AppStats> {
        let totals = self.totals.lock();
        let mut all = Vec::new();
        for (worker, loaded) in &*self.loaded.lock() {
            for (id, ((place, _), loaded)) in apps.iter().zip(loaded).enumerate() {
                let own = totals.present.iter().filter(|(of, _)| of == worker);
                let past = totals.past.get(&(*worker, id)).copied();
                let (requests, exceptions) = own
                    .map(|(_, counters)| counters.of(id))
                    .chain(past)
                    .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
                let loaded = loaded.as_ref();
                all.push(AppStats {
                    worker: *worker,
                    id,
                    mountpoint: place.mountpoint(),
                    startup_time: loaded.map_or(Duration::ZERO, |app| app.elapsed),
                    requests,
                    exceptions,
                });
            }
        }
        all
    }
}

fn add_one(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountpoints_for_people() {
        assert_eq!(shown(""), "/");
        assert_eq!(shown("/shop"), "/shop");
        assert_eq!(shown("a.example|"), "a.example/");
        assert_eq!(shown("a.example|/shop"), "a.example/shop");
    }

    #[test]
    fn a_tally_counts_each_application_for_itself() {
        let counters = AppCounters::new(2);
        counters.count(0, false);
        counters.count(1, true);
        counters.count(1, false);
        // An application that this generation does not have.
        counters.count(2, true);
        assert_eq!(
            (counters.of(0), counters.of(1), counters.of(2)),
            ((1, 0), (2, 1), (0, 0))
        );
    }
}
