//! Locks on files (`--flock` and its kin), held as long as the process lives.
//!
//! They are locks of fcntl(2), which uWSGI takes too, so that the two keep each other out; on Linux those that belong to the
//! open file: they outlive the fork of `--daemonize`, and nobody loses them by closing the file elsewhere in the process.

use std::fs::File;
use std::io;

use super::failure::Failure;
use crate::config::{Config, FileLock};

/// Locks what is to be locked early, or late. What is returned holds the locks.
///
/// # Errors
/// A file cannot be opened, or another process holds the lock of one that is not waited for.
pub fn take(config: &Config, late: bool, say: &dyn Fn(&str)) -> Result<Vec<File>, Failure> {
    let locks = config.start.locks.iter();
    locks
        .filter(|lock| lock.is_late == late)
        .map(|lock| take_one(config, lock, say))
        .collect()
}

fn take_one(config: &Config, lock: &FileLock, say: &dyn Fn(&str)) -> Result<File, Failure> {
    let path = lock.path.display();
    let failed = |why: &dyn std::fmt::Display| {
        Failure::about(
            config,
            lock.option,
            format_args!("cannot lock {path}: {why}"),
        )
    };
    let opened = File::options().read(true).write(true).open(&lock.path);
    let file = opened.map_err(|error| failed(&error))?;
    match set(&file, false) {
        Ok(()) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && lock.waits => {
            say(&format!(
                "waiting for the lock of {path} (--{})",
                lock.option
            ));
            set(&file, true).map_err(|error| failed(&error))?;
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(failed(&"another process holds the lock"))
        }
        Err(error) => Err(failed(&error)),
    }
}

#[cfg(target_os = "linux")]
fn set(file: &File, waits: bool) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, fcntl};
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    loop {
        let asked = if waits {
            FcntlArg::F_OFD_SETLKW(&whole)
        } else {
            FcntlArg::F_OFD_SETLK(&whole)
        };
        match fcntl(file, asked) {
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(nix::errno::Errno::EACCES) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn set(file: &File, waits: bool) -> io::Result<()> {
    use rustix::fs::{FlockOperation, flock};
    let operation = if waits {
        FlockOperation::LockExclusive
    } else {
        FlockOperation::NonBlockingLockExclusive
    };
    flock(file, operation).map_err(io::Error::from)
}
