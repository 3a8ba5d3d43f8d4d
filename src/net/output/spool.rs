//! The part of a response that is past its memory: in an unnamed temporary file, until the client
//! has read it. The system removes the file when it is closed, also when the process is killed.
//!
//! Written by the worker that serves the request, detached from Python; sent by the thread that
//! polls.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use crate::wsgi::SpoolSpace;

/// Bytes that wait in a file.
pub struct Spool {
    file: File,
    /// Where the bytes begin that were not sent.
    sent: u64,
    length: u64,
    space: Arc<SpoolSpace>,
}

impl Spool {
    pub fn create(space: &Arc<SpoolSpace>) -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
            sent: 0,
            length: 0,
            space: Arc::clone(space),
        })
    }

    /// Appends all of `bytes`, or nothing.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        let count = bytes.len() as u64;
        self.space.take(count)?;
        let end = SeekFrom::Start(self.length);
        let written = self.file.seek(end).and_then(|_| self.file.write_all(bytes));
        match written {
            Ok(()) => self.length += count,
            Err(_) => self.space.give_back(count),
        }
        written
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn offset(&self) -> u64 {
        self.sent
    }

    /// Bytes that were not sent.
    pub fn left(&self) -> u64 {
        self.length - self.sent
    }

    pub fn took(&mut self, count: u64) {
        self.sent += count;
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.space.give_back(self.length);
    }
}

/// A share of the memory that complete responses may wait in.
pub struct Lease {
    space: Arc<SpoolSpace>,
    bytes: u64,
}

impl Lease {
    pub fn take(space: &Arc<SpoolSpace>, bytes: u64) -> io::Result<Self> {
        space.take(bytes)?;
        Ok(Self {
            space: Arc::clone(space),
            bytes,
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.space.give_back(self.bytes);
    }
}
