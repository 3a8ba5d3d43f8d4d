//! Caches that all interpreters share, and what is put into them at start.

pub(super) mod options;
pub(super) mod resolve;
pub(super) mod types;
