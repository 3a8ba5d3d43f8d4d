//! Linux: memory that another process may read when this one has been killed. Here because it takes
//! `unsafe`; Python has no part in it.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::AtomicU64;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

/// Memory of so many bytes, all 0, and the descriptor that names it. It is never freed.
///
/// # Errors
/// The system has none.
pub fn shared_memory(bytes: usize) -> io::Result<(&'static [AtomicU64], OwnedFd)> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = memfd_create("singlemalt", flags)?;
    ftruncate(&file, bytes as u64)?;
    // Memory beyond the end of the file would be a fault.
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    // SAFETY: the kernel chooses the place, so no other memory is replaced.
    let place = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if place == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping has `bytes` bytes, begins at a page, and is never removed; the file
    // cannot shrink. Any bytes are an `AtomicU64`, and other processes only read the file.
    let words = unsafe { std::slice::from_raw_parts(place.cast(), bytes / size_of::<AtomicU64>()) };
    Ok((words, file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;
    use std::sync::atomic::Ordering;

    #[test]
    fn the_descriptor_reads_what_was_stored() {
        let (words, file) = shared_memory(4096).expect("memory");
        assert_eq!(words.len(), 512);
        words[511].store(7, Ordering::Relaxed);
        let mut bytes = [0; 8];
        let file = std::fs::File::from(file);
        file.read_exact_at(&mut bytes, 4088).expect("it is there");
        assert_eq!(u64::from_ne_bytes(bytes), 7);
        assert!(file.set_len(0).is_err());
    }
}
