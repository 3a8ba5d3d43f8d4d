//! What workers do and have done: counters, snapshots of their status, stacks of their threads.

pub mod counters;
#[cfg(target_os = "linux")]
pub mod native_thread_linux;
#[cfg(not(target_os = "linux"))]
pub mod native_thread_other;
pub mod stacks;
pub mod worker_status;
