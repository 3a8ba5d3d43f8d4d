//! Systems where the process keeps its name.

use std::io;

/// There is nothing to make room for.
pub fn fits_in_arguments(_title: &str) -> bool {
    true
}

pub fn set_short(title: &str) -> io::Result<()> {
    set(title, false).map(drop)
}

pub fn set(_title: &str, _may_spill: bool) -> io::Result<String> {
    Err(io::Error::other(
        "this system does not let a process be called something else",
    ))
}
