//! The part of the configuration that is about caches: plain values.

use std::time::Duration;

/// Caches that all interpreters share, and what is put into them at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheConfig {
    /// In the order in which they were written (`cache`, then `cache2`); names differ.
    pub caches: Vec<CacheSpec>,
    /// Between two looks for what has expired (`cache-expire-freq`).
    pub sweep_pause: Duration,
    /// What is put in at start (`add-cache-item`, `load-file-in-cache`).
    pub first_items: Vec<FirstItem>,
}

/// One cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSpec {
    /// By which the application names it; not empty.
    pub name: String,
    /// The most items.
    pub items: usize,
    /// Bytes of a block.
    pub block_bytes: u64,
    /// Blocks that all values together may take.
    pub blocks: u64,
    /// Bytes of a key.
    pub key_max: usize,
    /// Bytes of a value.
    pub value_max: u64,
    /// What a number begins with that was not there.
    pub math_initial: i64,
    /// Drop what was not used for longest.
    pub drops_oldest: bool,
    /// Drop everything when it is full.
    pub clears: bool,
    /// Say nothing when it is full.
    pub is_silent: bool,
    /// Items do not expire.
    pub never_expires: bool,
}

/// An item that is put into a cache at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstItem {
    /// `None`: into all caches.
    pub cache: Option<String>,
    /// Of a file it is the path.
    pub key: String,
    /// `None`: the content of the file.
    pub value: Option<String>,
    /// Where it was written, for messages.
    pub origin: String,
}
