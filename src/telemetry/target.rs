//! One logger: where its lines go.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::datagrams::DatagramTarget;
use super::rotation::FileRules;
use super::slow::SlowTarget;

/// Where a logger writes.
pub enum Target {
    /// Where the log would go without loggers.
    Main,
    File(FileTarget),
    Datagrams(DatagramTarget),
    Slow(SlowTarget),
    Null,
}

/// A file, appended to.
pub struct FileTarget {
    rules: FileRules,
    file: File,
    batch: Vec<u8>,
    batch_lines: u64,
}

impl FileTarget {
    /// Opens it.
    pub fn open(rules: FileRules) -> std::io::Result<Self> {
        Ok(Self {
            file: rules.open(false)?,
            rules,
            batch: Vec::new(),
            batch_lines: 0,
        })
    }

    /// Writes the lines. Returns how many are lost.
    fn flush(&mut self) -> u64 {
        if self.batch.is_empty() {
            return 0;
        }
        let lines = std::mem::take(&mut self.batch_lines);
        let written = self.file.write_all(&self.batch);
        self.batch.clear();
        if self.rules.is_due(&self.file) {
            self.rotate();
        }
        if written.is_ok() { 0 } else { lines }
    }

    fn rotate(&mut self) {
        match self.rules.rotate(&mut self.file) {
            Ok(new) => self.file = new,
            Err(error) => {
                let path = self.rules.path.display();
                tracing::error!("cannot rotate {path}: {error}");
                // Not again for each batch.
                self.rules.bytes_max = None;
            }
        }
    }

    fn reopen(&mut self) {
        match self.rules.open(false) {
            Ok(new) => self.file = new,
            Err(error) => {
                tracing::error!("cannot open {} again: {error}", self.rules.path.display());
            }
        }
    }
}

impl Target {
    /// Adds a line. Returns how many lines are lost. Lines of [`Target::Main`] are the caller's.
    pub(super) fn add(&mut self, line: &[u8]) -> u64 {
        match self {
            Self::Main | Self::Null => 0,
            Self::File(file) => {
                file.batch.extend_from_slice(line);
                file.batch_lines += 1;
                0
            }
            Self::Slow(slow) => {
                slow.add(line);
                0
            }
            Self::Datagrams(datagrams) => u64::from(!datagrams.send(line)),
        }
    }

    /// The batch ends. Returns how many lines are lost.
    pub(super) fn flush(&mut self) -> u64 {
        match self {
            Self::Main | Self::Null | Self::Datagrams(_) => 0,
            Self::File(file) => file.flush(),
            Self::Slow(slow) => slow.flush(),
        }
    }

    pub(super) fn rotate(&mut self) {
        if let Self::File(file) = self {
            file.rotate();
        }
    }

    pub(super) fn reopen(&mut self) {
        if let Self::File(file) = self {
            file.reopen();
        }
    }

    /// Bytes that wait for a thread of its own.
    pub(super) fn pending(&self) -> Option<Arc<AtomicUsize>> {
        match self {
            Self::Slow(slow) => Some(slow.pending()),
            Self::Main | Self::File(_) | Self::Datagrams(_) | Self::Null => None,
        }
    }
}
