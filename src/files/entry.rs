//! The file or folder behind a name.

use std::fs::File;
use std::io;
use std::time::SystemTime;

#[derive(Debug)]
pub struct Opened {
    pub file: File,
    pub length: u64,
    pub modified: SystemTime,
}

#[derive(Debug)]
pub enum Entry {
    File(Opened),
    Folder,
}

#[derive(Debug)]
pub enum Miss {
    Absent,
    /// A symbolic link leads out of the served folders.
    Outside,
    /// This process may not read it.
    Denied,
    /// Out of descriptors, a disk error.
    Failed(io::Error),
}

impl From<io::Error> for Miss {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput => Self::Absent,
            io::ErrorKind::PermissionDenied => Self::Denied,
            // std has no stable name for it.
            #[cfg(unix)]
            _ if error.raw_os_error() == Some(libc::ELOOP) => Self::Absent,
            _ => Self::Failed(error),
        }
    }
}

pub(super) fn look_at(file: File) -> Result<Entry, Miss> {
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Ok(Entry::Folder);
    }
    if !metadata.is_file() {
        return Err(Miss::Absent);
    }
    Ok(Entry::File(Opened {
        length: metadata.len(),
        modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        file,
    }))
}
