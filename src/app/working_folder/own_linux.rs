//! A working directory and a umask for a thread, apart from those of the process (unshare(2),
//! `CLONE_FS`). Threads that it starts share them with it. It needs no privilege, but a container's
//! policy for system calls may refuse it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sched::{CloneFlags, unshare};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::process;

/// The calling thread has a directory of its own. It stays on that thread.
pub struct OwnFolder(std::marker::PhantomData<*const ()>);

/// Where a thread is. The directory is held open, so that it is found under any name.
#[derive(Clone)]
pub struct Place {
    folder: Arc<OwnedFd>,
    umask: Mode,
}

impl OwnFolder {
    /// Separates the calling thread; `None` if the system does not let it, or does not tell where
    /// the process is.
    pub fn separate() -> Option<Self> {
        Self::of_process()?;
        match unshare(CloneFlags::CLONE_FS) {
            Ok(()) => Some(Self(std::marker::PhantomData)),
            Err(error) => {
                tracing::debug!(%error, "working directory and umask are the process's");
                None
            }
        }
    }

    /// The working directory of the process, which is that of its main thread.
    pub fn of_process() -> Option<PathBuf> {
        std::fs::read_link("/proc/self/cwd").ok()
    }

    /// # Errors
    /// The thread cannot change to the directory.
    pub fn enter(&self, folder: &Path) -> io::Result<()> {
        std::env::set_current_dir(folder)
    }

    /// # Errors
    /// The directory was removed, or descriptors are used up.
    pub fn place(&self) -> io::Result<Place> {
        let folder = rustix::fs::open(".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        // The call that reads it sets it. No other thread has this one.
        let umask = process::umask(Mode::empty());
        process::umask(umask);
        Ok(Place {
            folder: Arc::new(folder),
            umask,
        })
    }

    /// # Errors
    /// The thread cannot change to the directory.
    pub fn go_to(&self, place: &Place) -> io::Result<()> {
        process::umask(place.umask);
        Ok(process::fchdir(&place.folder)?)
    }
}

#[cfg(test)]
mod tests {
    use super::OwnFolder;

    #[test]
    fn a_thread_leaves_the_process_where_it_is() {
        let before = std::env::current_dir().expect("a folder");
        let elsewhere = tempfile::tempdir().expect("a folder");
        let target = elsewhere.path().canonicalize().expect("a path");
        let (seen, place) = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let own = OwnFolder::separate().expect("no policy forbids it here");
                own.enter(&target).expect("it exists");
                (
                    std::env::current_dir().expect("it"),
                    own.place().expect("it"),
                )
            });
            thread.join().expect("no panic")
        });
        assert_eq!(seen, target);
        assert_eq!(std::env::current_dir().expect("a folder"), before);
        assert_eq!(OwnFolder::of_process(), Some(before));
        let followed = std::thread::spawn(move || {
            let own = OwnFolder::separate().expect("no policy forbids it here");
            own.go_to(&place).expect("it exists");
            std::env::current_dir().expect("it")
        });
        assert_eq!(followed.join().expect("no panic"), target);
    }
}
