//! The system's number of a thread. Any thread.

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
