//! The files that the application is made of, for reloads on changes; and its last exception. Runs
//! on workers, attached.

use std::path::{Path, PathBuf};

use pyo3_ffi as ffi;

use super::attached::Attached;
use super::load_failure::LoadFailure;
use super::namespace;
use super::object::{self, Object, Raised};

/// A module and its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its dotted name.
    pub module: String,
    /// Where it was loaded from.
    pub file: PathBuf,
}

impl Attached<'_> {
    /// The files of the modules that are loaded, without the standard library's, if there are more
    /// modules than `known`, which is brought up to date. A call after each request is cheap.
    pub fn new_sources(&mut self, known: &mut usize) -> Vec<Source> {
        // SAFETY: attached (`self`); the dict is borrowed from the interpreter and only counted.
        let count = unsafe { ffi::PyDict_Size(ffi::PyImport_GetModuleDict()) };
        let count = usize::try_from(count).unwrap_or_default();
        if count == *known {
            return Vec::new();
        }
        *known = count;
        let token = self.token;
        let found = namespace::namespace(token)
            .and_then(|namespace| namespace::find(&namespace, c"source_files")?.call([]))
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

    /// Whether a module of this name has been imported.
    pub fn has_module(&mut self, name: &str) -> bool {
        let token = self.token;
        let found = Object::text(token, name).and_then(|name| {
            // SAFETY: attached (token); the dict is borrowed from the interpreter, which keeps it.
            let modules = unsafe { Object::from_borrowed(token, ffi::PyImport_GetModuleDict())? };
            modules.get(&name)
        });
        match found {
            Ok(module) => module.is_some(),
            Err(Raised) => {
                drop(object::take_exception(token));
                false
            }
        }
    }

    /// Takes type and message of the exception that failed the last request.
    pub fn take_raised(&mut self) -> Option<(String, String)> {
        self.caches.raised.take()
    }
}

impl LoadFailure {
    /// The files to watch: fixing the failure changes or creates one of them.
    pub fn sources(&self) -> Vec<Source> {
        let mut sources = sources_of(&self.to_string());
        match self {
            Self::NotFound {
                wanted,
                is_file: true,
                ..
            } => sources.push(of_no_module(wanted)),
            Self::NotFound {
                wanted,
                missing,
                folder,
                ..
            } => {
                let missing = missing.as_ref().unwrap_or(wanted);
                sources.extend(places_of(missing, Path::new(folder)).map(of_no_module));
            }
            _ => {}
        }
        sources
    }
}

/// The files that the tracebacks in a text name, and, of a module that was not found, those that it
/// could be: in the working directory, and beside the files that are named.
pub fn sources_of(text: &str) -> Vec<Source> {
    let files = text.lines().filter_map(|line| {
        let (file, _) = line.trim_start().strip_prefix("File \"")?.split_once('"')?;
        (!file.starts_with('<')).then(|| PathBuf::from(file))
    });
    let mut files: Vec<PathBuf> = files.collect();
    let mut folders: Vec<PathBuf> = files
        .iter()
        .filter_map(|file| file.parent().map(Path::to_path_buf))
        .chain([PathBuf::new()])
        .collect();
    folders.sort();
    folders.dedup();
    let missing = text.lines().filter_map(|line| {
        let (_, name) = line.split_once("ModuleNotFoundError: No module named '")?;
        name.split_once('\'').map(|(name, _)| name)
    });
    for name in missing {
        files.extend(folders.iter().flat_map(|folder| places_of(name, folder)));
    }
    files.sort();
    files.dedup();
    files.into_iter().map(of_no_module).collect()
}

/// Where a module of this dotted name would be found, as one file or as a package.
fn places_of(name: &str, folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let is_name = |part: &str| !part.is_empty() && !part.contains(['/', '\\', ':', '\0']);
    let is_module = name.split('.').all(is_name);
    let path = folder.join(name.replace('.', "/"));
    let both = [path.with_extension("py"), path.join("__init__.py")];
    both.into_iter().filter(move |_| is_module)
}

fn of_no_module(file: impl Into<PathBuf>) -> Source {
    Source {
        module: String::new(),
        file: file.into(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> Vec<String> {
        let files = sources_of(text).into_iter();
        files
            .map(|source| source.file.display().to_string().replace('\\', "/"))
            .collect()
    }

    #[test]
    fn a_traceback_names_files_and_what_is_missing() {
        let traceback = "loading app.py failed: ModuleNotFoundError: No module named 'shop.prices'\n\n  \
            File \"/srv/app.py\", line 1, in <module>\n    import shop.prices\n  File \"<string>\", line 1\n\
            ModuleNotFoundError: No module named 'shop.prices'";
        assert_eq!(
            files(traceback),
            [
                "/srv/app.py",
                "/srv/shop/prices/__init__.py",
                "/srv/shop/prices.py",
                "shop/prices/__init__.py",
                "shop/prices.py",
            ]
        );
        assert_eq!(files("SyntaxError: invalid syntax"), Vec::<String>::new());
        for odd in ["../../etc/x", "", "..", "a..b", "c:x", "\\x"] {
            let text = format!("ModuleNotFoundError: No module named '{odd}'");
            assert_eq!(files(&text), Vec::<String>::new(), "{odd}");
        }
    }
}
