//! Windows: a process never starts anew in its own place, so it leaves nothing to itself.

use std::convert::Infallible;
use std::io;

use super::doors::Door;
use super::file_locks::Locks;

/// The variable that has a meaning elsewhere.
pub const VARIABLE: &str = "_SINGLEMALT_BEQUEST";

/// Nothing.
#[derive(Debug, Default)]
pub struct Bequest {
    /// None.
    pub control: Vec<Infallible>,
    /// None.
    pub stats: Option<Infallible>,
    /// None.
    pub locks: Locks,
    /// Empty.
    pub journal: String,
}

impl Bequest {
    /// Nothing was left.
    pub fn read() -> Self {
        Self::default()
    }

    /// Nothing.
    pub fn journal_alone(&self) -> String {
        String::new()
    }

    /// Never asked for.
    ///
    /// # Errors
    /// Always.
    pub fn write(
        _control: &[&Door],
        _stats: Option<&Door>,
        _locks: [&Locks; 2],
        _journal: &str,
    ) -> io::Result<String> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
