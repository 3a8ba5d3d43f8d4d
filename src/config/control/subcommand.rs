//! `singlemalt reload`, `rollback`, `stop`, `status`, `stacks`: the bare first word of a command
//! line, and what may follow it.
//!
//! Only the bare word: `singlemalt ./reload`, `singlemalt reload.py` and `singlemalt -- reload`
//! serve applications of that name. What follows is read as any command line, so that a
//! configuration file says where the server's pidfile is. Pure but for the files that are named.

use std::path::{Path, PathBuf};

use super::options;
use super::resolve;
use super::types::{ControlDoor, Subcommand, Verb};
use crate::config::app::options as app;
use crate::config::command::Command;
use crate::config::error::ConfigError;
use crate::config::process::options as process;
use crate::config::readers::language::loader::{Loader, Stop};
use crate::config::readers::layers::{COMMAND_LINE, Raw};
use crate::config::readers::system_facts::SystemFacts;
use crate::config::readers::{command_line, environment, layers};
use crate::config::values::address::Address;
use crate::config::values::value;

pub(crate) const WORDS: &[(&str, Verb, &str)] = &[
    (
        "reload",
        Verb::Reload,
        "Load the application anew, and say whether its new version serves.",
    ),
    (
        "rollback",
        Verb::Rollback,
        "Go back to the version before: withdraw the canary, or put back what --keep-previous \
         keeps.",
    ),
    (
        "stop",
        Verb::Stop,
        "Stop the server, and wait until it is gone.",
    ),
    (
        "status",
        Verb::Status,
        "Say how the server is and what its workers do.",
    ),
    (
        "stacks",
        Verb::Stacks,
        "Say where every worker stands: its request, its Python stack.",
    ),
];

/// What may follow a word; the rest of a command line is that of the server.
pub(crate) const FLAGS: &[(&str, &str)] = &[
    ("--json", "Print what the server answers, in JSON."),
    ("--no-wait", "Do not wait until it is done (reload, stop)."),
    (
        "--timeout SECONDS",
        "Wait for so long at most; exit code 4 then (reload, rollback, stop).",
    ),
    (
        "--rolling",
        "Replace one interpreter after the other (reload).",
    ),
    ("--now", "Do not wait for requests in progress (stop)."),
    (
        "--reload-status",
        "Say how the last reload went, and nothing else (status).",
    ),
];

pub(crate) const EXIT_CODES: &[(&str, &str)] = &[
    (
        "0",
        "Done: the new version serves, the server is gone, the server serves.",
    ),
    (
        "1",
        "It could not be asked: the command line is wrong, or it may not be asked by you.",
    ),
    ("2", "The reload failed; the version before serves on."),
    ("3", "No server runs there."),
    ("4", "The end of it was not waited for."),
    ("5", "There is no version to go back to (rollback)."),
];

pub(crate) fn verb(word: &str) -> Option<Verb> {
    let (_, verb, _) = WORDS.iter().find(|(known, _, _)| *known == word)?;
    Some(*verb)
}

/// Reads what stands behind the word.
pub(crate) fn read(
    word: &str,
    verb: Verb,
    arguments: &[String],
    system: &SystemFacts,
) -> Result<Command, ConfigError> {
    let mut subcommand = Subcommand {
        verb,
        pidfile: None,
        address: None,
        token_file: None,
        json: false,
        wait: true,
        now: false,
        rolling: false,
        timeout: None,
    };
    let mut rest = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let (name, attached) = match argument.split_once('=') {
            Some((name, text)) => (name, Some(text)),
            None => (argument.as_str(), None),
        };
        match (name, verb) {
            ("--help" | "-h", _) => return Ok(Command::Help(help(word))),
            ("--json", _) => subcommand.json = true,
            ("--no-wait", Verb::Reload | Verb::Stop) => subcommand.wait = false,
            ("--rolling", Verb::Reload) => subcommand.rolling = true,
            ("--now", Verb::Stop) => subcommand.now = true,
            ("--reload-status", Verb::Status) => subcommand.verb = Verb::ReloadStatus,
            ("--timeout", Verb::Reload | Verb::Rollback | Verb::Stop) => {
                let text = attached.or_else(|| arguments.next().map(String::as_str));
                let text = text.unwrap_or_default();
                let read = value::seconds(text).map_err(|why| {
                    ConfigError::new(format!("--timeout '{text}' {why} ({COMMAND_LINE})"))
                })?;
                subcommand.timeout = Some(read.value);
            }
            _ => rest.push(argument.clone()),
        }
    }
    let raw = settle(&rest, system)?;
    name_the_server(&mut subcommand, &raw)?;
    if subcommand.pidfile.is_none() && subcommand.address.is_none() {
        return Err(
            ConfigError::new(format!("singlemalt {word}: which server?")).hint(format!(
                "name its pidfile (singlemalt {word} --pidfile app.pid), its --control, or its \
             configuration file"
            )),
        );
    }
    Ok(Command::Control(Box::new(subcommand)))
}

/// `--reload-status PIDFILE`
pub(crate) fn reload_status(raw: &Raw) -> Option<Subcommand> {
    Some(Subcommand {
        verb: Verb::ReloadStatus,
        pidfile: Some(raw.last(&process::RELOAD_STATUS)?.text.clone().into()),
        address: None,
        token_file: None,
        json: false,
        wait: true,
        now: false,
        rolling: false,
        timeout: None,
    })
}

fn settle(arguments: &[String], system: &SystemFacts) -> Result<Raw, ConfigError> {
    let variables = environment::utf8(system)?;
    let command_line = command_line::read(arguments)?;
    let (environment, _) = environment::read(&variables)?;
    let mut loader = Loader::new(system, false);
    let loaded = loader
        .add_layer(layers::ENVIRONMENT, environment)
        .and_then(|()| loader.add_layer(layers::COMMAND_LINE, command_line))
        .and_then(|()| loader.finish());
    match loaded {
        Ok(loaded) => loaded.stack().settle(),
        Err(Stop::Exit(_)) => Err(ConfigError::new("the configuration says exit")),
        Err(Stop::Error(error)) => Err(error),
    }
}

fn name_the_server(subcommand: &mut Subcommand, raw: &Raw) -> Result<(), ConfigError> {
    let folder = raw
        .last(&app::CHDIR)
        .map(|setting| PathBuf::from(&setting.text));
    let placed = |text: &str| match &folder {
        Some(folder) => folder.join(text),
        None => PathBuf::from(text),
    };
    // `singlemalt stop app.pid`: what would be the application of a server is the pidfile here.
    let bare = raw
        .last(&app::APP)
        .filter(|setting| setting.spelled == setting.text);
    let pidfiles = [
        &process::PIDFILE,
        &process::PIDFILE2,
        &process::SAFE_PIDFILE,
        &process::SAFE_PIDFILE2,
    ];
    subcommand.pidfile = match bare {
        Some(setting) => Some(PathBuf::from(&setting.text)),
        None => pidfiles
            .into_iter()
            .find_map(|row| raw.last(row))
            .map(|setting| placed(&setting.text)),
    };
    subcommand.token_file = raw
        .last(&options::CONTROL_TOKEN)
        .map(|setting| placed(&setting.text));
    if let Some(setting) = raw.last(&options::CONTROL) {
        match resolve::door(setting)? {
            ControlDoor::ByPidfile => {}
            ControlDoor::Shut => {
                return Err(setting.error("says that the server takes no commands").hint(
                    "signals still work: singlemalt --reload PIDFILE, singlemalt --stop PIDFILE",
                ));
            }
            // A pidfile that was named here and now is meant, and not the address of a file.
            ControlDoor::At(_) if bare.is_some() => {}
            ControlDoor::At(Address::Unix(path)) => {
                subcommand.address = Some(Address::Unix(placed_path(&path, &placed)));
            }
            ControlDoor::At(address) => subcommand.address = Some(address),
        }
    }
    Ok(())
}

fn placed_path(path: &Path, placed: &impl Fn(&str) -> PathBuf) -> PathBuf {
    path.to_str().map_or_else(|| path.to_owned(), placed)
}

/// `singlemalt reload --help`
fn help(word: &str) -> String {
    let mut text = format!(
        "usage: singlemalt {word} [--pidfile FILE | --control ADDRESS | FILE.ini] [FLAGS]\n\n"
    );
    for (known, _, what) in WORDS.iter().filter(|(known, _, _)| *known == word) {
        text.push_str(&format!("{known}: {what}\n\n"));
    }
    text.push_str("Flags:\n");
    for (flag, what) in FLAGS {
        text.push_str(&format!("  {flag:<20}{what}\n"));
    }
    text.push_str("\nExit codes:\n");
    for (code, what) in EXIT_CODES {
        text.push_str(&format!("  {code}  {what}\n"));
    }
    text.push_str("\nAn application of this name is served as `singlemalt ./");
    text.push_str(word);
    text.push_str("` or `singlemalt -- ");
    text.push_str(word);
    text.push_str("`.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn read_line(line: &str) -> Result<Command, ConfigError> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let system = SystemFacts::of_this_process(HashMap::new());
        crate::config::read::from_arguments(&words, &system)
    }

    #[track_caller]
    fn subcommand(line: &str) -> Subcommand {
        match read_line(line) {
            Ok(Command::Control(subcommand)) => *subcommand,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_server_is_named_by_its_pidfile_or_its_socket() {
        let reload = subcommand("reload --pidfile app.pid --no-wait");
        assert_eq!(reload.verb, Verb::Reload);
        assert_eq!(reload.pidfile.as_deref(), Some(Path::new("app.pid")));
        assert!(!reload.wait && !reload.json);
        let stop = subcommand("stop app.pid --now --timeout 5");
        assert_eq!(stop.pidfile.as_deref(), Some(Path::new("app.pid")));
        assert!(stop.now && stop.timeout == Some(std::time::Duration::from_secs(5)));
        let status = subcommand("status --control ./app.control --json");
        assert_eq!(
            status.address,
            Some(crate::config::Address::Unix("./app.control".into()))
        );
        assert!(status.json);
        let status = subcommand("status --reload-status --safe-pidfile=app.pid --chdir /srv");
        assert_eq!(status.verb, Verb::ReloadStatus);
        assert_eq!(status.pidfile.as_deref(), Some(Path::new("/srv/app.pid")));
        let status = subcommand("--reload-status app.pid");
        assert_eq!(status.verb, Verb::ReloadStatus);
        let rollback = subcommand("rollback app.pid --timeout 3");
        assert_eq!(rollback.verb, Verb::Rollback);
        assert_eq!(rollback.timeout, Some(std::time::Duration::from_secs(3)));
        assert_eq!(subcommand("stacks app.pid").verb, Verb::Stacks);
        let port = subcommand("status --control 9000");
        assert_eq!(
            port.address.map(|address| address.to_string()).as_deref(),
            Some("127.0.0.1:9000")
        );
    }

    #[test]
    fn what_is_no_subcommand_is_served() {
        for line in ["./reload", "reload.py", "-- reload", "--http :0 reload"] {
            assert!(matches!(read_line(line), Ok(Command::Run(_))), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_told() {
        let message = |line: &str| {
            read_line(line)
                .map(|_| ())
                .unwrap_err()
                .message()
                .to_owned()
        };
        assert_eq!(message("reload"), "singlemalt reload: which server?");
        assert_eq!(message("rollback"), "singlemalt rollback: which server?");
        assert!(message("rollback --no-wait app.pid").contains("unknown option --no-wait"));
        assert!(message("status --now --pidfile a").contains("unknown option --now"));
        assert!(message("stop --control none").contains("takes no commands"));
        assert!(message("stop --control 192.0.2.1:80").contains("must not be reached"));
        assert!(message("reload --timeout x app.pid").contains("--timeout 'x'"));
        assert!(matches!(read_line("reload --help"), Ok(Command::Help(_))));
    }
}
