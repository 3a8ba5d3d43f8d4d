//! Other systems: names are resolved, checked and opened, and the opened file is checked again
//! where the system tells its path.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::entry::{Entry, Miss, look_at};

#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) struct Held;

#[cfg(not(target_os = "linux"))]
impl Held {
    pub(super) fn new(_path: &Path) -> Self {
        Self
    }

    pub(super) fn entry(&self, path: &Path, names: &[u8], safe: &[PathBuf]) -> Result<Entry, Miss> {
        entry(path, names, safe)
    }
}

pub(super) fn entry(path: &Path, names: &[u8], safe: &[PathBuf]) -> Result<Entry, Miss> {
    let wanted = if names.is_empty() {
        path.to_path_buf()
    } else {
        path.join(native(names).ok_or(Miss::Absent)?)
    };
    let real = wanted.canonicalize()?;
    if !is_inside(&real, path, safe) {
        return Err(Miss::Outside);
    }
    if real.is_dir() {
        return Ok(Entry::Folder);
    }
    let file = open(&real)?;
    // A link may have replaced it since.
    if !is_inside(&where_is(&file, &real)?, path, safe) {
        return Err(Miss::Outside);
    }
    look_at(file)
}

fn is_inside(real: &Path, path: &Path, safe: &[PathBuf]) -> bool {
    std::iter::once(path)
        .chain(safe.iter().map(PathBuf::as_path))
        .any(|root| root.canonicalize().is_ok_and(|root| real.starts_with(root)))
}

#[cfg(unix)]
fn native(names: &[u8]) -> Option<&Path> {
    use std::os::unix::ffi::OsStrExt;
    Some(Path::new(std::ffi::OsStr::from_bytes(names)))
}

#[cfg(not(unix))]
fn native(names: &[u8]) -> Option<&Path> {
    std::str::from_utf8(names).ok().map(Path::new)
}

#[cfg(unix)]
fn open(real: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(real)
}

#[cfg(not(unix))]
fn open(real: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(real)
}

#[cfg(target_os = "linux")]
fn where_is(file: &File, _opened_as: &Path) -> io::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(target_vendor = "apple")]
fn where_is(file: &File, _opened_as: &Path) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let path = rustix::fs::getpath(file)?;
    Ok(PathBuf::from(std::ffi::OsString::from_vec(
        path.into_bytes(),
    )))
}

/// The system does not tell: resolve the path once more, which detects a link that replaced the
/// file.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn where_is(_file: &File, opened_as: &Path) -> io::Result<PathBuf> {
    opened_as.canonicalize()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// The way for kernels without openat2, which no test machine has.
    #[test]
    fn the_portable_way_decides_alike() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().canonicalize().expect("its path");
        fs::create_dir_all(path.join("www/css")).expect("a folder");
        fs::create_dir_all(path.join("secret")).expect("a folder");
        fs::write(path.join("www/css/a.css"), "a").expect("a file");
        fs::write(path.join("secret/key"), "key").expect("a file");
        symlink(path.join("secret/key"), path.join("www/out")).expect("a link");
        symlink("css/a.css", path.join("www/in")).expect("a link");
        let root = path.join("www");
        let safe = [path.join("secret")];
        let is_file = |names: &str, safe: &[PathBuf]| {
            matches!(entry(&root, names.as_bytes(), safe), Ok(Entry::File(_)))
        };
        assert!(is_file("css/a.css", &[]) && is_file("in", &[]) && is_file("out", &safe));
        assert!(matches!(entry(&root, b"css", &[]), Ok(Entry::Folder)));
        assert!(matches!(entry(&root, b"", &[]), Ok(Entry::Folder)));
        assert!(matches!(entry(&root, b"out", &[]), Err(Miss::Outside)));
        assert!(matches!(entry(&root, b"none", &[]), Err(Miss::Absent)));
        assert!(matches!(entry(&root, b"in/x", &[]), Err(Miss::Absent)));
    }
}
