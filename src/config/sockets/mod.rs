//! Where the server listens, and how sockets are made.

pub(super) mod options;
pub(super) mod resolve;
pub(super) mod types;
