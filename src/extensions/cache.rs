//! The file that remembers which applications need the main interpreter, and because of which
//! extension files. A file that has changed makes what was known of it void. Any thread; reads and
//! writes files, and never fails: without the file, less is known.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::known::{KnownFile, Scanned};

/// A file above this size is not read. Bytes.
const CACHE_BYTES_MAX: u64 = 64 << 20;

/// See the file's header.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    /// Held from reading to writing. Of two processes that write at once, one loses its change.
    writing: Mutex<()>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Contents {
    /// By application and environment.
    apps: BTreeMap<String, Vec<KnownRefusal>>,
    /// Files of environments, and how their trials ended.
    scanned: Scanned,
}

/// An extension that has refused an application's interpreters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KnownRefusal {
    /// Its module.
    pub module: String,
    /// Its file; `None` for one that is part of Python.
    pub file: Option<KnownFile>,
    /// The package that it is a part of, with its version.
    pub distribution: Option<String>,
    /// The module that imported it.
    pub importer: String,
    /// The file and line of that import.
    pub line: String,
    /// The file and line of the application that began it, if another one.
    pub begun: String,
    /// The request that was served then.
    pub request: String,
    /// What the extension said.
    pub reason: String,
    /// It was not imported while the application was loaded.
    pub is_late: bool,
}

impl KnownRefusal {
    fn is_valid(&self) -> bool {
        self.file.as_ref().is_none_or(KnownFile::is_unchanged)
    }
}

impl Cache {
    /// The cache in this file, which need not exist.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            writing: Mutex::default(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The extensions because of which this application needs the main interpreter. None if one
    /// of their files has changed.
    pub fn refusals(&self, app: &str) -> Vec<KnownRefusal> {
        let mut contents = self.read();
        let known = contents.apps.remove(app).unwrap_or_default();
        if known.iter().all(KnownRefusal::is_valid) {
            known
        } else {
            Vec::new()
        }
    }

    /// Remembers that this application needs the main interpreter because of these; of none:
    /// forgets it.
    pub fn set_refusals(&self, app: &str, refusals: Vec<KnownRefusal>) {
        self.change(|contents| {
            if refusals.is_empty() {
                contents.apps.remove(app);
            } else {
                contents.apps.insert(app.to_owned(), refusals);
            }
            // Environments that are gone, or have changed.
            let is_valid = |known: &Vec<KnownRefusal>| known.iter().all(KnownRefusal::is_valid);
            contents.apps.retain(|_, known| is_valid(known));
        });
    }

    /// What is known of extension files.
    pub fn scanned(&self) -> Scanned {
        self.read().scanned
    }

    /// Remembers what is known of extension files.
    pub fn set_scanned(&self, scanned: Scanned) {
        self.change(|contents| contents.scanned = scanned);
    }

    fn change(&self, change: impl FnOnce(&mut Contents)) {
        let _one_at_a_time = self.writing.lock();
        let mut contents = self.read();
        change(&mut contents);
        if let Err(error) = self.write(&contents) {
            tracing::info!(
                "{} cannot be written: {error}; the next start finds out again which extensions \
                 refuse (--isolation-cache)",
                self.path.display()
            );
        }
    }

    fn read(&self) -> Contents {
        let read = || -> io::Result<Contents> {
            let mut text = Vec::new();
            let file = fs::File::open(&self.path)?;
            file.take(CACHE_BYTES_MAX).read_to_end(&mut text)?;
            serde_json::from_slice(&text).map_err(io::Error::other)
        };
        read().unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!("{} is not read: {error}", self.path.display());
            }
            Contents::default()
        })
    }

    /// In one step, so that no other process reads half of it.
    fn write(&self, contents: &Contents) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let text = serde_json::to_vec(contents).map_err(io::Error::other)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&text)?;
        file.persist(&self.path).map_err(|failed| failed.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_lasts_as_long_as_the_files_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let extension = folder.path().join("fast.so");
        fs::write(&extension, "one").expect("written");
        let refusal = KnownRefusal {
            module: "fast".to_owned(),
            file: KnownFile::of(&extension),
            ..KnownRefusal::default()
        };
        let cache = Cache::new(folder.path().join("caches/isolation.json"));
        assert_eq!(cache.refusals("shop"), []);
        cache.set_refusals("shop", vec![refusal.clone()]);
        // Another process.
        let again = Cache::new(cache.path().to_owned());
        assert_eq!(again.refusals("shop"), std::slice::from_ref(&refusal));
        assert_eq!(again.refusals("blog"), [], "another application");
        fs::write(&extension, "another version").expect("written");
        assert_eq!(again.refusals("shop"), [], "the package was replaced");
        let refusal = KnownRefusal {
            file: KnownFile::of(&extension),
            ..refusal
        };
        again.set_refusals("shop", vec![refusal.clone()]);
        assert_eq!(cache.refusals("shop"), [refusal]);
        cache.set_refusals("shop", Vec::new());
        assert_eq!(cache.refusals("shop"), [], "forgotten");
    }

    #[test]
    fn a_file_that_is_no_cache_is_written_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("isolation.json");
        for text in ["", "{", "[]", "{\"apps\": 1}", "\0"] {
            fs::write(&path, text).expect("written");
            let cache = Cache::new(path.clone());
            assert_eq!(cache.refusals("shop"), []);
            let refusal = KnownRefusal {
                module: "fast".to_owned(),
                ..KnownRefusal::default()
            };
            cache.set_refusals("shop", vec![refusal.clone()]);
            assert_eq!(cache.refusals("shop"), [refusal], "{text}");
        }
    }
}
