//! From arguments and environment to a [`Command`]: the readers are run in their order, and the
//! commands that need no configuration are answered before any file is read.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use super::alarms;
use super::command::Command;
use super::control::subcommand;
use super::error::ConfigError;
use super::process::resolve::pidfile_command;
use super::readers::language::loader::{Loader, Stop};
use super::readers::layers::{self, Layer};
use super::readers::options as configuration;
use super::readers::system_facts::SystemFacts;
use super::readers::{command_line, environment};
use super::reports::{completions, explain, help, reference, show};
use super::resolve::resolve_loaded;
use super::routing;
use super::settings::Config;
use super::spooler::command as spool;
use super::table::row::OptionRow;
use super::values::value;

/// `--plugin-list`
const PLUGINS: &str = "\
Built in, so that nothing has to be loaded for it:
  requests     python (WSGI)
  protocols    http, uwsgi, fastcgi, scgi, with and without TLS
  beside them  signal (timers, cron, file monitors), static files, internal routing
Your own: a Python file with an init(), --plugin ./plugin.py
";

/// Reads the arguments (without the program's name) and the environment.
///
/// Later sources win, lists add up: defaults, environment, command line, and each file where it is
/// named. Arguments and those variables that are options must be UTF-8.
///
/// # Errors
/// The first thing that cannot be meant, in words for the person who wrote it. The caller prints
/// `error: ` in front and leaves with code 1.
pub fn from_args(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Command, ConfigError> {
    let arguments = command_line::utf8(arguments)?;
    let system = SystemFacts::of_this_process(by_name(environment));
    from_arguments(&arguments, &system)
}

/// Reads the configuration of a server once more, for the next version of the application: with
/// the arguments, the environment and the directory that the server was started with.
///
/// # Errors
/// As for [`from_args`]; or it does not describe a server any more.
pub fn read_again(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    folder: &Path,
) -> Result<Box<Config>, ConfigError> {
    let arguments = command_line::utf8(arguments)?;
    let system = SystemFacts {
        directory: folder.to_path_buf(),
        is_reload: true,
        ..SystemFacts::of_this_process(by_name(environment))
    };
    match from_arguments(&arguments, &system)? {
        Command::Run(config) if config.python.one_shot.is_none() => Ok(config),
        _ => Err(ConfigError::new(
            "it describes no server any more, but a command that does something and ends",
        )),
    }
}

fn by_name(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> HashMap<String, OsString> {
    let named = environment.into_iter();
    named
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text)))
        .collect()
}

/// `singlemalt check app.py --json` is `singlemalt --check-extensions=json app.py`.
fn check(arguments: &[String]) -> Option<Vec<String>> {
    let (word, rest) = arguments.split_first()?;
    if word != "check" {
        return None;
    }
    let is_json = rest.iter().any(|argument| argument == "--json");
    let format = if is_json { "json" } else { "table" };
    let rest = rest.iter().filter(|argument| *argument != "--json");
    let mut arguments = vec![format!("--check-extensions={format}")];
    arguments.extend(rest.cloned());
    Some(arguments)
}

pub(super) fn from_arguments(
    arguments: &[String],
    system: &SystemFacts,
) -> Result<Command, ConfigError> {
    let checked = check(arguments);
    let arguments = checked.as_deref().unwrap_or(arguments);
    if let Some((word, rest)) = arguments.split_first()
        && let Some(verb) = subcommand::verb(word)
    {
        return subcommand::read(word, verb, rest, system);
    }
    if let Some((word, rest)) = arguments.split_first()
        && word == spool::WORD
    {
        return spool::read(rest);
    }
    let variables = environment::utf8(system)?;
    let command_line = command_line::read_in(arguments, &system.directory)?;
    let (environment, no_options) = environment::read(&variables)?;
    let asked = Asked::of(&environment, &command_line);
    if let Some(command) = asked.command(system)? {
        return Ok(command);
    }
    let mut loader = Loader::new(system, asked.flag(&configuration::ALLOW_CONFIG_EXEC));
    let loaded = loader
        .add_layer(layers::ENVIRONMENT, environment)
        .and_then(|()| loader.add_layer(layers::COMMAND_LINE, command_line))
        .and_then(|()| loader.finish());
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(Stop::Exit(code)) => return Ok(Command::Exit(code)),
        Err(Stop::Error(error)) => return Err(error),
    };
    let raw = loaded.stack().settle()?;
    if let Some(command) = pidfile_command(&raw) {
        return Ok(Command::Pidfile(command));
    }
    if let Some(subcommand) = subcommand::reload_status(&raw) {
        return Ok(Command::Control(Box::new(subcommand)));
    }
    let wanted = raw.all(&configuration::GET);
    if !wanted.is_empty() {
        return show::values(wanted, &loaded).map(Command::Print);
    }
    if asked.flag(&configuration::SHOW_CONFIG) {
        return Ok(Command::ShowConfig(show::show(&raw, &loaded)));
    }
    let mut warnings: Vec<String> = no_options
        .into_iter()
        .filter(|unknown| !loaded.asks_for_variable(&unknown.variable))
        .map(|unknown| unknown.warning)
        .collect();
    warnings.extend(loaded.warnings.iter().cloned());
    let mut config = Box::new(resolve_loaded(&raw, warnings, &loaded, system)?);
    let shows = raw.last(&configuration::SHOW_CONFIG);
    if shows.is_some_and(|setting| value::flag(&setting.text).value) {
        let shown = show::show(&raw, &loaded);
        config.prints.extend(shown.lines().map(str::to_owned));
    }
    if asked.flag(&configuration::CHECK_CONFIG) {
        return Ok(Command::CheckConfig(config));
    }
    Ok(Command::Run(config))
}

/// What the environment and the command line say before any file is read.
struct Asked {
    written: Vec<(&'static OptionRow, String)>,
}

impl Asked {
    fn of(environment: &Layer, command_line: &Layer) -> Asked {
        let both = environment.entries().chain(command_line.entries());
        Asked {
            written: both
                .map(|(row, written)| (*row, written.text.clone()))
                .collect(),
        }
    }

    fn last(&self, row: &OptionRow) -> Option<&str> {
        let found = self
            .written
            .iter()
            .rev()
            .find(|(other, _)| other.name == row.name);
        found.map(|(_, text)| text.as_str())
    }

    fn flag(&self, row: &OptionRow) -> bool {
        self.last(row).is_some_and(|text| value::flag(text).value)
    }

    fn command(&self, system: &SystemFacts) -> Result<Option<Command>, ConfigError> {
        if let Some(word) = self.last(&configuration::HELP) {
            return Ok(Some(Command::Help(match word {
                "" => help::overview(),
                "all" => help::everything(),
                word => help::about(word),
            })));
        }
        if self.flag(&configuration::PLUGIN_LIST) {
            return Ok(Some(Command::Print(PLUGINS.to_owned())));
        }
        if self.flag(&routing::options::ROUTER_LIST) {
            return Ok(Some(Command::Print(routing::resolve::list())));
        }
        if self.flag(&alarms::options::ALARM_LIST) {
            return Ok(Some(Command::Print(alarms::resolve::KINDS.to_owned())));
        }
        if self.flag(&configuration::VERSION) {
            return Ok(Some(Command::Version));
        }
        if let Some(shell) = self.last(&configuration::COMPLETIONS) {
            return completions::script(shell).map(|text| Some(Command::Print(text)));
        }
        if let Some(format) = self.last(&configuration::REFERENCE) {
            return reference::render(format).map(|text| Some(Command::Print(text)));
        }
        if let Some(file) = self.last(&configuration::EXPLAIN) {
            return explain::explain(file, system)
                .map(|explained| Some(Command::Explain(Box::new(explained))));
        }
        Ok(None)
    }
}
