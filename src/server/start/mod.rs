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
use self::serving::Serving;
use super::alarms;
use super::handover::in_place;
use super::handover::successor::{Succession, tell_failure};
use super::handover::waiter::Keeper;
use super::hooks::{self, HookContext, Next};
use super::log_target::{self, LogOutput};
use super::one_shot;
use super::prepare::{begin, say_early, set_umask};
use crate::config::{Config, Failure, NO_APP, OneShot, Phase};
use crate::os::daemon::{self, Role};
use crate::os::service_manager::socket_activation;
use crate::os::{file_locks, pidfile, title};
use crate::reload::handover::origin::{self, Inheritance, Origin, Step};

/// Serves until the server is told to stop. Returns the exit code; call from the main thread,
/// before any other thread exists.
///
/// # Errors
/// Why the server could not start.
pub fn run(config: &Config) -> Result<i32, Failure> {
    let started = Instant::now();
    let step = in_place::step();
    let is_successor = matches!(step, Step::Successor(_));
    start_process(config, step, started).map_err(|failure| match is_successor {
        // With this code `--fallback-config` does not start another server.
        true => Failure {
            code: NO_APP,
            ..failure
        },
        false => failure,
    })
}

/// The configuration cannot be read: a successor tells its predecessor. Main thread.
pub fn could_not_begin(why: &str) {
    if let Step::Successor(line) = in_place::step() {
        // The lines after the first one are hints.
        tell_failure(&line, why.lines().next().unwrap_or_default());
    }
}

/// Sets the process's environment up, serves, and ends the process's ties to other processes.
fn start_process(config: &Config, step: Step, started: Instant) -> Result<i32, Failure> {
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
    // The service manager handed the sockets over to the first process.
    let (handed_over, says) = socket_activation::handed_over(pidfile::pid());
    unset.extend(says);
    crate::python::set_environment(&unset, &environment, title_spills).map_err(Failure::new)?;
    let keeper = Arc::new(match &succession {
        Some(succession) => succession.keeper(),
        None => Keeper::own(),
    });
    let about = About {
        started,
        origin,
        handed_over,
        title_spills,
    };
    let ended = match &config.python.one_shot {
        Some(one_shot) => run_one_shot(config, one_shot),
        None => serve(config, about, succession.as_mut(), &keeper),
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

fn run_one_shot(config: &Config, one_shot: &OneShot) -> Result<i32, Failure> {
    let output = LogOutput::start(None, None)?;
    let done = one_shot::run(config, one_shot);
    output.flush();
    done
}

/// Opens the log, becomes a daemon, and goes through the stages.
fn serve(
    config: &Config,
    about: About,
    mut succession: Option<&mut Succession>,
    keeper: &Arc<Keeper>,
) -> Result<i32, Failure> {
    let alarms = alarms::of(config);
    let is_first = succession.is_none();
    let mut inherited = match &mut succession {
        Some(succession) => std::mem::take(&mut succession.inheritance),
        None => Inheritance::default(),
    };
    let locks = file_locks::take(config, false, &say_early, &mut inherited.locks)?;
    if is_first {
        let context = HookContext {
            say: &say_early,
            alarms: &alarms,
        };
        if let Next::Leave(code) = hooks::run(config, &[Phase::Asap], context)? {
            return Ok(code);
        }
    }
    let targets = log_target::open_all(config, is_first)?;
    let mut starter = None;
    if targets.daemon.is_some() && is_first {
        match detach(config)? {
            Role::Starter(code) => return Ok(code),
            Role::Daemon(waiting) => starter = waiting,
        }
    }
    let mut output = LogOutput::start(targets.log.or(targets.daemon), starter)?;
    title::set(config, about.title_spills);
    output.redirect_unless_starting()?;
    let launch = Launch::new(config, about, succession, keeper, &alarms, &mut output);
    let ended = Prepared::new(launch, inherited, locks)
        .and_then(Prepared::bind)
        .and_then(Bound::load)
        .and_then(Loaded::serve)
        .and_then(Serving::supervise);
    alarms.flush(alarms::FLUSH_TIMEOUT);
    output.flush();
    match ended {
        Ok(code) | Err(EarlyExit::Code(code)) => Ok(code),
        Err(EarlyExit::Failed(failure)) => {
            output.fail_starter(failure.code);
            Err(failure)
        }
    }
}

fn detach(config: &Config) -> Result<Role, Failure> {
    let waits = config.process.daemonize.is_none();
    daemon::detach(waits).map_err(|error| {
        Failure::about(
            config,
            if waits { "daemonize2" } else { "daemonize" },
            format_args!("cannot become a daemon: {error}"),
        )
    })
}
