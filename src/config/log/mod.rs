//! Logs: what is in them, where they go and when they are opened anew.

mod encoders;
pub(super) mod format;
mod loggers;
pub(super) mod options;
pub(super) mod resolve;
mod time_format;
pub(super) mod types;
