//! The applications of a generation: what is to be loaded and where it is mounted, how loading went, and what each of
//! them has done since. Every interpreter of a generation has the same table.
//!
//! Plain data. Loading runs on the thread that makes an interpreter; counters are written by one worker thread each and
//! read by anybody.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::python::{AppTarget, LoadFailure, Loaded};
use crate::wsgi::{Mounts, Place, Rules};

/// What is to be loaded, and which request is for which of them.
#[derive(Clone, Debug, Default)]
pub struct Apps {
    targets: Vec<AppTarget>,
    mounts: Mounts,
}

impl Apps {
    /// These applications, each at its place; [`Chosen::app`](crate::wsgi::Chosen::app) counts them in this order. None at
    /// all answers every request with 500.
    pub fn new(apps: Vec<(Place, AppTarget)>, rules: Rules) -> Self {
        let (places, targets) = apps.into_iter().unzip();
        Self {
            targets,
            mounts: Mounts::new(places, rules),
        }
    }

    /// Which request is for which application.
    pub fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    /// Each application and where it is mounted, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Place, &AppTarget)> {
        self.mounts.places().iter().zip(&self.targets)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.targets.len()
    }
}

/// How the loading of one application went, for the start-up report.
#[derive(Clone, Debug)]
pub struct AppReport {
    /// Where it is mounted, in uWSGI's spelling.
    pub mountpoint: String,
    /// What no mount holds goes to this one.
    pub is_default: bool,
    /// What was loaded; `None`: it could not be, and its requests are answered with 500.
    pub loaded: Option<Loaded>,
}

/// The applications that could not be loaded, each with its mountpoint: all there are, or what another interpreter of the
/// same generation could load.
#[derive(Debug)]
pub struct NotLoaded(pub Vec<(String, LoadFailure)>);

impl NotLoaded {
    /// The failure that the main interpreter would be spared, if there is one.
    pub fn needs_main(&self) -> Option<&LoadFailure> {
        let mut failures = self.0.iter().map(|(_, failure)| failure);
        failures.find(|failure| matches!(failure, LoadFailure::ExtensionRefused { .. }))
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

/// A mountpoint for a person: `/`, `/shop`, `example.org/shop`.
pub fn shown(mountpoint: &str) -> String {
    match mountpoint.split_once('|') {
        None if mountpoint.is_empty() => "/".to_owned(),
        None => mountpoint.to_owned(),
        Some((host, "")) => format!("{host}/"),
        Some((host, prefix)) => format!("{host}{prefix}"),
    }
}

/// What one application has done in one interpreter (`uwsgi.workers()[..]['apps']`).
#[derive(Clone, Debug)]
pub struct AppStats {
    /// The interpreter, from 1 (uWSGI's worker id).
    pub worker: usize,
    /// The application's number, from 0.
    pub id: usize,
    /// Where it is mounted, in uWSGI's spelling.
    pub mountpoint: String,
    /// What is called; empty if it could not be loaded.
    pub callable: String,
    /// How long its loading took.
    pub startup_time: Duration,
    /// Requests that it was called for, or would have been if it were loaded.
    pub requests: u64,
    /// Requests that failed in it.
    pub exceptions: u64,
}

/// What one worker thread has done for each application. Only that thread writes, so counting is a plain store: nothing is
/// shared between processors on the way of a request.
#[derive(Debug)]
pub(super) struct Tally(Box<[Counts]>);

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    exceptions: AtomicU64,
}

impl Tally {
    pub(super) fn new(apps: usize) -> Self {
        Self((0..apps).map(|_| Counts::default()).collect())
    }

    /// Counts a request. Only its one thread calls this.
    #[inline]
    pub(super) fn count(&self, app: usize, has_failed: bool) {
        if let Some(counts) = self.0.get(app) {
            add_one(&counts.requests);
            if has_failed {
                add_one(&counts.exceptions);
            }
        }
    }

    /// Requests and exceptions of an application.
    pub(super) fn of(&self, app: usize) -> (u64, u64) {
        self.0.get(app).map_or((0, 0), |counts| {
            (
                counts.requests.load(Ordering::Relaxed),
                counts.exceptions.load(Ordering::Relaxed),
            )
        })
    }
}

/// For a counter with a single writer.
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
        let tally = Tally::new(2);
        tally.count(0, false);
        tally.count(1, true);
        tally.count(1, false);
        // An application that this generation does not have.
        tally.count(2, true);
        assert_eq!(
            (tally.of(0), tally.of(1), tally.of(2)),
            ((1, 0), (2, 1), (0, 0))
        );
    }
}
