//! Everything that renews what is served.
//!
//! - [`event`]: what the supervisor can be asked or told
//! - [`reloader`]: one renewal at a time: swap, rolling, recycling, or the whole process
//! - [`pending`]: renewals that wait
//! - [`history`], [`record`]: how reloads went, and how that is told
//! - [`canary`]: a new version that gets a share of the requests
//! - [`triggers`]: watched files and timers that ask for a reload
//! - [`autoscale`], [`resize`]: more or fewer interpreters
//! - [`failed_load`]: the page for a version that does not load, in development
//! - [`handover`]: from one process to another, for apps of the main interpreter
//!
//! The supervisor (`server`) calls it on the main thread; the work is done on `sm-reload`.

pub mod autoscale;
pub mod canary;
pub mod event;
pub mod failed_load;
pub mod handover;
pub mod history;
pub mod interval;
pub mod pending;
pub mod record;
pub mod reloader;
pub mod report;
pub mod resize;
pub mod triggers;
