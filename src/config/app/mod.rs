//! The application: which file or module it is, and the ones that are mounted below prefixes.

pub(super) mod options;
pub(super) mod resolve;
pub(super) mod target;
pub(super) mod types;
