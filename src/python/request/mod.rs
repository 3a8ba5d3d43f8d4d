//! One request through the application: environ, `wsgi.input`, `start_response`, the call, the
//! body.
//!
//! Called by the worker's loop (`app`), through [`Attached::serve`](super::Attached::serve). Runs
//! on workers, attached; the GIL is released only while a slow client or a file is waited for. It
//! opens no socket: a response leaves through the [`Sink`](crate::wsgi::Sink) of the call. No
//! object of a request outlives it, unless the application keeps one. Read `call` first.
//!
//! - `call`: the whole of a request, and what follows from each failure
//! - `environ`, `environ_keys`, `last_environ`: the environ as a dict
//! - `input`: `wsgi.input`; `file_wrapper`: `wsgi.file_wrapper`
//! - `start_response`: `start_response` and `write`
//! - `caches`: what one thread keeps between requests

pub(crate) mod caches;
pub(crate) mod call;
mod environ;
mod environ_keys;
mod file_wrapper;
mod input;
mod last_environ;
mod start_response;
