//! A version: the configuration, and what a generation is made from and served with. A reload makes
//! the next one, on `sm-reload`; the main thread puts it in charge together with its generation.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::app::Plan;
use crate::config::Config;
use crate::net::Site;
use crate::python;

/// See the file's header. Never changed.
pub struct Version {
    pub config: Arc<Config>,
    pub plan: Plan,
    /// What connections and static files go by while it is in charge.
    pub site: Arc<Site>,
    /// The working directory once its application is loaded. Where interpreters have none of
    /// their own, the generation before it sees the change, too.
    pub folder: PathBuf,
}

/// What a reload has to do, now that the configuration was read again.
pub enum Renewal {
    /// Load this version beside the one that serves.
    Version(Arc<Version>),
    /// Start another process, which reads the configuration itself.
    NewProcess,
}

/// Makes versions. Called on `sm-reload`.
pub trait MakeVersion: Send + Sync {
    /// Reads the configuration again and makes the version after `before`.
    ///
    /// # Errors
    /// There is none: why. Nothing has changed.
    fn next(&self, before: &Version) -> Result<Renewal, String>;

    /// Another process follows `before`, and reads the configuration itself: logs which changes it
    /// cannot take up either.
    fn note_changes(&self, before: &Version);
}

impl Version {
    /// Whether a fresh interpreter of `other` would be one of this version, too.
    pub fn is_like(&self, other: &Self) -> bool {
        self.plan.folder == other.plan.folder
            && self.folder == other.folder
            && self.config.changes(&other.config).is_empty()
            && self.config.python == other.config.python
    }

    /// Prepares the process for this version, in place of `before`. What the application itself has
    /// put into the environment stays for the version that serves, until the new one is in charge.
    ///
    /// # Errors
    /// The process cannot change to the directory.
    pub fn enter(&self, before: &Self) -> Result<(), String> {
        // A directory that the application itself has changed to is left alone: a generation whose
        // folder is the same finds its files from anywhere.
        let (from, to) = (&before.plan.spec.environment, &self.plan.spec.environment);
        python::move_environment(from, to);
        if self.plan.folder != before.plan.folder || self.folder != before.folder {
            change_to(&self.folder)?;
        }
        Ok(())
    }

    /// Undoes [`enter`](Self::enter): `before` stays in charge.
    pub fn leave(&self, before: &Self) {
        if let Err(why) = before.enter(self) {
            tracing::error!("{why}");
        }
    }
}

fn change_to(folder: &Path) -> Result<(), String> {
    std::env::set_current_dir(folder)
        .map_err(|error| format!("cannot change to {}: {error}", folder.display()))
}
