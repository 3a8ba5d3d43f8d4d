//! What interpreters share: plain Rust memory of the process, older and younger than any
//! generation. Knows no Python.
//!
//! - [`cache`]: those of `uwsgi.cache_get()`
//! - [`locks`]: those of `uwsgi.lock()`

pub mod cache;
pub mod locks;
