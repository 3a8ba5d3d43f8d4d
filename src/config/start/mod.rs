//! What must hold before the server starts.

pub(super) mod options;
pub(super) mod resolve;
pub(super) mod types;
