//! Static files, and files that applications name.

pub(super) mod options;
pub(super) mod resolve;
pub(super) mod types;
