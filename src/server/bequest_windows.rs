//! Windows: a process never starts anew in its own place, so it leaves nothing to itself.

use std::convert::Infallible;
use std::io;

use super::doors::Door;

/// The variable that has a meaning elsewhere.
pub const VARIABLE: &str = "_SINGLEMALT_BEQUEST";

/// Nothing.
#[derive(Debug, Default)]
pub struct Bequest {
    /// None.
    pub control: Vec<Infallible>,
    /// None.
    pub stats: Option<Infallible>,
    /// Empty.
    pub journal: String,
}

impl Bequest {
    /// Nothing was left.
    pub fn read() -> Self {
        Self::default()
    }

    /// Never asked for.
    ///
    /// # Errors
    /// Always.
    pub fn write(_control: &[&Door], _stats: Option<&Door>, _journal: &str) -> io::Result<String> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
