//! Alarms: what they are called, what they do, what raises them.

pub(super) mod options;
pub(super) mod resolve;
pub(super) mod types;
