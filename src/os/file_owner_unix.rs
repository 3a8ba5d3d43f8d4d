//! Modes and owners of files, and pipes with names: what hooks do to files that only Unix has.
//! Main thread.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::Path;

use super::accounts;
use crate::config::Principal;

/// Bit of a folder in which only owners may remove files.
const STICKY: u32 = 0o1000;

/// chmod(2).
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Adds the sticky bit.
pub fn set_sticky(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    set_mode(path, mode | STICKY)
}

/// chown(2).
pub fn set_owner(path: &Path, user: &Principal, group: &Principal) -> Result<(), String> {
    let uid = accounts::user(user)?;
    let gid = accounts::group(group)?;
    chown(path, Some(uid.as_raw()), Some(gid.as_raw()))
        .map_err(|error| format!("cannot give {} to {user}:{group}: {error}", path.display()))
}

/// Writes to a named pipe if a process reads it.
pub fn write_fifo(path: &Path, text: &str) -> io::Result<()> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(flags.cast_signed());
    match options.open(path) {
        Ok(mut pipe) => pipe.write_all(text.as_bytes()),
        Err(error) => match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::NXIO | rustix::io::Errno::NODEV) => Ok(()),
            _ => Err(error),
        },
    }
}
