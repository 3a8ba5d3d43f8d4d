//! Extension modules as files: which package a file is part of. Plain data, no Python.
//!
//! `python` asks here when an extension refuses an interpreter. Any thread; reads files, opens no
//! sockets. Read `distribution` first.

pub mod distribution;
