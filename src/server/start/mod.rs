//! Start-up in stages. Each stage is a type that the next one consumes:
//!
//! - [`Prepared`]: configuration checked, log open, signals caught, resource limits set
//! - [`Bound`]: sockets bound, privileges dropped
//! - [`Loaded`]: Python started, first generation loaded
//! - [`Serving`]: threads run, requests are answered
//!
//! A first start, a successor and a server that the waiter starts (`--supervise`) take the same
//! way; [`Origin`] tells them apart. A first process that supervises leaves this way when the
//! sockets are bound ([`supervising`]). Main thread.

mod bound;
pub mod cancellation;
mod ended;
mod launch;
mod loaded;
mod prepared;
mod serving;
#[cfg_attr(target_os = "linux", path = "shared_jobs_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "shared_jobs_other.rs")]
mod shared_jobs;
mod succeeded;
mod supervising;

use std::sync::Arc;
use std::time::Instant;

use self::ended::Ended;
use self::launch::{About, EarlyExit, Launch, Origin};
use self::loaded::Loaded;
use self::prepared::Prepared;
use self::serving::Serving;
use super::alarms;
use super::exit::Exit;
use super::folders::Folders;
use super::hooks::{self, HookContext, Next};
use super::log_target::{self, LogOutput};
use super::one_shot;
use super::prepare::{begin, say_early, set_umask};
use crate::config::{Config, Failure, NO_APP, OneShot, Phase, Supervise};
use crate::os::daemon;
use crate::os::program::{FURTHER_PACKAGES, RELAUNCH_VARIABLE};
use crate::os::service_manager::socket_activation;
use crate::os::{file_locks, pidfile, title};
use crate::python;
use crate::reload::handover::inherited::InheritedSockets;
use crate::reload::handover::predecessor::{Predecessor, tell_failure};
use crate::waiter::link::Link;
use crate::waiter::message::Program;
use crate::waiter::role::{Role, VARIABLE, role};

/// Serves until the server is told to stop. Call from the main thread, before any other thread
/// exists.
///
/// # Errors
/// Why the server could not start.
pub fn run(config: &Config) -> Result<Exit, Failure> {
    let started = Instant::now();
    let program = Program::of_this_process().map_err(Failure::new)?;
    match role() {
        // With this code the failure of a successor starts no `--fallback-config`.
        Ok(role @ Role::Successor(_)) => {
            let ended = start_process(config, program, role, started);
            ended.map_err(|failure| Failure {
                code: NO_APP,
                ..failure
            })
        }
        // The waiter starts that configuration, if this is the server's first start.
        Ok(role @ Role::Server(_)) => {
            let ended = start_process(config, program, role, started);
            Ok(ended.unwrap_or_else(|failure| {
                say_early(&format!("error: {}", failure.text));
                Exit::with(i32::from(failure.code))
            }))
        }
        Ok(role) => start_process(config, program, role, started),
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
    role: Role,
    started: Instant,
) -> Result<Exit, Failure> {
    begin(config)?;
    set_umask(config);
    let mut unset = config.python.environment_unset.clone();
    let ours = [VARIABLE, RELAUNCH_VARIABLE, FURTHER_PACKAGES];
    let ours = ours.iter().filter(|name| std::env::var_os(name).is_some());
    unset.extend(ours.map(|name| (*name).to_owned()));
    let mut environment = config.python.environment_set.clone();
    environment.extend(hooks::environment(config));
    let title_spills = title::wants_the_environments_room(config);
    let origin = match role {
        Role::First => Origin::First,
        Role::Server(_) => Origin::Waiter,
        Role::Successor(_) => Origin::Predecessor,
    };
    let mut predecessor = None;
    let mut inherited = InheritedSockets::default();
    let link = match role {
        Role::First => Link::first(),
        Role::Server(started) => {
            pidfile::belongs_to(started.waiter);
            started
                .sockets
                .into_iter()
                .for_each(|socket| inherited.add(socket));
            Link::to_waiter(started.link, Some(started.supervision))
        }
        Role::Successor(begun) => {
            pidfile::belongs_to(begun.waiter);
            let mut received =
                Predecessor::receive_sockets(begun.predecessor).map_err(Failure::new)?;
            inherited = std::mem::take(&mut received.sockets);
            predecessor = Some(received);
            Link::to_waiter(begun.link, begun.supervision)
        }
    };
    let link = Arc::new(link);
    // The service manager handed the sockets over to the first process.
    let (handed_over, says) = socket_activation::handed_over(pidfile::pid());
    unset.extend(says);
    python::set_environment(&unset, &environment, title_spills).map_err(Failure::new)?;
    let about = About {
        origin,
        started,
        program: program.clone(),
        handed_over,
        title_spills,
    };
    let ended = match &config.python.one_shot {
        Some(one_shot) => run_one_shot(config, one_shot).map(Ended::Stopped),
        None => serve(config, about, predecessor.as_mut(), inherited, &link),
    };
    match ended {
        Ok(Ended::Stopped(code)) => {
            link.stopping();
            Ok(match origin {
                Origin::First => Exit::of_first(config, code),
                Origin::Waiter | Origin::Predecessor => Exit::with(code),
            })
        }
        Ok(Ended::Supervising(supervising)) => Ok(supervising.wait(config, &program)),
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
    predecessor: Option<&mut Predecessor>,
    mut inherited: InheritedSockets,
    link: &Arc<Link>,
) -> Result<Ended, Failure> {
    let alarms = alarms::of(config);
    let is_first = about.origin == Origin::First;
    let is_waiter = is_first && config.process.supervise != Supervise::Off;
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
    let mut output = LogOutput::start(targets.log.or(targets.daemon), starter, Some(&config.log))?;
    title::set(config, about.title_spills);
    output.redirect_unless_starting()?;
    let launch = Launch::new(config, about, predecessor, link, &alarms, &mut output);
    let bound = Prepared::new(launch, inherited, locks).and_then(Prepared::bind);
    let ended = bound.and_then(|bound| match is_waiter {
        true => bound.supervise().map(Ended::Supervising),
        false => bound
            .load()
            .and_then(Loaded::serve)
            .and_then(Serving::supervise),
    });
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
    daemon::detach(waits, &python::fork).map_err(|error| {
        Failure::about(
            config,
            if waits { "daemonize2" } else { "daemonize" },
            format_args!("cannot become a daemon: {error}"),
        )
    })
}
