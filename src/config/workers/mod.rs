//! Interpreters and threads: how many, and how their number changes.

pub(super) mod options;
pub(super) mod resolve;
pub(super) mod types;
