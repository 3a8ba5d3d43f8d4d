//! Configuration: from what was written to what is meant.
//!
//! One folder for each topic (`reload`, `log`, `sockets` ...): `options` holds its rows of the option
//! table, `types` the values that the server reads, `resolve` the way from texts to values. `table`
//! collects the rows, `readers` reads sources, `values` reads texts, `reports` makes texts from the
//! table. [`from_args`] is called by `main`, on the main thread, before anything starts; it prints
//! nothing. Reads the files that are named and asks the machine for magic variables, otherwise pure.
//! Knows no other room.
//!
//! Read `read.rs` first, then `table/row.rs`, `readers/layers.rs` and `resolve.rs`.

#[macro_use]
mod table;

mod alarms;
mod app;
mod background;
mod command;
mod control;
mod error;
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
mod settings;
mod sockets;
mod start;
mod static_files;
#[cfg(test)]
mod tests;
mod tls;
mod values;
mod workers;

pub use alarms::resolve::{Alarm, AlarmConfig, AlarmDescriptor, AlarmKind, AlarmLines};
pub use background::types::{BackgroundConfig, CronEntry};
pub use command::Command;
pub use control::types::{ControlConfig, ControlDoor, Subcommand, Verb, beside};
pub use error::ConfigError;
pub use process::types::{
    HOOK_WAIT_MAX, Hook, HookAction, LogTarget, Phase, PidfileCommand, PidfileRequest, Principal,
    ProcessConfig, ProcessTitle, SignalMeaning, SocketConfig,
};
pub use proxies::resolve::{ProxyConfig, ProxyHeaders};
pub use read::from_args;
pub use reload::types::{
    CanaryStage, ExceptionRules, MemoryLimits, ProbeConfig, ReloadConfig, ReloadMode,
};
pub use settings::{
    AppChoice, AppTarget, Config, Deadlines, Errand, HarakiriConfig, IsolationChoice, LimitsConfig,
    ListenAddress, Mount, PollChoice, Protocol, Redirect,
};
pub use start::resolve::{Awaited, FileLock, StartConfig, Thing};
pub use static_files::types::{Lifetime, LifetimeSubject, StaticConfig, StaticMap, StaticSender};
pub use table::is_flag;
pub use tls::resolve::{ClientCa, TlsAddress, TlsConfig, TlsFiles, TlsHost};
pub use values::address::Address;
pub use values::value::NEVER;
pub use workers::resolve::{AdaptingConfig, BusynessConfig, CheaperAlgorithm, CheaperConfig};
