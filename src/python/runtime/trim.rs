//! Returns the memory of ended interpreters from the C library to the system.
//!
//! Python asks `malloc` for everything above 512 bytes. glibc keeps a heap for (nearly) each
//! thread, and gives freed memory back from the end of a heap only; what lies below the last block
//! in use stays, for as long as the process lives. The threads of the next generation get other
//! heaps, so after some reloads each of them has held an interpreter once: with Django 128 MB, of
//! which 40 were in use. With another C library nothing is done.

use std::time::Instant;

/// Gives back whole pages of freed memory in all heaps. Any thread, attached to nothing: each heap
/// is locked for as long as it is walked (a few milliseconds for that of an interpreter that has
/// just ended, much less for one in use).
pub(crate) fn free_memory() {
    let started = Instant::now();
    trim();
    tracing::debug!(
        "gave free memory back to the system in {:.1} ms",
        started.elapsed().as_secs_f64() * 1000.0
    );
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    // SAFETY: the call touches free memory only, under the allocator's own locks; any thread may
    // make it at any time.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}
