//! What a generation is made from. Data only.

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

/// What a generation is made from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The applications, and which request is for which of them.
    pub apps: Apps,
    /// Interpreters (uWSGI's processes), at most.
    pub interpreters: usize,
    /// How many of them are made at once; the others when they are needed.
    pub at_first: usize,
    pub threads: usize,
    /// How interpreters are made.
    pub isolation: IsolationChoice,
    /// Cores that each of uWSGI's workers would be kept on; `None` leaves it to the kernel.
    pub cores_per_worker: Option<usize>,
    /// Threads are called as uWSGI's processes.
    pub uwsgi_names: bool,
    /// The constants of the `uwsgi` module.
    pub facts: Facts,
    /// What every interpreter is told; its worker number and isolation are filled in.
    pub spec: InterpreterSpec,
    /// Fields that are added to every response.
    pub added_fields: Arc<AddedFields>,
    /// The stack of each worker thread.
    pub stack_bytes: usize,
    /// Requests that may wait.
    pub queue_max: usize,
    /// What the interpreters of a new generation have to answer before they serve.
    pub probe: Option<Probe>,
    /// When an interpreter is replaced by a fresh one.
    pub recycling: Recycling,
    /// The working directory that relative paths are meant from.
    pub folder: PathBuf,
    /// What an interpreter's own threads are given to finish, before it is parked for ever.
    pub end_grace: Duration,
    /// What the generations of the process have around them.
    pub process: Arc<Process>,
}

impl Plan {
    /// How many interpreters there will be, and threads of each.
    pub(super) fn shape(&self, isolation: Isolation) -> (usize, usize) {
        match isolation {
            Isolation::Main => (1, self.interpreters * self.threads),
            Isolation::OwnGil | Isolation::SharedGil => (self.interpreters, self.threads),
        }
    }

    /// The plan as it has to be read now: if the process has left the directory that relative paths
    /// are meant from (`--chdir2`, or the application itself), they are made absolute.
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
    /// The way that was asked for; `None` where it depends on the Python and the application.
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
