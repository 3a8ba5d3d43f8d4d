//! Configuration: from what was written to what is meant.
//!
//! Reading order: `option` (a row of the table), `options` (the table), `command_line` and
//! `environment` (sources), `loader` and `finish` with `formats`, `magic`, `logic`, `expand`, `contents` and `fetch`
//! (files and their language), `layer` (sources stacked by figment, each value with its origin), `value`,
//! `address`, `target`, `hook` and `background` (texts become values), `resolve` with `resolve_process` and
//! `resolve_control` and their like (the only makers of a [`Config`]), `subcommand` (what a running server is asked), `notices` (options without effect are named); and the texts that are
//! made from the table: `help`, `show`, `explain`, `reference`, `completions`, `suggestion`.
//!
//! Reads configuration files and what they name, and asks the machine for what magic variables
//! stand for; otherwise pure: arguments and environment come in as arguments, and nothing is
//! printed. Knows no other room. Runs on the main thread before anything starts.

mod address;
mod alarms;
mod background;
mod cheaper_settings;
mod command_line;
mod completions;
mod contents;
mod control_settings;
mod envdir;
mod environment;
mod error;
mod expand;
mod explain;
mod fetch;
mod finish;
mod formats;
mod help;
mod hook;
#[cfg(test)]
mod language_tests;
mod layer;
mod loaded;
mod loader;
mod logic;
mod magic;
mod notices;
mod option;
mod options;
mod process_settings;
mod proxies;
mod reference;
mod reload_settings;
mod resolve;
mod resolve_control;
mod resolve_parts;
mod resolve_process;
mod resolve_reload;
mod resolve_static;
mod settings;
mod show;
mod start;
mod static_settings;
mod subcommand;
mod suggestion;
mod surroundings;
mod target;
#[cfg(test)]
mod tests;
mod tls;
mod traps;
mod value;

use std::collections::HashMap;
use std::ffi::OsString;

pub use address::Address;
pub use alarms::{Alarm, AlarmConfig, AlarmDescriptor, AlarmKind, AlarmLines};
pub use background::{BackgroundConfig, CronEntry};
pub use cheaper_settings::{AdaptingConfig, BusynessConfig, CheaperAlgorithm, CheaperConfig};
pub use control_settings::{ControlConfig, ControlDoor, Subcommand, Verb, beside};
pub use error::ConfigError;
pub use process_settings::{
    HOOK_WAIT_MAX, Hook, HookAction, LogTarget, Phase, PidfileCommand, PidfileRequest, Principal,
    ProcessConfig, ProcessTitle, SignalMeaning, SocketConfig,
};
pub use proxies::{ProxyConfig, ProxyHeaders};
pub use reload_settings::{
    CanaryStage, ExceptionRules, MemoryLimits, ProbeConfig, ReloadConfig, ReloadMode,
};
pub use settings::{
    AppChoice, AppTarget, Config, Deadlines, Errand, HarakiriConfig, IsolationChoice, LimitsConfig,
    ListenAddress, Mount, PollChoice, Protocol, Redirect,
};
pub use start::{Awaited, FileLock, StartConfig, Thing};
pub use static_settings::{Lifetime, LifetimeSubject, StaticConfig, StaticMap, StaticSender};
pub use tls::{ClientCa, TlsAddress, TlsConfig, TlsFiles, TlsHost};
pub use value::NEVER;

use layer::{Layer, Raw};
use loaded::Loaded;
use loader::{Loader, Stop};
use option::OptionRow;
use options::configuration;
use surroundings::Surroundings;

/// `--plugin-list`
const PLUGINS: &str = "\
Built in, so that nothing has to be loaded for it:
  requests     python (WSGI)
  protocols    http, uwsgi, fastcgi, scgi, with and without TLS
  beside them  signal (timers, cron, file monitors), static files
Your own: a Python file with an init(), --plugin ./plugin.py
";

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Serve.
    Run(Box<Config>),
    /// Print this help and leave with 0.
    Help(String),
    /// Print the version and leave with 0.
    Version,
    /// Print this configuration and leave with 0.
    ShowConfig(String),
    /// The configuration can be used: print its warnings and leave with 0.
    CheckConfig(Box<Config>),
    /// Print this and leave with 0: a report, a completion script, a reference, a value.
    Print(String),
    /// Ask the server of a pidfile for something and leave.
    Pidfile(PidfileCommand),
    /// Ask a running server for something and leave.
    Control(Box<Subcommand>),
    /// A configuration file said `exit`: leave with this code.
    Exit(i32),
}

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
    let arguments = utf8_arguments(arguments)?;
    let environment: HashMap<String, OsString> = environment
        .into_iter()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text)))
        .collect();
    let surroundings = Surroundings::of_this_process(environment);
    from_surroundings(&arguments, &surroundings)
}

/// Whether an option of this name is a flag.
pub fn is_flag(name: &str) -> bool {
    options::named(name).is_some_and(|row| row.kind == option::Kind::Flag)
}

fn from_surroundings(
    arguments: &[String],
    surroundings: &Surroundings,
) -> Result<Command, ConfigError> {
    if let Some((word, rest)) = arguments.split_first()
        && let Some(verb) = subcommand::verb(word)
    {
        return subcommand::read(word, verb, rest, surroundings);
    }
    let variables = utf8_variables(surroundings)?;
    let command_line = command_line::read(arguments)?;
    let (environment, no_options) = environment::read(&variables)?;
    let asked = Asked::of(&environment, &command_line);
    if let Some(command) = asked.command(surroundings)? {
        return Ok(command);
    }
    let mut loader = Loader::new(surroundings, asked.flag(&configuration::ALLOW_CONFIG_EXEC));
    let loaded = loader
        .add_layer(layer::ENVIRONMENT, environment)
        .and_then(|()| loader.add_layer(layer::COMMAND_LINE, command_line))
        .and_then(|()| loader.finish());
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(Stop::Exit(code)) => return Ok(Command::Exit(code)),
        Err(Stop::Error(error)) => return Err(error),
    };
    let raw = loaded.stack().settle()?;
    if let Some(command) = resolve_process::pidfile_command(&raw) {
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
    let mut config = Box::new(resolve_loaded(&raw, warnings, &loaded)?);
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

/// What the server would run with.
fn resolve_loaded(
    raw: &Raw,
    warnings: Vec<String>,
    loaded: &Loaded,
) -> Result<Config, ConfigError> {
    let resolved = resolve::resolve(raw, warnings, &loaded.unknown)?;
    let needs_app = !matches!(&resolved.errand, Some(errand) if !errand.needs_app());
    if needs_app && resolved.app.is_none() && resolved.mounts.is_empty() && resolved.eval.is_none()
    {
        return Err(ConfigError::new("no application was named")
            .hint("give a file or a module: singlemalt app.py, or singlemalt pkg.module:app"));
    }
    Ok(Config {
        magic_table: loaded.magic_table.clone(),
        written: loaded.written(),
        prints: loaded.prints.clone(),
        ..resolved
    })
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

    /// Commands that need no configuration.
    fn command(&self, surroundings: &Surroundings) -> Result<Option<Command>, ConfigError> {
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
        if self.flag(&options::alarms::ALARM_LIST) {
            return Ok(Some(Command::Print(alarms::KINDS.to_owned())));
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
            return explain::explain(file, surroundings).map(|text| Some(Command::Print(text)));
        }
        Ok(None)
    }
}

fn utf8_arguments(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Vec<String>, ConfigError> {
    let readable = |(index, argument): (usize, OsString)| {
        argument.into_string().map_err(|bytes| {
            ConfigError::new(format!(
                "argument {} is not UTF-8: {} (command line)",
                index + 1,
                bytes.to_string_lossy()
            ))
        })
    };
    arguments.into_iter().enumerate().map(readable).collect()
}

/// Those that may be options; somebody else's variables may hold what they like.
fn utf8_variables(surroundings: &Surroundings) -> Result<Vec<(String, String)>, ConfigError> {
    let ours = surroundings.environment.iter().filter(|(name, _)| {
        name.starts_with("UWSGI_")
            || name.starts_with("SINGLEMALT_")
            || *name == options::python::ACTIVE_VIRTUALENV
    });
    let readable = |(name, text): (&String, &OsString)| match text.to_str() {
        Some(text) => Ok((name.clone(), text.to_owned())),
        None => Err(ConfigError::new(format!(
            "{name} is not UTF-8 (environment)"
        ))),
    };
    ours.map(readable).collect()
}
