//! Locks on files (`--flock` and its kin), held as long as the process lives.
//!
//! They are locks of fcntl(2), which uWSGI takes too, so that the two keep each other out; on Linux
//! those that belong to the open file: they outlive the fork of `--daemonize`, and the process does
//! not lose them by closing the file elsewhere in the process. A successor gets the open files
//! (`successor`), so there is no moment at which another process could take a lock.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::config::Failure;
use crate::config::{Config, FileLock};

pub type Locks = Vec<File>;

/// Locks what is to be locked early, or late. `left`: locks that the process before this one holds;
/// those of the same files are taken from there. What is returned holds the locks.
///
/// # Errors
/// A file cannot be opened, or another process holds the lock of one that is not waited for.
pub fn take(
    config: &Config,
    late: bool,
    say: &dyn Fn(&str),
    left: &mut Locks,
) -> Result<Locks, Failure> {
    let locks = config.start.locks.iter();
    locks
        .filter(|lock| lock.is_late == late)
        .map(|lock| take_one(config, lock, say, left))
        .collect()
}

/// Whether the files of the locks can be opened; another process may hold the locks.
pub fn check(config: &Config, is_late: bool) -> Result<(), Failure> {
    let mut locks = config
        .start
        .locks
        .iter()
        .filter(|lock| lock.is_late == is_late);
    locks.try_for_each(|lock| open(config, lock).map(drop))
}

fn open(config: &Config, lock: &FileLock) -> Result<File, Failure> {
    let opened = File::options().read(true).write(true).open(&lock.path);
    opened.map_err(|error| failed(config, lock, &error))
}

fn failed(config: &Config, lock: &FileLock, why: &dyn std::fmt::Display) -> Failure {
    let path = lock.path.display();
    Failure::about(
        config,
        lock.option,
        format_args!("cannot lock {path}: {why}"),
    )
}

fn take_one(
    config: &Config,
    lock: &FileLock,
    say: &dyn Fn(&str),
    left: &mut Locks,
) -> Result<File, Failure> {
    let path = lock.path.display();
    let failed = |why: &dyn std::fmt::Display| failed(config, lock, why);
    if let Some(place) = left.iter().position(|file| is_at(file, &lock.path)) {
        return Ok(left.swap_remove(place));
    }
    let file = open(config, lock)?;
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

/// Whether this is the file of that name, and not another one that is there by now.
fn is_at(file: &File, path: &Path) -> bool {
    let mark = |metadata: Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(named)) => mark(held) == mark(named),
        _ => false,
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
