//! Which files the application is made of, for those who reload when one of them changes; and what it raised last.
//! Runs on workers, attached.

use std::path::PathBuf;

use pyo3_ffi as ffi;

use super::bootstrap;
use super::load::LoadFailure;
use super::object::{self, Object, Raised};
use super::thread_state::Attached;

/// A module and its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its dotted name.
    pub module: String,
    /// Where it was loaded from.
    pub file: PathBuf,
}

impl Attached<'_> {
    /// The files of the modules that are loaded, without the standard library's, if there are more modules than `known`,
    /// which is brought up to date. So asking after each request costs next to nothing.
    pub fn new_sources(&mut self, known: &mut usize) -> Vec<Source> {
        // SAFETY: attached (`self`); the dict is borrowed from the interpreter and only counted.
        let count = unsafe { ffi::PyDict_Size(ffi::PyImport_GetModuleDict()) };
        let count = usize::try_from(count).unwrap_or_default();
        if count == *known {
            return Vec::new();
        }
        *known = count;
        let token = self.token;
        let found = bootstrap::namespace(token)
            .and_then(|namespace| bootstrap::find(&namespace, c"source_files")?.call([]))
            .and_then(|found: Object<'_>| found.to_texts());
        match found {
            Ok(texts) => {
                let pairs = texts.chunks_exact(2);
                pairs
                    .map(|pair| Source {
                        module: pair[0].clone(),
                        file: PathBuf::from(&pair[1]),
                    })
                    .collect()
            }
            Err(Raised) => {
                drop(object::take_exception(token));
                Vec::new()
            }
        }
    }

    /// Type and message of what the application let out of the last request that failed; once.
    pub fn take_raised(&mut self) -> Option<(String, String)> {
        self.caches.raised.take()
    }
}

impl LoadFailure {
    /// The files that have to do with it, those of its traceback: one of them will be mended.
    pub fn sources(&self) -> Vec<Source> {
        let text = self.to_string();
        let traced = text.lines().filter_map(|line| {
            let (file, _) = line.trim_start().strip_prefix("File \"")?.split_once('"')?;
            (!file.starts_with('<')).then(|| PathBuf::from(file))
        });
        let missing = match self {
            Self::NotFound {
                wanted,
                is_file: true,
                ..
            } => Some(PathBuf::from(wanted)),
            _ => None,
        };
        let of_no_module = |file| Source {
            module: String::new(),
            file,
        };
        traced.chain(missing).map(of_no_module).collect()
    }
}

/// Type and message of an exception.
pub(super) fn facts(error: &Object<'_>) -> (String, String) {
    let kind = error
        .attribute(c"__class__")
        .and_then(|class| class.attribute(c"__qualname__"));
    let kind = match kind {
        Ok(name) => name.to_text(),
        Err(Raised) => {
            drop(object::take_exception(error.token()));
            String::from("an exception")
        }
    };
    (kind, error.to_text())
}
