//! `singlemalt spool ls DIR` and its like: works on a spooler's directory, with or without a
//! server that runs its tasks. Pure.

use std::path::PathBuf;

use super::types::{SpoolAction, SpoolCommand};
use crate::config::command::Command;
use crate::config::error::ConfigError;
use crate::config::readers::layers::COMMAND_LINE;
use crate::config::values::value;

/// The first word of the command line.
pub(crate) const WORD: &str = "spool";
/// Its line in help.
pub(crate) const HELP: &str =
    "Work on a spooler directory: ls, show, retry, rm, add, drain (singlemalt spool --help).";

const ACTIONS: &[(&str, SpoolAction, &str)] = &[
    (
        "ls",
        SpoolAction::List,
        "DIR: list the tasks, with those that failed.",
    ),
    (
        "show",
        SpoolAction::Show,
        "DIR TASK...: print a task and its last traceback.",
    ),
    (
        "retry",
        SpoolAction::Retry,
        "DIR TASK... | --all: let a task run now; one in failed/ begins anew.",
    ),
    ("rm", SpoolAction::Remove, "DIR TASK...: remove a task."),
    (
        "add",
        SpoolAction::Add,
        "DIR KEY=VALUE... [--body FILE]: add a task, and print its name.",
    ),
    (
        "drain",
        SpoolAction::Drain,
        "DIR: wait until the servers of the directory have done all tasks.",
    ),
];

const FLAGS: &[(&str, &str)] = &[
    ("--json", "Print JSON (ls, show)."),
    ("--all", "Every task in failed/ (retry)."),
    (
        "--body FILE",
        "The body of the task; - is standard input (add).",
    ),
    (
        "--timeout SECONDS",
        "Wait for so long at most; exit code 4 then (drain).",
    ),
];

/// Reads what stands behind the word.
pub(crate) fn read(arguments: &[String]) -> Result<Command, ConfigError> {
    let Some((word, rest)) = arguments.split_first() else {
        return Err(wants_action("nothing"));
    };
    if matches!(word.as_str(), "--help" | "-h") {
        return Ok(Command::Help(help()));
    }
    let found = ACTIONS.iter().find(|(known, _, _)| known == word);
    let (_, action, _) = found.ok_or_else(|| wants_action(&format!("'{word}'")))?;
    let mut command = SpoolCommand {
        action: *action,
        folder: PathBuf::new(),
        names: Vec::new(),
        pairs: Vec::new(),
        body: None,
        is_all: false,
        is_json: false,
        timeout: None,
    };
    let mut words = Vec::new();
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        let (name, attached) = match argument.split_once('=') {
            Some((name, text)) if name.starts_with("--") => (name, Some(text)),
            _ => (argument.as_str(), None),
        };
        let mut value = || attached.or_else(|| rest.next().map(String::as_str));
        match (name, action) {
            ("--help" | "-h", _) => return Ok(Command::Help(help())),
            ("--json", SpoolAction::List | SpoolAction::Show) => command.is_json = true,
            ("--all", SpoolAction::Retry) => command.is_all = true,
            ("--body", SpoolAction::Add) => command.body = value().map(PathBuf::from),
            ("--timeout", SpoolAction::Drain) => {
                let text = value().unwrap_or_default();
                let read = value::seconds(text).map_err(|why| {
                    ConfigError::new(format!("--timeout '{text}' {why} ({COMMAND_LINE})"))
                })?;
                command.timeout = Some(read.value);
            }
            _ if name.starts_with("--") => {
                return Err(ConfigError::new(format!(
                    "singlemalt spool {word}: unknown option {name}"
                )));
            }
            _ => words.push(argument.clone()),
        }
    }
    let mut words = words.into_iter();
    command.folder = words.next().map(PathBuf::from).ok_or_else(|| {
        ConfigError::new(format!("singlemalt spool {word}: which directory?"))
            .hint(format!("name it: singlemalt spool {word} DIR"))
    })?;
    if *action == SpoolAction::Add {
        for text in words {
            let pair = value::pair(&text);
            let pair = pair.map_err(|why| ConfigError::new(format!("singlemalt spool add {why}")));
            command.pairs.push(pair?);
        }
    } else {
        command.names = words.collect();
    }
    let needs_names = matches!(
        action,
        SpoolAction::Show | SpoolAction::Retry | SpoolAction::Remove
    );
    if needs_names && command.names.is_empty() && !command.is_all {
        return Err(
            ConfigError::new(format!("singlemalt spool {word}: which task?")).hint(format!(
                "singlemalt spool ls {} lists them",
                command.folder.display()
            )),
        );
    }
    Ok(Command::Spool(Box::new(command)))
}

fn wants_action(got: &str) -> ConfigError {
    let known: Vec<&str> = ACTIONS.iter().map(|(word, _, _)| *word).collect();
    ConfigError::new(format!(
        "singlemalt spool wants one of {}, got {got}",
        known.join(", ")
    ))
    .hint("to serve an application of this name: singlemalt ./spool")
}

/// `singlemalt spool --help`
fn help() -> String {
    let mut text = String::from(
        "usage: singlemalt spool ACTION DIR [TASK...] [FLAGS]\n\n\
         A task is named by its file, or by a part of the name that no other task has.\n\nActions:\n",
    );
    for (word, _, what) in ACTIONS {
        text.push_str(&format!("  {word:<7}{what}\n"));
    }
    text.push_str("\nFlags:\n");
    for (flag, what) in FLAGS {
        text.push_str(&format!("  {flag:<20}{what}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Result<Command, ConfigError> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        read(&words)
    }

    #[test]
    fn actions_and_what_they_take() {
        let Ok(Command::Spool(add)) = read_line("add tasks a=1 b=x=y --body=-") else {
            panic!("no command");
        };
        assert_eq!(add.action, SpoolAction::Add);
        assert_eq!(add.folder, PathBuf::from("tasks"));
        let owned = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(add.pairs, [owned("a", "1"), owned("b", "x=y")]);
        assert_eq!(add.body, Some(PathBuf::from("-")));
        let Ok(Command::Spool(drain)) = read_line("drain tasks --timeout 5") else {
            panic!("no command");
        };
        assert_eq!(drain.timeout, Some(std::time::Duration::from_secs(5)));
        assert!(matches!(read_line("--help"), Ok(Command::Help(_))));
    }

    #[test]
    fn what_cannot_be_done_is_told() {
        let message = |line: &str| match read_line(line) {
            Ok(_) => panic!("{line}"),
            Err(error) => error.message().to_owned(),
        };
        assert!(message("").ends_with("got nothing"));
        assert!(message("mv x").contains("wants one of ls, show, retry, rm, add, drain"));
        assert_eq!(message("ls"), "singlemalt spool ls: which directory?");
        assert_eq!(message("rm tasks"), "singlemalt spool rm: which task?");
        assert!(message("ls tasks --all").contains("unknown option --all"));
        assert!(message("add tasks word").contains("'word'"));
    }
}
