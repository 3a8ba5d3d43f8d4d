//! The language of configuration files, which is uWSGI's: magic variables, conditions and loops,
//! `$(ENV)`, `@(file)` and `%(placeholder)`, declared options, files that include files.
//!
//! `loader` takes sources in entry by entry (`entries`), with `logic`; `immediate` has the options
//! that act at once, `files` opens the files that are named, with `magic`; `finish` expands values
//! (`expand`) when every entry is there; `traps` warns of lines that say something else than they
//! seem to.

pub(in crate::config) mod entries;
mod expand;
mod files;
mod finish;
mod immediate;
pub(in crate::config) mod loader;
pub(in crate::config) mod logic;
mod magic;
#[cfg(test)]
mod tests;
mod traps;
