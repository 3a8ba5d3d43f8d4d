//! The extension files of an environment: where they are, who imports them, and what becomes of one
//! that is loaded. Runs on the creator of an interpreter, attached.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use super::attached::Attached;
use super::failure;
use super::namespace::{find, namespace};
use super::object::{self, Object, Raised};
use crate::extensions::known::Outcome;
use crate::extensions::scan::Environment;

/// An import of an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionImport {
    /// The extension's file.
    pub file: PathBuf,
    /// The module that imports it, and the line.
    pub importer: String,
    /// The line of the app that begins it.
    pub begun: String,
}

impl Attached<'_> {
    /// Where the app's packages are; `python` names version and build of this Python.
    pub fn extension_environment(&mut self, python: &str) -> Option<Environment> {
        let texts = self.texts(c"extension_places");
        let mut parts = texts.split(String::is_empty);
        let path = parts.next()?.iter().map(PathBuf::from).collect();
        let suffixes = parts.next()?.to_vec();
        Some(Environment {
            python: python.to_owned(),
            path,
            suffixes,
        })
    }

    /// Loads an extension, but does not run its module's code.
    pub fn try_extension(&mut self, module: &str, file: &Path) -> Outcome {
        let token = self.token;
        let tried = Object::text(token, module).and_then(|module| {
            let file = Object::text(token, &file.to_string_lossy())?;
            find(&namespace(token)?, c"try_extension")?
                .call([&module, &file])?
                .to_texts()
        });
        match tried.as_deref() {
            Ok([how, _]) if how == "Loads" => Outcome::Loads,
            Ok([how, words]) if how == "Refuses" => Outcome::Refuses(words.clone()),
            Ok([_, words]) => Outcome::Fails(words.clone()),
            Ok(_) => Outcome::Fails(String::new()),
            Err(Raised) => Outcome::Fails(failure::start_error(token).to_string()),
        }
    }

    /// Notes who imports extensions from now on.
    pub fn record_extensions(&mut self) {
        self.texts(c"record_extensions");
    }

    /// The imports of extensions since then.
    pub fn recorded_extensions(&mut self) -> Vec<ExtensionImport> {
        let texts = self.texts(c"recorded_extensions");
        let entries = texts.chunks_exact(5);
        entries
            .map(|entry| ExtensionImport {
                file: PathBuf::from(&entry[1]),
                importer: format!("{} ({})", entry[2], entry[3]),
                begun: entry[4].clone(),
            })
            .collect()
    }

    /// What a function of the bootstrap answers; nothing if it fails.
    fn texts(&mut self, function: &CStr) -> Vec<String> {
        let token = self.token;
        let texts = namespace(token)
            .and_then(|namespace| find(&namespace, function)?.call([]))
            .and_then(|answer| match answer.is_none() {
                true => Ok(Vec::new()),
                false => answer.to_texts(),
            });
        texts.unwrap_or_else(|Raised| {
            drop(object::take_exception(token));
            Vec::new()
        })
    }
}
