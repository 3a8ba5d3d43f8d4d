//! Signals of uWSGI (0 to 255) for workers.
//!
//! Any thread raises a signal; a worker takes it between two jobs. Nothing here runs Python. Read
//! [`queue`] first.

pub(super) mod delivery;
pub(super) mod queue;
pub(super) mod router;
