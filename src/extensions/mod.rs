//! Extension modules as files: which package a file is part of, and what is remembered of the files
//! that refuse. Plain data, no Python.
//!
//! `python` asks here when an extension refuses an interpreter, and `app` keeps the verdict. Any
//! thread; reads and writes files, opens no sockets. Read `distribution` first.

pub mod cache;
pub mod distribution;
