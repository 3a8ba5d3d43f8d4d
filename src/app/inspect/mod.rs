//! What workers do and have done: counters, their status at this moment, the stacks of their
//! threads.
//!
//! Called by `admin` (status, statistics, tracebacker) and by the `uwsgi` module, on any thread
//! that has no part in an interpreter. Nothing here waits for a worker; only [`stacks`] waits for a
//! GIL, on threads of its own and for a bounded time. Read [`counters`] first: workers write those
//! on the way of each request, so counting there is a plain store.

pub mod counters;
#[cfg(target_os = "linux")]
pub mod native_thread_linux;
#[cfg(not(target_os = "linux"))]
pub mod native_thread_other;
pub mod stacks;
mod thread_state;
pub mod worker_status;
