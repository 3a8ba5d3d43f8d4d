//! Makes the next [`Version`] for a reload: reads the configuration again and resolves every path
//! anew. Runs on `sm-reload`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::engine::site;
use super::folders::Folders;
use super::prepare::{check_harakiri, check_home};
use super::settings::plan;
use super::sockets::Listening;
use super::{applications, settings};
use crate::app::process::Process;
use crate::config::{self, Change, Config, Failure, TakesEffect};
use crate::python::Runtime;
use crate::reload::failed_load::LastLoad;
use crate::reload::version::{MakeVersion, Renewal, Version};
use crate::waiter::message::Program;

/// What all versions have in common.
pub struct VersionMaker {
    pub program: Program,
    pub runtime: &'static Runtime,
    pub process: Arc<Process>,
    pub listening: Vec<Listening>,
    pub last_load: Arc<LastLoad>,
}

impl MakeVersion for VersionMaker {
    fn next(&self, before: &Version) -> Result<Renewal, String> {
        let Some(config) = self.read(before)? else {
            return self.make(Arc::clone(&before.config), before);
        };
        let changes = before.config.changes(&config);
        warn_of_unused(&changes);
        let of_process = names(&changes, TakesEffect::InNewProcess);
        if !of_process.is_empty() {
            tracing::info!(
                "the configuration has changed: {of_process} needs another process, which is \
                 started for it"
            );
            return Ok(Renewal::NewProcess);
        }
        let applied = names(&changes, TakesEffect::AtReload);
        if !applied.is_empty() {
            tracing::info!("the configuration has changed: {applied}");
        }
        if !changes.is_empty() {
            for warning in &config.warnings {
                tracing::warn!("{warning}");
            }
        }
        self.make(Arc::new(config), before)
    }

    fn note_changes(&self, before: &Version) {
        // One that cannot be used fails the other process.
        if let Ok(Some(config)) = self.read(before) {
            warn_of_unused(&before.config.changes(&config));
        }
    }
}

/// Names the options that only a start of the server can take up.
fn warn_of_unused(changes: &[Change]) {
    let unused = names(changes, TakesEffect::AtStart);
    if !unused.is_empty() {
        tracing::warn!(
            "the configuration has changed: {unused} cannot change while the server runs; stop it \
             and start it again"
        );
    }
}

/// The options whose change takes effect then.
fn names(changes: &[Change], takes_effect: TakesEffect) -> String {
    let changes = changes
        .iter()
        .filter(|change| change.takes_effect == takes_effect);
    let names: Vec<&str> = changes.map(|change| change.option.as_str()).collect();
    names.join(", ")
}

impl VersionMaker {
    /// The configuration as it is now; `None`: it cannot be read a second time.
    fn read(&self, before: &Version) -> Result<Option<Config>, String> {
        if !before.config.reads_again {
            return Ok(None);
        }
        let mut config = read_configuration(&self.program).map_err(|why| {
            // The lines after the first one are hints.
            let lines: Vec<&str> = why.lines().map(str::trim).collect();
            format!("the configuration cannot be used: {}", lines.join(": "))
        })?;
        // Sockets that a service manager has handed over were added to it.
        config.sockets = before.config.sockets.clone();
        Ok(Some(config))
    }

    fn make(&self, config: Arc<Config>, before: &Version) -> Result<Renewal, String> {
        self.version(config, before)
            .map(|version| Renewal::Version(Arc::new(version)))
            .map_err(|failure| failure.text)
    }

    fn version(&self, config: Arc<Config>, before: &Version) -> Result<Version, Failure> {
        let folders = Folders::new(&config, self.program.folder());
        let load = self.resolve(&config, &folders.load, &before.plan.folder)?;
        let folder = self.resolve(&config, &folders.run, &before.folder)?;
        check_harakiri(&config, self.runtime)?;
        check_home(&config, self.program.folder(), self.runtime)?;
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
            Err(_) if path == self.program.folder() => Ok(before.to_path_buf()),
            Err(error) => Err(Failure::about(
                config,
                "chdir",
                format_args!("cannot change to {}: {error}", path.display()),
            )),
        }
    }
}

/// Reads the configuration once more, as it is now.
fn read_configuration(program: &Program) -> Result<Config, String> {
    let arguments = program.arguments.iter().skip(1).cloned();
    let environment = program.environment.iter().cloned();
    config::read_again(arguments, environment, program.folder())
        .map(|config| *config)
        .map_err(|error| error.to_string())
}
