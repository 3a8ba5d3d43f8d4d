//! The application as it is loaded and served: generations of workers, and the queue that feeds
//! them.
//!
//! Joins `net` (requests), `background` (signals) and `python` (the application); no room below
//! knows two of these. Called by `server`, which starts generation 1, by `reload`, which starts,
//! resizes and replaces the others, and by `admin`, which asks for their state. Workers run
//! application code on threads of their own, the acceptor (`sm-acceptor`) keeps the poll going,
//! `sm-reload` makes interpreters. No file reads the configuration, and only worker threads attach
//! to Python.
//!
//! Read [`worker`] first (the loop of one thread), then [`queue`], [`generation`] and [`current`]:
//! how a request reaches it; then [`workers`] and `load_generation`: how interpreters come and go.

pub mod acceptor;
pub mod acceptor_waker;
pub mod apps;
mod generation_state;
pub mod gil_gate;
pub mod harakiri;
pub mod inspect;
pub mod isolation;
mod load_generation;
pub mod plan;
mod replacement;
pub mod scaling;
mod signals;
pub mod spooler;
pub mod start_report;
mod thread_placement;
mod uwsgi_backend;
pub mod worker_context;
pub mod worker_group;
pub mod worker_id;
pub mod workers;
mod working_folder;

pub mod canary;
pub mod current;
pub mod generation;
pub mod openers;
pub mod probe;
pub mod process;
pub mod queue;
pub mod recycling;
pub mod worker;

pub use acceptor::Acceptor;
pub use apps::Apps;
pub use current::Current;
pub use generation::Generation;
pub use plan::Plan;
pub use recycling::RecycleRequest;
pub use start_report::{Deadlines, Report, StartError};
pub use workers::Workers;
