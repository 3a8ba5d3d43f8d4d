//! singlemalt: the one-process WSGI server. A CPython interpreter per worker, no fork.
//!
//! The rooms, in reading order; each may use those above it, never those below (`tests/tidy.rs` holds the
//! table):
//!
//! - [`http`]: HTTP/1.1 as a pure machine: bytes in, events out
//! - [`cgi`]: a request that a front end passes on as variables
//! - [`uwsgi`], [`fastcgi`], [`scgi`]: their protocols as pure machines
//! - [`wsgi`]: PEP 3333 as data and rules: environ, body, response
//! - [`files`]: static files: paths, conditions, ranges; opened, but not sent
//! - [`config`]: the option table, its sources, the resolved configuration
//! - [`control`]: what can be asked of a running server, and how it is said
//! - [`telemetry`]: messages and the request log
//! - [`python`]: CPython; the room with `unsafe`
//! - [`proxies`]: what a proxy in front tells about its client, and whether to believe it
//! - [`tls`]: certificates and their choice; no sockets
//! - [`net`]: sockets, the poll, deadlines; knows no Python
//! - [`shared`]: what interpreters share: locks
//! - [`background`]: work that belongs to no request: timers, cron, file monitors; knows no Python
//! - [`app`]: generations of workers: where requests meet the application
//! - [`server`]: the composition root: assembles, reports, supervises, stops

pub mod admin;
pub mod app;
pub mod background;
pub mod config;
pub mod files;
pub mod net;
pub mod os;
pub mod protocol;
pub mod python;
pub mod reload;
pub mod server;
pub mod shared;
pub mod telemetry;
pub mod tls;
pub mod wsgi;
