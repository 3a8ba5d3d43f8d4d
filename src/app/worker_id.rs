//! The id of a worker thread.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerId {
    /// The interpreter, from 1 (uWSGI's worker id).
    pub worker: usize,
    /// The thread of that interpreter, from 0 (uWSGI's core).
    pub core: usize,
}
