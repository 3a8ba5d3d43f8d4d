//! Extension modules as files: which package a file is part of, what is remembered of the files
//! that refuse, and which of an environment's would. No Python.
//!
//! `python` asks here when an extension refuses an interpreter, and `app` keeps the verdict. Any
//! thread; reads and writes files, opens no sockets. `server` scans an environment in a process of
//! its own, which starts others to try what is in it. Read `distribution` first, then `scan`.

pub mod cache;
pub mod distribution;
pub mod files;
pub mod known;
pub mod prober;
pub mod scan;
