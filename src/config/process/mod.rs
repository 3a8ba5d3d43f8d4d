//! The process: users, files, title, limits, and its hooks.

pub(super) mod hook;
pub(super) mod options;
pub(super) mod resolve;
pub(super) mod types;
