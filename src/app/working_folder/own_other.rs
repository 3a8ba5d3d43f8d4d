//! Only Linux has working directories of threads: here the process has one, and a umask.

use std::io;
use std::path::{Path, PathBuf};

/// There is none.
pub enum OwnFolder {}

/// There is none.
#[derive(Clone)]
pub enum Place {}

impl OwnFolder {
    pub fn separate() -> Option<Self> {
        None
    }

    pub fn of_process() -> Option<PathBuf> {
        None
    }

    /// # Errors
    /// None.
    pub fn enter(&self, _folder: &Path) -> io::Result<()> {
        match *self {}
    }

    /// # Errors
    /// None.
    pub fn place(&self) -> io::Result<Place> {
        match *self {}
    }

    /// # Errors
    /// None.
    pub fn go_to(&self, _place: &Place) -> io::Result<()> {
        match *self {}
    }
}
