//! How a process of the server begins, by what it is for: a first start, or to succeed another process. Main thread.

use std::sync::Arc;
use std::time::Instant;

use super::handover::in_place;
use super::handover::successor::{Succession, tell_failure};
use super::handover::waiter::Keeper;
use super::hooks;
use super::prepare::{begin, set_umask};
use super::start::{NO_APP, start};
use crate::config::Config;
use crate::config::Failure;
use crate::os::pidfile;
use crate::os::service_manager::socket_activation;
use crate::os::title;
use crate::reload::handover::origin::{self, Origin, Step};

/// Serves until the server is told to stop. Returns the exit code; call from the main thread, before any
/// other thread exists.
///
/// # Errors
/// What kept the server from starting.
pub fn run(config: &Config) -> Result<i32, Failure> {
    let step = in_place::step();
    let is_successor = matches!(step, Step::Successor(_));
    run_step(config, step).map_err(|failure| match is_successor {
        // Nobody is to start another configuration in its place.
        true => Failure {
            code: NO_APP,
            ..failure
        },
        false => failure,
    })
}

fn run_step(config: &Config, step: Step) -> Result<i32, Failure> {
    let started = Instant::now();
    let origin = Origin::now().map_err(Failure::new)?;
    begin(config)?;
    set_umask(config);
    let mut unset = config.python.environment_unset.clone();
    if std::env::var_os(origin::VARIABLE).is_some() {
        unset.push(origin::VARIABLE.to_owned());
    }
    let mut environment = config.python.environment_set.clone();
    environment.extend(hooks::environment(config));
    let title_spills = title::wants_the_environments_room(config);
    let mut succession = match step {
        Step::Successor(line) => Some(Succession::begin(line)?),
        Step::First => None,
    };
    // A successor has what was handed over to the first process.
    let (handed_over, says) = socket_activation::handed_over(pidfile::pid());
    unset.extend(says);
    crate::python::set_environment(&unset, &environment, title_spills).map_err(Failure::new)?;
    let keeper = match &succession {
        Some(succession) => succession.keeper(),
        None => Keeper::own(),
    };
    let keeper = Arc::new(keeper);
    let how = (
        started,
        origin,
        title_spills,
        (handed_over, Arc::clone(&keeper)),
    );
    let ended = start(config, how, &mut succession);
    if let Some(succession) = succession {
        if let Err(failure) = &ended {
            succession.fail(&failure.text);
        }
        succession.leave(match &ended {
            Ok(code) => *code,
            Err(failure) => i32::from(failure.code),
        });
    }
    ended.map(|code| keeper.end(code))
}

/// The configuration cannot be read: the process before this one is told so. Main thread.
pub fn could_not_begin(why: &str) {
    if let Step::Successor(line) = in_place::step() {
        // What follows it are hints.
        tell_failure(&line, why.lines().next().unwrap_or_default());
    }
}
