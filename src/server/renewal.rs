//! Makes the next [`Version`] for a reload: reads the configuration again and resolves every path
//! anew. Runs on `sm-reload`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folders::Folders;
use super::prepare::{check_harakiri, check_home};
use super::settings::{cron_commands, plan};
use super::site::{SiteSurroundings, site};
use super::sockets::Listening;
use super::{applications, hooks, settings};
use crate::app::process::Process;
use crate::config::{self, Change, Config, Failure, TakesEffect};
use crate::os::program;
use crate::python::{Environment, Runtime};
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
    /// The configuration of the start, and the variables that the first interpreter started with.
    pub first: (Arc<Config>, Environment),
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

/// The variables that a configuration sets or removes.
fn names_of_variables(config: &Config) -> impl Iterator<Item = String> {
    let python = &config.python;
    let set = python.environment_set.iter().map(|(name, _)| name.clone());
    let unset = python.environment_unset.iter().cloned();
    set.chain(unset)
        .chain(hooks::environment(config).map(|(name, _)| name))
}

/// The value of a variable that a configuration may change.
fn variable(config: &Config, name: &OsStr, inherited: &[(OsString, OsString)]) -> Option<OsString> {
    let set = config.python.environment_set.iter().cloned();
    let last = set
        .chain(hooks::environment(config))
        .filter(|(other, _)| OsStr::new(other) == name)
        .last();
    if let Some((_, value)) = last {
        return Some(value.into());
    }
    let mut unset = config.python.environment_unset.iter();
    if unset.any(|other| OsStr::new(other) == name) {
        return None;
    }
    let found = inherited.iter().find(|(other, _)| other == name);
    found.map(|(_, value)| value.clone())
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
        cron_commands(&config)?;
        check_home(&config, self.program.folder(), self.runtime)?;
        let added = settings::added_fields(&config, &load)?;
        let memory = Arc::clone(&before.site.settings.body_memory);
        let around = SiteSurroundings {
            last_load: &self.last_load,
            folder: &load,
            listening: &self.listening,
            process: &self.process,
        };
        let site = Arc::new(site(&config, added, memory, &around)?);
        let apps = applications::choose(&config)?;
        let added = &site.settings.added_fields;
        let mut plan = plan(&config, &self.listening, apps, &self.process, added, load);
        plan.spec.environment = self.environment(&config);
        plan.facts.started_on = before.plan.facts.started_on;
        Ok(Version {
            config,
            plan,
            site,
            folder,
        })
    }

    /// The variables of the start, as this configuration changes them.
    fn environment(&self, config: &Config) -> Environment {
        let (first, started_with) = &self.first;
        let mut all: Vec<_> = started_with.to_vec();
        let changed = names_of_variables(first).chain(names_of_variables(config));
        for name in changed.map(OsString::from) {
            all.retain(|(other, _)| *other != name);
            let value = variable(config, &name, &self.program.environment);
            all.extend(value.map(|value| (name, value)));
        }
        all.into()
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
    let environment = program::for_configuration(program.environment.iter().cloned());
    config::read_again(program::arguments(), environment, program.folder())
        .map(|config| *config)
        .map_err(|error| error.to_string())
}
