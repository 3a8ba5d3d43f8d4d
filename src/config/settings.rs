//! The configuration as it was meant: what the rest of the server reads, a field for each topic.
//!
//! Plain values with units in their names, checked once. `resolve` is the only maker; nothing
//! here knows options, texts or files. Made once at start, then shared read-only by all threads.

use crate::config::alarms::types::AlarmConfig;
use crate::config::app::types::AppConfig;
use crate::config::background::types::BackgroundConfig;
use crate::config::cache::types::CacheConfig;
use crate::config::control::types::ControlConfig;
use crate::config::http::types::HttpConfig;
use crate::config::limits::types::LimitsConfig;
use crate::config::log::types::LogConfig;
use crate::config::process::types::ProcessConfig;
use crate::config::python::types::PythonConfig;
use crate::config::reload::types::ReloadConfig;
use crate::config::sockets::types::SocketConfig;
use crate::config::spooler::types::SpoolerConfig;
use crate::config::start::types::StartConfig;
use crate::config::static_files::types::StaticConfig;
use crate::config::table;
use crate::config::table::row::TakesEffect;
use crate::config::tls::types::TlsConfig;
use crate::config::workers::types::WorkersConfig;
use crate::protocol::proxy::ProxyRules;
use crate::routing::Placed;

/// Everything that was configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The applications.
    pub app: AppConfig,
    /// The Python that they run in.
    pub python: PythonConfig,
    /// Where the server listens, and how sockets are made.
    pub sockets: SocketConfig,
    /// TLS, as far as it is not of one address.
    pub tls: TlsConfig,
    /// What the server adds to requests and responses.
    pub http: HttpConfig,
    /// Proxies in front.
    pub proxies: ProxyRules,
    /// What a client may send, and how long it may take.
    pub limits: LimitsConfig,
    /// Interpreters and threads.
    pub workers: WorkersConfig,
    /// The process: user, files, title, limits, hooks.
    pub process: ProcessConfig,
    /// What must hold before the server starts.
    pub start: StartConfig,
    /// Control socket, fifos, stats server.
    pub control: ControlConfig,
    /// Work beside requests, and what interpreters share.
    pub background: BackgroundConfig,
    /// Tasks that are done later.
    pub spooler: SpoolerConfig,
    /// Caches that all interpreters share.
    pub cache: CacheConfig,
    /// When and how the application, or an interpreter, is renewed.
    pub reload: ReloadConfig,
    /// Where the log goes.
    pub log: LogConfig,
    /// Alarms and what raises them.
    pub alarms: AlarmConfig,
    /// Static files, and files that applications name.
    pub static_files: StaticConfig,
    /// Internal routing.
    pub(crate) routing: Vec<Placed>,
    /// What stands for uWSGI's magic variables (`uwsgi.magic_table`): the letter and its text.
    pub magic_table: Vec<(char, String)>,
    /// Every option and placeholder that was written, in order, aliases as written (`uwsgi.opt`).
    pub written: Vec<(String, String)>,
    /// What `print` asked for, a line each, to be printed as it is before anything else.
    pub prints: Vec<String>,
    /// What the writer should know, a line each, to be printed as warnings at start.
    pub warnings: Vec<String>,
    /// What was accepted and needs no effect, a line each, to be printed at start.
    pub remarks: Vec<String>,
    /// Whether the sources can be read once more: standard input and descriptors cannot.
    pub reads_again: bool,
    /// The values that were written, by option name; without those that have no effect.
    pub(super) values: Vec<(&'static str, Vec<String>)>,
    /// Where values came from, by option name; see [`Config::origin`].
    pub(super) origins: Vec<(&'static str, String)>,
}

/// An option that has another value in another configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `--processes (uwsgi.ini line 3)`, or `--processes` where it is not written any more.
    pub option: String,
    /// When the value takes effect.
    pub takes_effect: TakesEffect,
}

impl Config {
    /// The options that have another value in `newer`, in the order of the table.
    pub fn changes(&self, newer: &Config) -> Vec<Change> {
        let value_of = |config: &Config, name: &str| -> Option<Vec<String>> {
            let found = config.values.iter().find(|(other, _)| *other == name);
            found.map(|(_, texts)| texts.clone())
        };
        let options = table::rows().filter(|row| {
            let name = row.name;
            value_of(self, name) != value_of(newer, name)
        });
        options
            .map(|row| Change {
                option: match newer.origin(row.name) {
                    Some(origin) => origin.to_owned(),
                    None => format!("--{}", row.name),
                },
                takes_effect: row.takes_effect,
            })
            .collect()
    }

    /// Where the value of an option came from, for messages: `--chdir (command line)`,
    /// `VIRTUAL_ENV (environment)`. `None` when it was not set.
    pub fn origin(&self, option: &str) -> Option<&str> {
        self.origins
            .iter()
            .find(|(name, _)| *name == option)
            .map(|(_, origin)| origin.as_str())
    }
}
