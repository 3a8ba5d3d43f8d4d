//! The file operations of the spooler. Each is one step that can fail; a test sets which of them
//! do, as a full or broken disk would, or a process that is killed in between.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::lock;

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    MakeFolder,
    Create,
    Write,
    SetTime,
    Sync,
    Rename,
    SyncFolder,
    List,
    Open,
    Lock,
    Read,
    Remove,
}

#[cfg(test)]
pub type BeforeStep = std::sync::Arc<dyn Fn(Step) -> io::Result<()> + Send + Sync>;

/// The disk.
#[derive(Clone, Default)]
pub struct Disk {
    #[cfg(test)]
    pub before: Option<BeforeStep>,
}

impl Disk {
    #[cfg(test)]
    fn step(&self, step: Step) -> io::Result<()> {
        self.before.as_ref().map_or(Ok(()), |before| before(step))
    }

    #[cfg(not(test))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "steps fail in tests only"
    )]
    fn step(&self, _step: Step) -> io::Result<()> {
        Ok(())
    }

    /// Thousands of runs with faults need no real disk.
    #[cfg(test)]
    fn is_test(&self) -> bool {
        self.before.is_some()
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "it depends on the steps in tests")]
    fn is_test(&self) -> bool {
        false
    }

    /// Makes a folder, unless it is there. Returns whether it is new.
    pub fn make_folder(&self, path: &Path) -> io::Result<bool> {
        self.step(Step::MakeFolder)?;
        match fs::create_dir(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates a file that only its owner may read.
    pub fn create(&self, path: &Path) -> io::Result<File> {
        self.step(Step::Create)?;
        lock::private(File::options().write(true).create_new(true)).open(path)
    }

    pub fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.step(Step::Write) {
            // A disk that becomes full takes a part.
            file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        file.write_all(bytes)
    }

    pub fn set_time(&self, file: &File, time: SystemTime) -> io::Result<()> {
        self.step(Step::SetTime)?;
        file.set_modified(time)
    }

    pub fn sync(&self, file: &File) -> io::Result<()> {
        self.step(Step::Sync)?;
        if self.is_test() {
            return Ok(());
        }
        file.sync_all()
    }

    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Step::Rename)?;
        fs::rename(from, to)
    }

    /// Makes names in a folder durable. Windows has no such call; NTFS logs them by itself.
    pub fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step(Step::SyncFolder)?;
        if cfg!(windows) || self.is_test() {
            return Ok(());
        }
        File::open(path)?.sync_all()
    }

    /// The entries of a folder.
    pub fn list(&self, path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
        self.step(Step::List)?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                entries.push((name, entry.path()));
            }
        }
        Ok(entries)
    }

    /// Opens a task for its run. Where opening locks, a locked file is an error of the kind
    /// `WouldBlock`.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        self.step(Step::Open)?;
        lock::open(path)
    }

    /// Locks an open file until it is closed. Returns whether no other process holds the lock, and
    /// the file still has this name.
    pub fn lock(&self, file: &File, path: &Path) -> io::Result<bool> {
        self.step(Step::Lock)?;
        Ok(lock::lock(file)? && lock::is_at(file, path))
    }

    pub fn read(&self, file: &mut File) -> io::Result<Vec<u8>> {
        self.step(Step::Read)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(Step::Remove)?;
        fs::remove_file(path)
    }
}
