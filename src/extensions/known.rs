//! What is known of extension files. Plain data, and how to tell that a file has changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::files::FileContents;

/// A file, and how to tell whether it has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// When it was changed, in nanoseconds since 1970.
    pub changed: u64,
}

impl KnownFile {
    /// The file as it is now.
    pub fn of(path: &Path) -> Option<Self> {
        let facts = fs::metadata(path).ok()?;
        let changed = facts.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self {
            path: path.to_owned(),
            size: facts.len(),
            changed: u64::try_from(changed.as_nanos()).unwrap_or(u64::MAX),
        })
    }

    /// Whether it is the same file still.
    pub fn is_unchanged(&self) -> bool {
        Self::of(&self.path).is_some_and(|now| now == *self)
    }
}

/// How the trial of a file ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome", content = "reason")]
pub enum Outcome {
    /// It loads.
    Loads,
    /// It refuses, with these words.
    Refuses(String),
    /// It fails for another reason.
    Fails(String),
    /// The process that tried it has crashed.
    Crashes,
    /// The process that tried it has not come back.
    Hangs,
}

/// What is kept of files, and of their trials.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Scanned {
    /// By path.
    pub files: BTreeMap<PathBuf, (KnownFile, FileContents)>,
    /// By hash and Python.
    pub trials: BTreeMap<String, Outcome>,
}
