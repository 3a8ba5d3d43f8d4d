//! Windows has neither modes nor owners that a hook could set.

use std::io;
use std::path::Path;

use crate::config::Principal;

pub fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Err(unsupported())
}

pub fn set_sticky(_path: &Path) -> io::Result<()> {
    Err(unsupported())
}

pub fn set_owner(path: &Path, _user: &Principal, _group: &Principal) -> Result<(), String> {
    Err(format!(
        "cannot change the owner of {}: {}",
        path.display(),
        unsupported()
    ))
}

pub fn write_fifo(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)
}

fn unsupported() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "Windows has no file modes and owners; use icacls",
    )
}
