//! The interfaces of a running server: the control socket and its commands, the master fifo, the
//! stats server, the tracebacker.
//!
//! The first half is pure: [`control_request`] (a request and what it means), [`control_response`]
//! (what goes back), [`status`] (the server in numbers), [`stats_document`] (the same as uWSGI's
//! JSON), [`table`] (for people), [`fifo_command`] (the fifo's letters). The second half owns
//! sockets and threads: [`control_server`], [`stats_server`], [`fifo`], [`tracebacker`],
//! [`listeners`]. Nothing here decides: it sends events to the supervisor.

pub mod control_command;
pub mod control_request;
pub mod control_response;
pub mod control_server;
#[cfg_attr(unix, path = "fifo_unix.rs")]
#[cfg_attr(windows, path = "fifo_windows.rs")]
pub mod fifo;
pub mod fifo_command;
#[cfg_attr(unix, path = "listeners_unix.rs")]
#[cfg_attr(windows, path = "listeners_windows.rs")]
pub mod listeners;
mod message_read;
pub mod metrics_snapshot;
pub mod stats_document;
pub mod stats_server;
pub mod status;
pub mod table;
#[cfg_attr(unix, path = "tracebacker_unix.rs")]
#[cfg_attr(windows, path = "tracebacker_windows.rs")]
pub mod tracebacker;
