//! singlemalt: the one-process WSGI server. A CPython interpreter per worker, no fork.
//!
//! The rooms, in reading order. Each may use those above it, never those below; `tests/tidy.rs`
//! holds the table, and `docs/architecture.md` shows it.
//!
//! - [`protocol`]: HTTP/1.1 and the protocols of front ends as pure machines: bytes in, events out
//! - [`wsgi`]: PEP 3333 as data and rules: environ, body, response
//! - `files`: static files: paths, conditions, ranges; opened, but not sent
//! - `routing`: rules that look at requests and responses
//! - [`config`]: the option table, its sources, the resolved configuration
//! - `telemetry`: messages and the request log
//! - `extensions`: extension modules as files; no Python
//! - [`python`]: CPython; the room with `unsafe`
//! - `tls`: certificates and their choice; no sockets
//! - `net`: sockets, the poll, deadlines; knows no Python
//! - `shared`: what interpreters share: locks
//! - `background`: work that belongs to no request: timers, cron, file monitors; knows no Python
//! - `app`: generations of workers: where requests meet the application
//! - `os`: what differs between systems and is no socket
//! - `waiter`: the first process, which waits for those that succeed it; knows no Python
//! - `reload`: everything that renews what is served
//! - `admin`: how a running server is asked and told
//! - [`server`]: the composition root: starts, supervises, stops

pub(crate) mod admin;
pub(crate) mod app;
pub(crate) mod background;
pub mod config;
pub(crate) mod extensions;
pub(crate) mod files;
pub(crate) mod net;
pub(crate) mod os;
pub mod protocol;
pub mod python;
pub(crate) mod reload;
pub(crate) mod routing;
pub mod server;
pub(crate) mod shared;
pub(crate) mod telemetry;
pub(crate) mod tls;
pub(crate) mod waiter;
pub mod wsgi;
