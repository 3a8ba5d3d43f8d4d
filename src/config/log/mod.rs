//! Logs: where they go and when they are opened anew.

pub(super) mod options;
pub(super) mod resolve;
pub(super) mod types;
