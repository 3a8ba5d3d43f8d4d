//! `hook-*` and `exec-*`: actions at phases of the server's life.
//!
//! docs/hooks.md says where uWSGI's phases are in one process. All actions run on the main thread,
//! one after the other, and the server waits for them. As in uWSGI a failing one ends the server,
//! except at its end.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::background::alarms::Alarms;
use crate::config::Failure;
use crate::config::{Config, HOOK_WAIT_MAX, Hook, HookAction, Phase, SignalMeaning};
use crate::os::file_owner;

/// How often to look for a file that an action waits for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What actions use.
#[derive(Clone, Copy)]
pub struct HookContext<'a> {
    /// Writes a line to the log.
    pub say: &'a dyn Fn(&str),
    /// Raises alarms.
    pub alarms: &'a Alarms,
}

/// What follows after a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The server goes on.
    Go,
    /// An `exit:` action: leave with this code.
    Leave(i32),
}

/// Runs the actions of these phases, in this order.
///
/// # Errors
/// The first action that fails; the rest does not run.
pub fn run(config: &Config, phases: &[Phase], context: HookContext<'_>) -> Result<Next, Failure> {
    run_unless(config, phases, context, |_| false)
}

fn run_unless(
    config: &Config,
    phases: &[Phase],
    context: HookContext<'_>,
    is_done: impl Fn(&Hook) -> bool,
) -> Result<Next, Failure> {
    for phase in phases {
        for hook in of(config, *phase).filter(|hook| !is_done(hook)) {
            match act(&hook.action, context) {
                Ok(Next::Go) => {}
                Ok(leave @ Next::Leave(code)) => {
                    (context.say)(&format!("{}: leaving with code {code}", hook.origin));
                    return Ok(leave);
                }
                Err(why) => {
                    return Err(Failure::new(format_args!("{}: {why}", hook.origin)));
                }
            }
        }
    }
    Ok(Next::Go)
}

/// As [`run`], for the phases that a reload repeats.
///
/// # Errors
/// The first action that fails, or an `exit:` action.
pub fn run_at_reload(
    config: &Config,
    phases: &[Phase],
    context: HookContext<'_>,
) -> Result<(), String> {
    // The directory of a version has been found and entered: see `folders`.
    let is_done = |hook: &Hook| matches!(hook.action, HookAction::ChangeDirectory(_));
    match run_unless(config, phases, context, is_done) {
        Ok(Next::Go) => Ok(()),
        Ok(Next::Leave(_)) => Err("an exit: hook ends a start, and a reload likewise".to_owned()),
        Err(failure) => Err(failure.text),
    }
}

/// Runs the actions of the server's end. A failure is logged, and the rest runs.
pub fn run_at_exit(config: &Config, context: HookContext<'_>) {
    for hook in of(config, Phase::AsUserAtExit) {
        match act(&hook.action, context) {
            Ok(Next::Go) => {}
            Ok(Next::Leave(_)) => return,
            Err(why) => tracing::error!("{}: {why}", hook.origin),
        }
    }
}

/// Variables of `putenv:` actions. They are set with those of `--env`, before any thread exists,
/// whatever their phase: later the environment cannot be written safely, and Python has read it.
pub fn environment(config: &Config) -> impl Iterator<Item = (String, String)> {
    config
        .process
        .hooks
        .iter()
        .filter_map(|hook| match &hook.action {
            HookAction::SetEnvironment(name, value) => Some((name.clone(), value.clone())),
            _ => None,
        })
}

/// The meanings that `unix_signal:` actions give to signals, from the start, whatever their phase.
pub fn signals(config: &Config) -> Vec<SignalMeaning> {
    let meanings = config
        .process
        .hooks
        .iter()
        .filter_map(|hook| match &hook.action {
            HookAction::Signal(meaning) => Some(*meaning),
            _ => None,
        });
    meanings.collect()
}

/// Runs the action of a touched file. A failure is logged. `Some`: leave with this code.
pub fn run_touched(config: &Config, number: usize, context: HookContext<'_>) -> Option<i32> {
    let hook = config.process.hooks.get(number)?;
    tracing::info!("{}: the file was touched", hook.origin);
    match act(&hook.action, context) {
        Ok(Next::Go) => None,
        Ok(Next::Leave(code)) => Some(code),
        Err(why) => {
            tracing::error!("{}: {why}", hook.origin);
            None
        }
    }
}

fn of(config: &Config, phase: Phase) -> impl Iterator<Item = &Hook> {
    let hooks = config.process.hooks.iter();
    hooks.filter(move |hook| hook.phase == phase)
}

fn act(action: &HookAction, context: HookContext<'_>) -> Result<Next, String> {
    let say = context.say;
    let about = |verb: &str, path: &Path, result: io::Result<()>| {
        result.map_err(|error| format!("cannot {verb} {}: {error}", path.display()))
    };
    match action {
        HookAction::Exec(command) => execute(command)?,
        HookAction::SafeExec(command) => {
            if let Err(why) = execute(command) {
                say(&why);
            }
        }
        HookAction::ChangeDirectory(path) => {
            about("change to", path, std::env::set_current_dir(path))?;
        }
        HookAction::MakeDirectory(path) => about("make", path, fs::create_dir(path))?,
        HookAction::ChangeMode(path, mode) => {
            about("set the mode of", path, file_owner::set_mode(path, *mode))?;
        }
        HookAction::Sticky(path) => {
            about("set the sticky bit of", path, file_owner::set_sticky(path))?;
        }
        HookAction::ChangeOwner(path, user, group) => file_owner::set_owner(path, user, group)?,
        HookAction::Create(path) => about("create", path, fs::write(path, ""))?,
        HookAction::Write(path, text) => about("write to", path, fs::write(path, text))?,
        HookAction::Append(path, text) => {
            let mut options = OpenOptions::new();
            let opened = options.create(true).append(true).open(path);
            let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
            about("write to", path, written)?;
        }
        HookAction::WriteFifo(path, text) => {
            about("write to", path, file_owner::write_fifo(path, text))?;
        }
        HookAction::Unlink(path) => about("remove", path, fs::remove_file(path))?,
        HookAction::WaitForPath(path) => wait_for(path, say, Path::exists)?,
        HookAction::WaitForFile(path) => wait_for(path, say, Path::is_file)?,
        HookAction::WaitForDirectory(path) => wait_for(path, say, Path::is_dir)?,
        HookAction::Log(text) => say(text),
        HookAction::Alarm(name, message) => {
            if !context.alarms.raise(name, message) {
                return Err(format!("there is no alarm {name}"));
            }
        }
        HookAction::Exit(code) => return Ok(Next::Leave(*code)),
        // Done at the start: see `environment` and `signals`.
        HookAction::SetEnvironment(..) | HookAction::Signal(_) => {}
    }
    Ok(Next::Go)
}

/// Runs a command in a shell and waits for it.
fn execute(command: &str) -> Result<(), String> {
    #[cfg(unix)]
    let mut shell = {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]);
        shell
    };
    #[cfg(windows)]
    let mut shell = {
        use std::os::windows::process::CommandExt as _;
        let mut shell = Command::new("cmd");
        // cmd has its own quoting rules for the text behind /C.
        shell.arg("/C").raw_arg(command);
        shell
    };
    match shell.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the command \"{command}\" failed: {status}")),
        Err(error) => Err(format!("cannot run the command \"{command}\": {error}")),
    }
}

fn wait_for(path: &Path, say: &dyn Fn(&str), is_there: fn(&Path) -> bool) -> Result<(), String> {
    let until = Instant::now() + HOOK_WAIT_MAX;
    let mut is_said = false;
    while !is_there(path) {
        if Instant::now() >= until {
            return Err(format!(
                "{} did not appear within {} s",
                path.display(),
                HOOK_WAIT_MAX.as_secs()
            ));
        }
        if !std::mem::replace(&mut is_said, true) {
            say(&format!("waiting for {}", path.display()));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}
