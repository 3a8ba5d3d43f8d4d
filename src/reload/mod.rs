//! Everything that renews what is served: reloads, rolling replacement, canaries and rollbacks,
//! memory limits, more or fewer interpreters, and the handover to another process.
//!
//! The supervisor (`server`) owns the [`Reloader`](reloader::Reloader) and calls it on the main
//! thread; loading runs on `sm-reload`, and the result comes back as an [`event`]. This room
//! decides and loads; it never stops the server and never handles a request, except for the page
//! about a failed load. Read `reloader/state.rs` first.
//!
//! - [`version`]: what a reload renews: the configuration, and what is made of it
//! - [`pending`], [`builder`], [`task`]: renewals that wait, how they are done, and their results
//! - [`canary`], [`autoscale`], [`memory_watch`]: decisions without side effects
//! - [`history`], [`record`], [`report`]: how reloads went, for clients and the log
//! - [`triggers`]: watched files that ask for a reload
//! - [`handover`]: from one process to another, for applications of the main interpreter

pub mod autoscale;
pub mod builder;
pub mod canary;
pub mod event;
pub mod failed_load;
pub mod handover;
pub mod history;
pub mod interval;
mod memory_watch;
pub mod pending;
pub mod record;
pub mod reloader;
pub mod report;
pub mod resize;
pub mod task;
pub mod triggers;
pub mod version;
