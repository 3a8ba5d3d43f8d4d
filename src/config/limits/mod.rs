//! What a client may send and how long it and the application may take.

pub(super) mod options;
pub(super) mod resolve;
pub(super) mod types;
