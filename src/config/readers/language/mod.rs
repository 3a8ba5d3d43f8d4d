//! The language of configuration files, which is uWSGI's: magic variables, conditions and loops,
//! `$(ENV)`, `@(file)` and `%(placeholder)`, declared options, files that include files.
//!
//! `loader` reads sources entry by entry (`entries`), with `magic` and `logic`; `finish` expands
//! values (`expand`) when every entry is there; `traps` warns of lines that say something else than
//! they seem to.

pub(in crate::config) mod entries;
mod expand;
mod finish;
pub(in crate::config) mod loader;
pub(in crate::config) mod logic;
mod magic;
#[cfg(test)]
mod tests;
mod traps;
