//! singlemalt: the one-process WSGI server. A CPython interpreter per worker, no fork.
//!
//! The rooms, in reading order; each may use those above it, never those below (`tests/tidy.rs` holds the
//! table):
//!
//! - [`http`]: HTTP/1.1 as a pure machine: bytes in, events out
//! - [`wsgi`]: PEP 3333 as data and rules: environ, body, response
//! - [`config`]: the option table, its sources, the resolved configuration
//! - [`telemetry`]: messages and the request log
//! - [`python`]: CPython; the only room with `unsafe`
//! - [`net`]: sockets, the poll, deadlines; knows no Python
//! - [`background`]: work that belongs to no request: what watches files; knows no Python
//! - [`app`]: generations of workers: where requests meet the application
//! - [`server`]: the composition root: assembles, reports, supervises, stops

pub mod app;
pub mod background;
pub mod config;
pub mod http;
pub mod net;
pub mod python;
pub mod server;
pub mod telemetry;
pub mod wsgi;
