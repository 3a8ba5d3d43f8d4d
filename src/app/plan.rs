//! The settings of a generation. Data only.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{IsolationChoice, Recycling};
use crate::python::{Facts, InterpreterSpec, Isolation, TargetKind};
use crate::wsgi::AddedFields;

use super::apps::Apps;
use super::probe::Probe;
use super::process::Process;

#[derive(Clone, Debug)]
pub struct Plan {
    pub apps: Apps,
    /// The most interpreters (uWSGI's processes).
    pub interpreters: usize,
    /// Interpreters that are made at start; the others follow on demand.
    pub at_first: usize,
    pub threads: usize,
    pub isolation: IsolationChoice,
    /// `--cpu-affinity`: cores for each of uWSGI's workers; `None` leaves it to the kernel.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "threads are not placed there")
    )]
    pub cores_per_worker: Option<usize>,
    /// Name threads like uWSGI's processes.
    pub uwsgi_names: bool,
    pub facts: Facts,
    /// The template for every interpreter; worker number and isolation are filled in.
    pub spec: InterpreterSpec,
    pub added_fields: Arc<AddedFields>,
    pub stack_bytes: usize,
    pub queue_max: usize,
    /// A new generation's interpreters must answer it before they serve.
    pub probe: Option<Probe>,
    pub recycling: Recycling,
    pub folder: PathBuf,
    /// How long an interpreter's own threads may take to finish before it is parked for ever.
    pub end_grace: Duration,
    pub process: Arc<Process>,
}

impl Plan {
    /// The numbers of interpreters and of threads in each.
    pub(super) fn shape(&self, isolation: Isolation) -> (usize, usize) {
        match isolation {
            Isolation::Main => (1, self.interpreters * self.threads),
            Isolation::OwnGil | Isolation::SharedGil => (self.interpreters, self.threads),
        }
    }

    /// The plan with paths made absolute, if the process has left the directory that they are
    /// relative to (`--chdir2`, or the application itself).
    pub(super) fn seen_from_here(&self) -> Cow<'_, Self> {
        if std::env::current_dir().is_ok_and(|now| now == self.folder) {
            return Cow::Borrowed(self);
        }
        let folder = &self.folder;
        let mut plan = self.clone();
        for target in plan.apps.targets_mut() {
            anchor(&mut target.kind, folder);
        }
        for import in &mut plan.spec.imports {
            anchor(&mut import.target, folder);
        }
        for path in &mut plan.spec.plugins {
            *path = folder.join(&*path);
        }
        for path in &mut plan.spec.python_path {
            *path = folder.join(&*path);
        }
        plan.spec.python_path.insert(0, folder.clone());
        Cow::Owned(plan)
    }
}

impl IsolationChoice {
    /// The requested isolation; `None` where it depends on the Python and the application.
    pub fn asked_for(self) -> Option<Isolation> {
        match self {
            IsolationChoice::Auto => None,
            IsolationChoice::OwnGil => Some(Isolation::OwnGil),
            IsolationChoice::SharedGil => Some(Isolation::SharedGil),
            IsolationChoice::Main => Some(Isolation::Main),
        }
    }
}

fn anchor(target: &mut TargetKind, folder: &Path) {
    match target {
        TargetKind::File(path) => *path = folder.join(&*path),
        TargetKind::Paste { uri, .. } => {
            if let Some(path) = uri.strip_prefix("config:") {
                *uri = format!("config:{}", folder.join(path).display());
            }
        }
        TargetKind::Module(_) | TargetKind::Code(_) => {}
    }
}
