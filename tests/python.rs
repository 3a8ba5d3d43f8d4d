//! The Python room without sockets: makes interpreters, loads apps, serves requests, ends
//! interpreters.
//!
//! One process has one Python, so all tests of this binary share it; each has interpreters of its
//! own.

#[path = "python/harness.rs"]
mod harness;
#[path = "python/lifetimes.rs"]
mod lifetimes;
#[path = "python/loading.rs"]
mod loading;
#[path = "python/responses.rs"]
mod responses;
#[path = "python/serving.rs"]
mod serving;
