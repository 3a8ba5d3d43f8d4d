//! The spooler: tasks in directories, and the command that works on such a directory.

pub(super) mod command;
pub(super) mod options;
pub(super) mod resolve;
pub(super) mod types;
