//! Whether the server would start with a configuration on this machine: the answer of
//! `--check-config` and `--explain`.
//!
//! The steps of the start in their order, by its own functions. Steps that leave a trace (files,
//! sockets, another user) have a `check` beside them that only looks. Not looked at: ports that are
//! in use, locks that are held, sockets that are handed over, what hooks do, what another user may
//! read, and whether the application loads. The process ends afterwards: its folder and its
//! environment are the server's, and Python has started. Main thread.

use std::path::{Path, PathBuf};

use super::applications;
use super::certificates::Certificates;
use super::folders::{Folders, change_files};
use super::hooks;
use super::log_target;
use super::prepare::{change_directory, check_harakiri, enter_directory, start_python};
use super::settings::{added_fields, cron_commands};
use super::site::static_files;
use super::sockets;
use crate::admin::{fifo, tracebacker};
use crate::config::{AppTarget, Config, Failure, NO_APP, Phase, WaitTarget};
use crate::os::{file_locks, pidfile, privileges};

/// Looks at everything that the start refuses. Call from the main thread, before any other thread
/// exists.
///
/// # Errors
/// What the start would say.
pub fn check(config: &Config) -> Result<(), Failure> {
    let started = std::env::current_dir().map_err(Failure::new)?;
    let mut environment = config.python.environment_set.clone();
    environment.extend(hooks::environment(config));
    crate::python::set_environment(&config.python.environment_unset, &environment, false)
        .map_err(Failure::new)?;
    applications::choose(config)?;
    cron_commands(config)?;
    if config.python.one_shot.is_some() {
        enter_directory(config)?;
        return start_python(config, &started).map(drop);
    }
    privileges::check(config)?;
    check_machine(config, &started)
}

/// What is on this machine, up to the first hook that may change it.
fn check_machine(config: &Config, started: &Path) -> Result<(), Failure> {
    if let Some(folder) = &config.start.folder {
        change_directory(config, "force-cwd", folder)?;
    }
    let folders = Folders::new(config, started);
    file_locks::check(config, false)?;
    if change_files(config, &[Phase::Asap]) {
        return Ok(());
    }
    log_target::check(config, &folders, false)?;
    file_locks::check(config, true)?;
    Certificates::open(config, &folders.start)?;
    enter_directory(config)?;
    added_fields(config, &folder_now())?;
    if change_files(config, &[Phase::PreJail, Phase::PostJail, Phase::InJail]) {
        return Ok(());
    }
    sockets::check(config)?;
    pidfile::check(config, false)?;
    if change_files(config, &[Phase::AsRoot]) || waits_for_files(config) {
        return Ok(());
    }
    let process = &config.process;
    if process.uid.is_none() && process.immediate_uid.is_none() {
        log_target::check(config, &folders, true)?;
        pidfile::check(config, true)?;
    }
    if change_files(config, &[Phase::AsUser]) {
        return Ok(());
    }
    let runtime = start_python(config, started)?;
    check_harakiri(config, runtime)?;
    static_files::service(config, &folder_now())?;
    if change_files(config, &[Phase::PreApp]) {
        return Ok(());
    }
    tracebacker::check(config)?;
    needed_files(config)?;
    if let Some(folder) = &process.chdir2 {
        change_directory(config, "chdir2", folder)?;
    }
    fifo::check(config)
}

fn folder_now() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}

fn waits_for_files(config: &Config) -> bool {
    let mut awaited = config.start.awaited.iter();
    awaited.any(|one| !matches!(one.target, WaitTarget::Socket(_) | WaitTarget::Interface(_)))
}

/// The files of applications without which the server does not start.
fn needed_files(config: &Config) -> Result<(), Failure> {
    if !config.app.need_app {
        return Ok(());
    }
    let mounted = config.app.mounts.iter().map(|mount| &mount.app);
    for app in config.app.choice.iter().chain(mounted) {
        if let AppTarget::File(path) = &app.target
            && !path.exists()
        {
            return Err(Failure {
                text: format!("{}: there is no such file", path.display()),
                code: NO_APP,
            });
        }
    }
    Ok(())
}
