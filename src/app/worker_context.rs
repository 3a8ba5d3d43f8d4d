//! The context of worker threads of every generation: the sockets, the serving generation,
//! callbacks.
//!
//! The serving generation is a trait, because its own threads hold this.

use std::sync::Arc;
use std::time::Duration;

use crate::net::{Dispatch, Net};
use crate::python::Source;

use super::acceptor_waker::AcceptorWaker;
use super::recycling::RecycleRequest;

/// The serving generation. Any thread; does not wait.
pub trait ServingGeneration: Dispatch + Send {
    /// A worker of generation `own` has queued requests. If they went to another generation, wakes
    /// one of its workers.
    fn wake_successor(&self, own: u64, net: &Net);

    /// The wait of a worker of generation `own` ended without a job. If another generation serves
    /// and has jobs, passes the wake on to its workers, which sleep in the same poll. Returns
    /// whether it did.
    fn pass_wake_on(&self, own: u64, net: &Net) -> bool;
}

/// Receives source files of the application, and how long ago they may have been read first.
pub type OnSources = Arc<dyn Fn(&[Source], Duration) + Send + Sync>;

#[derive(Clone)]
pub struct WorkerContext {
    pub net: Arc<Net>,
    pub current: Arc<dyn ServingGeneration>,
    pub acceptor_waker: Arc<AcceptorWaker>,
    /// Whether workers take turns in the poll (Linux), or only the acceptor polls.
    pub shares_poll: bool,
    /// Receives interpreters that are due. Called by workers, between requests.
    pub on_recycle: Arc<dyn Fn(RecycleRequest) + Send + Sync>,
    /// Receives, once, the number of a generation that has requests and no interpreter. Called by
    /// the thread that queues them.
    pub on_wanted: Arc<dyn Fn(u64) + Send + Sync>,
    /// Receives the application's files, if they are watched. Called by workers.
    pub on_sources: Option<OnSources>,
}
