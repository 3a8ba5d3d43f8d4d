//! Linux: the kernel resolves names below a descriptor of the folder and does not leave it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::entry::{Entry, Miss, look_at};
use super::open_portable;

/// How long a folder's descriptor is used before its path is looked up again. Bounds how long a
/// replaced folder is served.
const HELD_FOR: Duration = Duration::from_secs(1);

/// RESOLVE_BENEATH fails while folders are renamed (openat2(2), EAGAIN).
const ATTEMPTS: usize = 8;

/// Does not wait for a FIFO's writer, and takes no controlling terminal.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// A descriptor of the root, renewed now and then.
#[derive(Debug)]
pub(super) struct Held(ArcSwap<Snapshot>);

#[derive(Debug)]
struct Snapshot {
    root: Kind,
    since: Instant,
}

#[derive(Debug)]
enum Kind {
    Folder(OwnedFd),
    /// One file, opened by its path every time.
    File,
    Absent(Errno),
}

impl Snapshot {
    fn take(path: &Path) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(folder) => Kind::Folder(folder),
            Err(Errno::NOTDIR) => Kind::File,
            Err(error) => Kind::Absent(error),
        };
        Self {
            root,
            since: Instant::now(),
        }
    }
}

impl Held {
    pub(super) fn new(path: &Path) -> Self {
        Self(ArcSwap::from_pointee(Snapshot::take(path)))
    }

    pub(super) fn entry(&self, path: &Path, names: &[u8], safe: &[PathBuf]) -> Result<Entry, Miss> {
        let mut held = self.0.load();
        if held.since.elapsed() >= HELD_FOR {
            self.0.store(std::sync::Arc::new(Snapshot::take(path)));
            held = self.0.load();
        }
        match &held.root {
            Kind::Folder(folder) => match open(folder, names, ResolveFlags::BENEATH) {
                Ok(file) => look_at(file),
                // It leaves the folder, perhaps to come back: an absolute link to a neighbour.
                Err(Errno::XDEV) => resolved(path, names, safe),
                // Before Linux 5.6, or in a sandbox without the call.
                Err(Errno::NOSYS | Errno::PERM) => open_portable::entry(path, names, safe),
                Err(error) => Err(miss(error)),
            },
            Kind::File if names.is_empty() => {
                let file = rustix::fs::openat(CWD, path, READ, Mode::empty()).map_err(miss)?;
                look_at(file.into())
            }
            Kind::File => Err(Miss::Absent),
            Kind::Absent(error) => Err(miss(*error)),
        }
    }
}

fn open(folder: impl AsFd, names: &[u8], how: ResolveFlags) -> Result<File, Errno> {
    let names = if names.is_empty() { b"." } else { names };
    let how = how | ResolveFlags::NO_MAGICLINKS;
    let mut attempts = 0;
    loop {
        match rustix::fs::openat2(&folder, names, READ, Mode::empty(), how) {
            Ok(file) => return Ok(file.into()),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if attempts < ATTEMPTS => attempts += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Resolves the links and then opens the target without following any: a link that changes
/// meanwhile is a miss.
fn resolved(path: &Path, names: &[u8], safe: &[PathBuf]) -> Result<Entry, Miss> {
    let real = path
        .join(std::ffi::OsStr::from_bytes(names))
        .canonicalize()?;
    let roots = std::iter::once(path).chain(safe.iter().map(PathBuf::as_path));
    for root in roots {
        let Ok(root) = root.canonicalize() else {
            continue;
        };
        let Ok(rest) = real.strip_prefix(&root) else {
            continue;
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&root, flags, Mode::empty()).map_err(miss)?;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let file = open(folder, rest.as_os_str().as_bytes(), how).map_err(miss)?;
        return look_at(file);
    }
    Err(Miss::Outside)
}

fn miss(error: Errno) -> Miss {
    match error {
        // A link changed meanwhile; a socket; an invalid name.
        Errno::LOOP | Errno::XDEV | Errno::NXIO | Errno::NODEV | Errno::NAMETOOLONG => Miss::Absent,
        error => io::Error::from(error).into(),
    }
}
