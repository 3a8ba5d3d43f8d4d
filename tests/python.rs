//! The Python room, driven without sockets: interpreters are made, apps loaded, requests served, interpreters ended.
//!
//! One process has one Python, so all tests of this binary share it; each has interpreters of its own.

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
