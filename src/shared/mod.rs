//! What interpreters share: plain Rust memory of the process, older and younger than any
//! generation. Knows no Python.
//!
//! - [`locks`]: those of `uwsgi.lock()`

pub mod locks;
