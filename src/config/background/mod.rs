//! Work beside requests: cron entries, commands and signals of touched files, locks.

pub(super) mod options;
pub(super) mod resolve;
pub(super) mod types;
