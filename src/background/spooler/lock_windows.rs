//! Locks of tasks: a file that is open for its run cannot be opened again.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::Path;

/// `FILE_SHARE_DELETE`: others may rename and remove the file, and neither read nor write it.
const SHARE_DELETE: u32 = 4;
/// `ERROR_SHARING_VIOLATION`
const SHARING_VIOLATION: i32 = 32;

pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Opens a task, which locks it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).share_mode(SHARE_DELETE);
    options
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(SHARING_VIOLATION) => io::ErrorKind::WouldBlock.into(),
            _ => error,
        })
}

pub(super) fn lock(_file: &File) -> io::Result<bool> {
    Ok(true)
}

pub(super) fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}
