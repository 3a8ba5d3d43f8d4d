//! How a process of the server begins, by what it is for: a first start, to stand in for another process or to succeed it, to go on where it
//! has left off itself. Main thread.

use std::sync::Arc;
use std::time::Instant;

use super::handover::in_place;
#[cfg(unix)]
use super::handover::standing_in;
use super::handover::successor::{Succession, tell_failure};
use super::handover::takeover;
use super::handover::waiter::Keeper;
use super::hooks;
use super::prepare::{begin, set_umask};
#[cfg(unix)]
use super::start::start_log;
use super::start::{FLUSH_TIMEOUT, NO_APP, start};
use crate::admin::inherited_sockets::{self, InheritedSockets};
use crate::config::Config;
use crate::config::Failure;
use crate::os::service_manager::socket_activation;
use crate::os::title;
use crate::reload::handover::origin::{self, Inheritance, Origin, Step};
use crate::telemetry::LogWriter;

/// Serves until the server is told to stop. Returns the exit code; call from the main thread, before any
/// other thread exists.
///
/// # Errors
/// What kept the server from starting.
pub fn run(config: &Config) -> Result<i32, Failure> {
    let step = in_place::step();
    let is_for_another = step.is_for_another();
    run_step(config, step).map_err(|failure| match is_for_another {
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
    let mut origin = Origin::now().map_err(Failure::new)?;
    let mut inherited = InheritedSockets::read();
    if std::env::var_os(inherited_sockets::VARIABLE).is_some() {
        origin.forget(inherited_sockets::VARIABLE);
        // If this image cannot take over, the next one is to know who waits for the reload.
        origin.remember(inherited_sockets::VARIABLE, inherited.journal_alone());
    }
    begin(config)?;
    set_umask(config);
    let mut unset = config.python.environment_unset.clone();
    if std::env::var_os(origin::VARIABLE).is_some() {
        unset.push(origin::VARIABLE.to_owned());
    }
    let mut environment = config.python.environment_set.clone();
    environment.extend(hooks::environment(config));
    let title_spills = title::wants_the_environments_room(config);
    if std::env::var_os(inherited_sockets::VARIABLE).is_some() {
        unset.push(inherited_sockets::VARIABLE.to_owned());
    }
    let (handed_over, says) = socket_activation::handed_over(in_place::pid_of(&step));
    unset.extend(says);
    let mut succession = None;
    let mut left = match step {
        #[cfg(unix)]
        Step::StandIn(line) => {
            crate::python::set_environment(&unset, &environment, false).map_err(Failure::new)?;
            return standing_in::run(config, handed_over, line);
        }
        Step::Successor(line) => {
            let (begun, inheritance) = Succession::begin(line, &mut inherited)?;
            succession = Some(begun);
            Some(inheritance)
        }
        #[cfg(unix)]
        Step::Next(inheritance) => Some(inheritance),
        Step::First => None,
    };
    crate::python::set_environment(&unset, &environment, title_spills).map_err(Failure::new)?;
    if let Some(left) = &left {
        left.listen().map_err(Failure::new)?;
    }
    let keeper = match &succession {
        Some(succession) => succession.keeper(),
        None => Keeper::own(),
    };
    let keeper = Arc::new(keeper);
    let how = (
        started,
        origin.clone(),
        title_spills,
        (handed_over, inherited, Arc::clone(&keeper)),
    );
    let mut log = None;
    let ended = match start(config, how, (&mut left, &mut succession), &mut log) {
        Err(failure) => match (left, &succession) {
            (Some(left), None) => try_again(Some(config), &origin, left, (failure, log)),
            _ => Err(failure),
        },
        ended => ended,
    };
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

/// See [`takeover::try_again`].
fn try_again(
    config: Option<&Config>,
    origin: &Origin,
    left: Inheritance,
    (failure, log): (Failure, Option<LogWriter>),
) -> Result<i32, Failure> {
    let flush = || {
        if let Some(log) = &log {
            log.flush(FLUSH_TIMEOUT);
        }
    };
    let ended = takeover::try_again(config, origin, left, (failure, &flush));
    flush();
    ended
}

/// The configuration cannot be read. A process that starts anew does not end for that while its stand-in serves. Returns the
/// exit code, unless the text is all there is to say. Main thread.
#[must_use]
pub fn could_not_begin(why: &str) -> Option<i32> {
    let step = in_place::step();
    let line = match &step {
        #[cfg(unix)]
        Step::StandIn(line) => Some(line),
        #[cfg(unix)]
        Step::Next(_) => None,
        Step::Successor(line) => Some(line),
        Step::First => None,
    };
    if let Some(line) = line {
        // What follows it are hints.
        tell_failure(line, why.lines().next().unwrap_or_default());
        return None;
    }
    #[cfg(unix)]
    if let Step::Next(left) = step {
        let origin = Origin::now().ok()?;
        let log = start_log().ok()?;
        left.listen().ok()?;
        return try_again(None, &origin, left, (Failure::new(why), Some(log))).ok();
    }
    None
}
