//! Linux: the waiter learns which requests are in progress when this process is killed.

use std::io;

use crate::python::shared_memory;
use crate::telemetry::in_progress::{SHARED_BYTES, share};
use crate::waiter::link::Link;

/// Notes the requests in progress in memory that the waiter can read (`--supervise`). Before the
/// first worker starts.
///
/// # Errors
/// The system has no such memory.
pub fn share_jobs(link: &Link) -> io::Result<()> {
    let (memory, handle) = shared_memory(SHARED_BYTES)?;
    share(memory);
    link.share_jobs(&handle);
    Ok(())
}
