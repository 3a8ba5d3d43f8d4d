//! The command: reads the configuration, runs the server, and gives its exit code. Called by the
//! binary and by the extension module of the wheel, on the main thread, before any other.

mod relaunch;

use super::check::check;
use super::exit::{Exit, start_with, wait_if_waiter};
use super::one_shot::spool;
use super::start::{could_not_begin, run as run_server};
use crate::admin::control_command::ask as ask_by_control;
use crate::config::Failure;
use crate::config::{self, Command, Config, Explained};
use crate::os::pidfile_command::ask as ask_by_pidfile;
use crate::os::{process_name, program};

/// Runs the command of this process's arguments. Returns the exit code; the process is to be left
/// with `exit_now`, because Python is never finalised and its threads may still run.
pub fn run_command() -> i32 {
    let exit = match wait_if_waiter() {
        Some(waited) => waited.unwrap_or_else(|failure| failed(&failure)),
        None => run(),
    };
    match &exit.fallback {
        Some(file) => start_with(file).unwrap_or_else(|why| {
            say_error(&why);
            1
        }),
        None => exit.code,
    }
}

/// Prints what a command has answered. Returns the exit code.
fn answer(answered: Result<(i32, String), (i32, String)>) -> i32 {
    match answered {
        Ok((code, text)) => {
            print(&mut std::io::stdout(), &format!("{text}\n"));
            code
        }
        Err((code, text)) => {
            say_error(&text);
            code
        }
    }
}

fn failed(failure: &Failure) -> Exit {
    say_error(&failure.text);
    Exit::with(i32::from(failure.code))
}

fn run() -> Exit {
    let code = match config::from_args(
        program::arguments(),
        program::for_configuration(std::env::vars_os()),
    ) {
        Ok(Command::Run(config)) => {
            if let Some(relaunched) = relaunch::if_needed(&config) {
                return relaunched.unwrap_or_else(|failure| failed(&failure));
            }
            say(&config.prints);
            if program::host().is_some() {
                // Python's own, unless the console script was executed by its name.
                let _best = process_name::set_short(&program::short_name());
            }
            return run_server(&config).unwrap_or_else(|failure| {
                let exit = failed(&failure);
                Exit::of_first(&config, exit.code)
            });
        }
        Ok(Command::CheckConfig(config)) => check_config(&config),
        Ok(Command::Explain(explained)) => explain(&explained),
        Ok(Command::Exit(code)) => code,
        Ok(Command::Pidfile(command)) => {
            let (code, text) = ask_by_pidfile(&command);
            if code == 0 {
                print(&mut std::io::stdout(), &format!("{text}\n"));
            } else {
                say_error(&text);
            }
            code
        }
        Ok(Command::Control(subcommand)) => answer(ask_by_control(&subcommand)),
        Ok(Command::Spool(command)) => answer(spool(&command).map_err(|why| (1, why))),
        Ok(Command::Help(text) | Command::ShowConfig(text) | Command::Print(text)) => {
            print(&mut std::io::stdout(), &text)
        }
        Ok(Command::Version) => print(
            &mut std::io::stdout(),
            concat!("singlemalt ", env!("CARGO_PKG_VERSION"), "\n"),
        ),
        Err(error) => {
            could_not_begin(&error.to_string());
            say_error(&error.to_string());
            1
        }
    };
    Exit::with(code)
}

fn check_config(config: &Config) -> i32 {
    say(&config.prints);
    for warning in &config.warnings {
        print(&mut std::io::stderr(), &format!("warning: {warning}\n"));
    }
    match check(config) {
        Ok(()) => 0,
        Err(failure) => {
            say_error(&failure.text);
            1
        }
    }
}

fn explain(explained: &Explained) -> i32 {
    let checked = explained.config.as_ref().map(|config| check(config));
    let failure = checked.and_then(Result::err);
    let why = failure.as_ref().map(|failure| failure.text.as_str());
    print(&mut std::io::stdout(), &explained.text(why))
}

/// What `print` in a configuration file asked for.
fn say(lines: &[String]) {
    for line in lines {
        print(&mut std::io::stderr(), &format!("{line}\n"));
    }
}

fn say_error(text: &str) {
    print(&mut std::io::stderr(), &format!("error: {text}\n"));
}

/// Returns the exit code: a closed pipe (`singlemalt --help | head`) is not worth a word.
fn print(out: &mut dyn std::io::Write, text: &str) -> i32 {
    i32::from(
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_err(),
    )
}
