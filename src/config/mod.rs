//! Configuration: from what was written to what is meant.
//!
//! One folder for each topic (`reload`, `log`, `sockets` ...): `options` holds its rows of the
//! option table, `types` the values that the server reads, `resolve` the way from texts to values.
//! `table` collects the rows, `readers` reads sources, `values` reads texts, `reports` makes texts
//! from the table. [`from_args`] is called by `main`, on the main thread, before anything starts;
//! it prints nothing. Reads the files that are named and asks the machine for magic variables,
//! otherwise pure.
//!
//! Its types are the ones that the rooms work with (`app` takes `CheaperRules`, `background` takes
//! `Alarm`), and limits of HTTP and trusted proxies are the types of those pure rooms: nothing is
//! written twice and converted; `routing` reads its rules itself. Uses no other room.
//!
//! Read `read.rs` first, then `table/row.rs`, `readers/layers.rs` and `resolve.rs`.

#[macro_use]
mod table;

mod alarms;
mod app;
mod background;
mod cache;
mod command;
mod control;
mod error;
mod failure;
mod http;
mod limits;
mod log;
mod process;
mod proxies;
mod python;
mod read;
mod readers;
mod reload;
mod reports;
mod resolve;
mod routing;
mod settings;
mod sockets;
mod spooler;
mod start;
mod static_files;
#[cfg(test)]
mod tests;
mod tls;
mod values;
mod workers;

pub use alarms::types::{Alarm, AlarmConfig, AlarmDescriptor, AlarmKind, AlarmLines};
pub use app::types::{AppChoice, AppConfig, AppTarget, Mount};
pub use background::types::{BackgroundConfig, CronEntry};
pub use cache::types::{CacheConfig, CacheSpec, FirstItem};
pub use command::Command;
pub use control::types::{BESIDE_PIDFILE, ControlConfig, ControlDoor, Subcommand, Verb, beside};
pub use error::ConfigError;
pub use failure::{Failure, NO_APP};
pub use http::types::HttpConfig;
pub use limits::types::{HarakiriRules, LimitsConfig};
pub use log::format::{Known, Piece, Variable};
pub use log::types::{
    Datagrams, DatePrefix, EncoderKind, LineStyle, LogChain, LogConfig, LogEncoder, LogFile,
    LogFileRules, LogTarget, LoggedRequests, Logger, LoggerKind, MemoryReport, Part, SyslogPackets,
    SyslogServer,
};
pub use process::types::{
    HOOK_WAIT_MAX, Hook, HookAction, Phase, PidfileCommand, PidfileRequest, Principal,
    ProcessConfig, ProcessTitle, SignalMeaning, Supervise,
};
pub use python::types::{OneShot, PythonConfig};
pub use read::{from_args, read_again};
pub use readers::contents::used_up;
pub use readers::system_facts::{PROCESS_VARIABLE, SERVER_PROCESS};
pub use reload::types::{
    CanaryStage, Exceptions, MemoryLimits, ParkedLimits, ProbeRules, Recycling, ReloadConfig,
    ReloadMode,
};
pub use reports::explain::Explained;
pub use settings::{Change, Config};
pub use sockets::types::{ListenAddress, SocketConfig};
pub use spooler::types::{SpoolAction, SpoolCommand, SpoolerConfig};
pub use start::types::{Awaited, FileLock, StartConfig, WaitTarget};
pub use static_files::types::{Lifetime, LifetimeSubject, StaticConfig, StaticMap, StaticSender};
pub use table::is_flag;
pub use table::row::TakesEffect;
pub use tls::types::{ClientCa, TlsAddress, TlsConfig, TlsFiles, TlsHost};
pub use values::address::Address;
pub use values::value::NEVER;
pub use workers::types::{
    AutoscaleConfig, BusynessRules, CheaperAlgorithm, CheaperRules, IsolationCache,
    IsolationChoice, PollChoice, WorkersConfig,
};
