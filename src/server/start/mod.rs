//! Start-up in stages. Each stage is a type that the next one consumes:
//!
//! - [`Prepared`]: configuration checked, log open, signals caught, resource limits set
//! - [`Bound`]: sockets bound, privileges dropped
//! - [`Loaded`]: Python started, first generation loaded
//! - [`Serving`]: threads run, requests are answered
//!
//! A first start and a successor take the same way; [`Launch::is_first`] tells them apart. Main
//! thread.

mod bound;
pub mod cancellation;
mod launch;
mod loaded;
mod prepared;
mod serving;

use std::sync::Arc;
use std::time::Instant;

use self::bound::Bound;
use self::launch::{About, EarlyExit, Launch};
use self::loaded::Loaded;
use self::prepared::Prepared;
use self::serving::{Ended, Serving};
use super::alarms;
use super::exit::Exit;
use super::folders::Folders;
use super::hooks::{self, HookContext, Next};
use super::log_target::{self, LogOutput};
use super::one_shot;
use super::prepare::{begin, say_early, set_umask};
use crate::config::{Config, Failure, NO_APP, OneShot, Phase};
use crate::os::daemon;
use crate::os::service_manager::socket_activation;
use crate::os::{file_locks, pidfile, title};
use crate::reload::handover::inherited::InheritedSockets;
use crate::reload::handover::predecessor::{Predecessor, tell_failure};
use crate::waiter::link::Link;
use crate::waiter::message::Program;
use crate::waiter::role::{Begun, Role, VARIABLE, role};

/// Serves until the server is told to stop. Call from the main thread, before any other thread
/// exists.
///
/// # Errors
/// Why the server could not start.
pub fn run(config: &Config) -> Result<Exit, Failure> {
    let started = Instant::now();
    let program = Program::of_this_process().map_err(Failure::new)?;
    match role() {
        Ok(Role::First) => start_process(config, program, None, started),
        // With this code the failure of a successor starts no `--fallback-config`.
        Ok(Role::Successor(begun)) => {
            let ended = start_process(config, program, Some(begun), started);
            ended.map_err(|failure| Failure {
                code: NO_APP,
                ..failure
            })
        }
        Err(error) => Err(Failure {
            code: NO_APP,
            ..Failure::new(error)
        }),
    }
}

/// The configuration cannot be read: a successor tells its predecessor. Main thread.
pub fn could_not_begin(why: &str) {
    if let Ok(Role::Successor(begun)) = role() {
        // The lines after the first one are hints.
        tell_failure(&begun.predecessor, why.lines().next().unwrap_or_default());
    }
}

/// Sets the process's environment up, and serves. A first process waits for its successors.
fn start_process(
    config: &Config,
    program: Program,
    begun: Option<Begun>,
    started: Instant,
) -> Result<Exit, Failure> {
    begin(config)?;
    set_umask(config);
    let mut unset = config.python.environment_unset.clone();
    if std::env::var_os(VARIABLE).is_some() {
        unset.push(VARIABLE.to_owned());
    }
    let mut environment = config.python.environment_set.clone();
    environment.extend(hooks::environment(config));
    let title_spills = title::wants_the_environments_room(config);
    let (link, mut predecessor) = match begun {
        Some(begun) => {
            pidfile::belongs_to(begun.waiter);
            let predecessor = Predecessor::receive_sockets(begun.predecessor);
            let predecessor = predecessor.map_err(Failure::new)?;
            (Link::of_successor(begun.link), Some(predecessor))
        }
        None => (Link::first(), None),
    };
    let link = Arc::new(link);
    // The service manager handed the sockets over to the first process.
    let (handed_over, says) = socket_activation::handed_over(pidfile::pid());
    unset.extend(says);
    crate::python::set_environment(&unset, &environment, title_spills).map_err(Failure::new)?;
    let about = About {
        started,
        program: program.clone(),
        handed_over,
        title_spills,
    };
    let ended = match &config.python.one_shot {
        Some(one_shot) => run_one_shot(config, one_shot).map(Ended::Stopped),
        None => serve(config, about, predecessor.as_mut(), &link),
    };
    match ended {
        Ok(Ended::Stopped(code)) if predecessor.is_none() => Ok(Exit::of_first(config, code)),
        Ok(Ended::Stopped(code)) => Ok(Exit::with(code)),
        Ok(Ended::Succeeded(_)) if predecessor.is_some() => Ok(Exit::with(0)),
        Ok(Ended::Succeeded(succeeded)) => Ok(succeeded.wait(config, &program, &link)),
        Err(failure) => {
            if let Some(predecessor) = predecessor {
                predecessor.fail(&failure.text);
            }
            Err(failure)
        }
    }
}

fn run_one_shot(config: &Config, one_shot: &OneShot) -> Result<i32, Failure> {
    let output = LogOutput::start(None, None, None)?;
    let done = one_shot::run(config, one_shot);
    output.flush();
    done
}

/// Opens the log, becomes a daemon, and goes through the stages.
fn serve(
    config: &Config,
    about: About,
    mut predecessor: Option<&mut Predecessor>,
    link: &Arc<Link>,
) -> Result<Ended, Failure> {
    let alarms = alarms::of(config);
    let is_first = predecessor.is_none();
    let mut inherited = match &mut predecessor {
        Some(predecessor) => std::mem::take(&mut predecessor.sockets),
        None => InheritedSockets::default(),
    };
    let locks = file_locks::take(config, false, &say_early, &mut inherited.locks)?;
    if is_first {
        let context = HookContext {
            say: &say_early,
            alarms: &alarms,
        };
        if let Next::Leave(code) = hooks::run(config, &[Phase::Asap], context)? {
            return Ok(Ended::Stopped(code));
        }
    }
    let folders = Folders::new(config, about.program.folder());
    let targets = log_target::open_all(config, &folders, is_first)?;
    let mut starter = None;
    if targets.daemon.is_some() && is_first {
        match detach(config)? {
            daemon::Role::Starter(code) => return Ok(Ended::Stopped(code)),
            daemon::Role::Daemon(waiting) => starter = waiting,
        }
    }
    let mut output = LogOutput::start(
        targets.log.or(targets.daemon),
        starter,
        config.log.date.as_ref(),
    )?;
    title::set(config, about.title_spills);
    output.redirect_unless_starting()?;
    let launch = Launch::new(config, about, predecessor, link, &alarms, &mut output);
    let ended = Prepared::new(launch, inherited, locks)
        .and_then(Prepared::bind)
        .and_then(Bound::load)
        .and_then(Loaded::serve)
        .and_then(Serving::supervise);
    alarms.flush(alarms::FLUSH_TIMEOUT);
    output.flush();
    match ended {
        Ok(outcome) => Ok(outcome),
        Err(EarlyExit::Code(code)) => Ok(Ended::Stopped(code)),
        Err(EarlyExit::Cancelled) => {
            output.fail_starter(0);
            Ok(Ended::Stopped(0))
        }
        Err(EarlyExit::Failed(failure)) => {
            output.fail_starter(failure.code);
            Err(failure)
        }
    }
}

fn detach(config: &Config) -> Result<daemon::Role, Failure> {
    let waits = config.process.daemonize.is_none();
    daemon::detach(waits).map_err(|error| {
        Failure::about(
            config,
            if waits { "daemonize2" } else { "daemonize" },
            format_args!("cannot become a daemon: {error}"),
        )
    })
}
