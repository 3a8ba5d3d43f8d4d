//! Makes the next [`Version`] for a reload: resolves every configured path anew. Runs on
//! `sm-reload`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::engine::site;
use super::folders::Folders;
use super::prepare::check_home;
use super::settings::plan;
use super::sockets::Listening;
use super::{applications, settings};
use crate::app::process::Process;
use crate::config::{Config, Failure};
use crate::python::Runtime;
use crate::reload::failed_load::LastLoad;
use crate::reload::handover::origin::Origin;
use crate::reload::version::{Renewal, Version};

/// What all versions have in common.
pub struct VersionMaker {
    pub origin: Origin,
    pub runtime: &'static Runtime,
    pub process: Arc<Process>,
    pub listening: Vec<Listening>,
    pub last_load: Arc<LastLoad>,
}

impl VersionMaker {
    /// The version after `before`.
    ///
    /// # Errors
    /// There is none: why.
    pub fn next(&self, before: &Version) -> Result<Renewal, String> {
        let config = Arc::clone(&before.config);
        self.make(config, before)
            .map(|version| Renewal::Version(Arc::new(version)))
            .map_err(|failure| failure.text)
    }

    fn make(&self, config: Arc<Config>, before: &Version) -> Result<Version, Failure> {
        let folders = Folders::new(&config, self.origin.folder());
        let load = self.resolve(&config, &folders.load, &before.plan.folder)?;
        let folder = self.resolve(&config, &folders.run, &before.folder)?;
        check_home(&config, self.origin.folder(), self.runtime)?;
        let added = settings::added_fields(&config, &load)?;
        let memory = Arc::clone(&before.site.settings.body_memory);
        let site = Arc::new(site(&config, added, memory, &self.last_load, &load)?);
        let apps = applications::choose(&config)?;
        let added = &site.settings.added_fields;
        let mut plan = plan(&config, &self.listening, apps, &self.process, added, load);
        plan.facts.started_on = before.plan.facts.started_on;
        Ok(Version {
            config,
            plan,
            site,
            folder,
        })
    }

    /// The directory behind all symbolic links. One that nobody has configured, and that is gone,
    /// is not needed.
    fn resolve(&self, config: &Config, path: &Path, before: &Path) -> Result<PathBuf, Failure> {
        match path.canonicalize() {
            Ok(real) => Ok(real),
            Err(_) if path == self.origin.folder() => Ok(before.to_path_buf()),
            Err(error) => Err(Failure::about(
                config,
                "chdir",
                format_args!("cannot change to {}: {error}", path.display()),
            )),
        }
    }
}
