//! Locks of tasks: those of fcntl(2), which uWSGI takes. On Linux they belong to the open file, so
//! that two threads of this process keep each other out, too.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Only the owner may read what is created.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Opens a task: for reading and writing, since a lock for writing needs that.
pub(super) fn open(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

/// Locks without waiting. Returns `false` if another process, or thread, holds the lock.
pub(super) fn lock(file: &File) -> io::Result<bool> {
    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, fcntl};
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    #[cfg(target_os = "linux")]
    let ask = FcntlArg::F_OFD_SETLK(&whole);
    // Threads of this process are kept apart by the schedule.
    #[cfg(not(target_os = "linux"))]
    let ask = FcntlArg::F_SETLK(&whole);
    match fcntl(file, ask) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(Errno::ENOLCK | Errno::ENOSYS | Errno::EOPNOTSUPP) => Err(io::Error::other(
            "the file system has no locks (NFS without them?): put the spooler's directory on a \
             local disk",
        )),
        Err(error) => Err(error.into()),
    }
}

/// Whether the open file is the one of that name, and has not been removed or replaced.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let mark = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => mark(open) == mark(named),
        _ => false,
    }
}
