//! The system's number of a thread. Any thread.

/// The calling thread, as `threading.get_ident()` has it.
pub(super) fn ident() -> u64 {
    // SAFETY: may be called by any thread at any time.
    unsafe { pyo3_ffi::PyThread_get_thread_ident() as u64 }
}

/// The kernel's number of the calling thread.
#[cfg(target_os = "linux")]
pub(super) fn native_id() -> Option<u32> {
    Some(
        rustix::thread::gettid()
            .as_raw_nonzero()
            .get()
            .cast_unsigned(),
    )
}

#[cfg(not(target_os = "linux"))]
pub(super) fn native_id() -> Option<u32> {
    None
}
