//! Threads have no niceness of their own here.

pub(super) fn set_nice(_nice: i32) {}
