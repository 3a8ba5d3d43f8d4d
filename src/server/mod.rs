//! The top room: builds the server, supervises it and stops it.
//!
//! `main` and the wheel's extension module call [`run_command`], which calls [`run`]. [`start`] builds the server in stages, each a type that consumes the one
//! before: configuration and log, sockets, Python and the first generation, threads. The
//! [`engine`] is what answers requests; the [`supervisor`] handles signals, reloads and the stop
//! ([`stop`]). All of it runs on the main thread, which is detached from Python. This room
//! handles no request itself, and its files import those of every other room, but no other room
//! imports it. Read `start/mod.rs` first, then `supervisor.rs`.

mod actions;
mod alarms;
mod applications;
mod certificates;
mod check;
mod command;
mod engine;
mod exit;
mod extension_scan;
mod folders;
mod hooks;
mod log_target;
mod one_shot;
mod prepare;
mod process;
mod renewal;
mod report;
mod request_log;
mod settings;
#[cfg_attr(unix, path = "signals_unix.rs")]
#[cfg_attr(windows, path = "signals_windows.rs")]
mod signals;
mod site;
mod sockets;
mod start;
mod stop;
mod supervisor;
mod wait_for;

pub use crate::admin::control_command::ask as ask_by_control;
pub use crate::config::Failure;
pub use crate::os::pidfile_command::ask as ask_by_pidfile;
pub use crate::os::program::{Host, set_host};
pub use command::run_command;
pub use exit::{Exit, start_with, wait_if_waiter};
pub use start::{could_not_begin, run};
