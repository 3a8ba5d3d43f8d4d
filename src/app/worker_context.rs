//! What the threads of all generations share: the sockets, the serving generation, and whom to tell
//! of what they find.
//!
//! The serving generation is behind a trait, because a generation's own threads hold this.

use std::sync::Arc;
use std::time::Duration;

use crate::net::{Dispatch, Net};
use crate::python::Source;

use super::acceptor_waker::AcceptorWaker;
use super::recycling::RecycleRequest;

/// The generation that serves, for a worker of any generation. Any thread; does not wait.
pub trait ServingGeneration: Dispatch + Send {
    /// A worker of generation `own` has queued requests. If they went to another generation, all of
    /// that one's workers may be asleep: wakes one.
    fn wake_successor(&self, own: u64, net: &Net);

    /// The wait of a worker of generation `own` ended for nothing. If another generation serves and
    /// has jobs, the wake may have been meant for one of its workers, which sleep in the same poll:
    /// passes it on. Whether it did.
    fn pass_wake_on(&self, own: u64, net: &Net) -> bool;
}

/// Is told of files that the application is made of, and how long ago they may have been read
/// first.
pub type OnSources = Arc<dyn Fn(&[Source], Duration) + Send + Sync>;

/// What the threads of all generations share.
#[derive(Clone)]
pub struct WorkerContext {
    /// Sockets and the poll.
    pub net: Arc<Net>,
    /// The generation that serves, as its workers and their successors need it.
    pub current: Arc<dyn ServingGeneration>,
    pub acceptor_waker: Arc<AcceptorWaker>,
    /// Workers take turns in the poll (Linux), or only the acceptor does.
    pub shares_poll: bool,
    /// Is told of interpreters that are due to be replaced. Called by workers, between requests.
    pub on_recycle: Arc<dyn Fn(RecycleRequest) + Send + Sync>,
    /// Is told, once, that a generation (its number) has requests and no interpreter. Called by
    /// whoever queues them.
    pub on_wanted: Arc<dyn Fn(u64) + Send + Sync>,
    /// Is told of the application's files, if they are watched. Called by workers.
    pub on_sources: Option<OnSources>,
}
