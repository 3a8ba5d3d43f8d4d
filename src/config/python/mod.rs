//! The Python that the application runs in: its paths, its environment, what it imports.

pub(super) mod envdir;
pub(super) mod options;
pub(super) mod resolve;
pub(super) mod types;
