//! Finds the extension files of an environment and reads them. The work of all cores: it belongs
//! into a process of low priority.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use memchr::memmem;
use rayon::prelude::*;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

/// Folders are looked at so deep.
const DEPTH_MAX: usize = 32;
/// A file is read in pieces of this size. Bytes.
const PIECE: usize = 1 << 20;
/// A word that lies across two pieces is found in what is kept of the first one. Bytes.
const OVERLAP: usize = 128;

/// An extension file, by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The module that an import names it by.
    pub module: String,
    /// The file.
    pub path: PathBuf,
}

/// What is read in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileContents {
    /// Of the contents, in hexadecimal digits.
    pub sha256: String,
    /// It has a function that makes a module.
    pub is_extension: bool,
    /// It says itself that a process can load it once.
    pub is_once_per_process: bool,
    /// It is made as no interpreter with a GIL of its own takes it.
    pub is_single_phase: bool,
}

/// The words that are looked for.
const MODULE_FUNCTION: &[u8] = b"PyInit_";
const SINGLE_PHASE: &[u8] = b"PyModule_Create2";
const MULTI_PHASE: &[u8] = b"PyModuleDef_Init";
/// Cython, PyO3, numpy, pybind11.
const ONCE: [&[u8]; 5] = [
    b"can only be loaded into one interpreter per process",
    b"PyO3 modules do not yet support subinterpreters",
    b"PyO3 modules may only be initialized once per interpreter process",
    b"cannot load module more than once per process",
    b"failed to import from subinterpreter",
];

/// The extension files below these folders of packages, in order. `suffixes`: how the names of
/// such files end (`_imp.extension_suffixes()`).
pub fn find(folders: &[PathBuf], suffixes: &[String]) -> Vec<Found> {
    let mut folders: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| folder.canonicalize().ok())
        .collect();
    folders.sort();
    folders.dedup();
    let mut found: Vec<Found> = folders
        .par_iter()
        .flat_map(|folder| walk(folder, folder, suffixes, DEPTH_MAX))
        .collect();
    // The server itself, where it is an extension module: only the main interpreter imports it.
    found.retain(|one| one.module != "singlemalt._singlemalt");
    found.sort();
    found
}

fn walk(folder: &Path, site: &Path, suffixes: &[String], depth: usize) -> Vec<Found> {
    let Ok(entries) = folder.read_dir() else {
        return Vec::new();
    };
    let (mut found, mut folders) = (Vec::new(), Vec::new());
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => folders.push(path),
            Ok(_) => found.extend(module_of(&path, site, suffixes).map(|module| Found {
                module,
                path: path.clone(),
            })),
            Err(_) => {}
        }
    }
    if depth > 0 {
        let below = folders
            .par_iter()
            .flat_map(|folder| walk(folder, site, suffixes, depth - 1));
        found.par_extend(below);
    }
    found
}

/// `a/b.cpython-313-x86_64-linux-gnu.so` is `a.b`.
fn module_of(path: &Path, site: &Path, suffixes: &[String]) -> Option<String> {
    let relative = path.strip_prefix(site).ok()?.to_str()?;
    // The longest one comes first.
    let stem = suffixes
        .iter()
        .find_map(|suffix| relative.strip_suffix(suffix.as_str()))?;
    let stem = stem.replace(std::path::MAIN_SEPARATOR, ".");
    let module = stem.strip_suffix(".__init__").unwrap_or(&stem);
    // `lib.so.1.so` and the like are libraries.
    let is_name = |part: &str| !part.is_empty() && !part.contains('-');
    module.split('.').all(is_name).then(|| module.to_owned())
}

/// Reads files on all cores; those that cannot be read are left out.
pub fn read_all(files: &[Found]) -> Vec<(PathBuf, FileContents)> {
    files
        .par_iter()
        .filter_map(|found| Some((found.path.clone(), read(&found.path).ok()?)))
        .collect()
}

fn read(path: &Path) -> io::Result<FileContents> {
    let mut file = File::open(path)?;
    let mut hash = Context::new(&SHA256);
    let mut seen = FileContents::default();
    let mut is_multi_phase = false;
    let mut piece = vec![0; OVERLAP + PIECE];
    loop {
        let count = file.read(&mut piece[OVERLAP..])?;
        if count == 0 {
            break;
        }
        hash.update(&piece[OVERLAP..OVERLAP + count]);
        let window = &piece[..OVERLAP + count];
        let has = |word: &[u8]| memmem::find(window, word).is_some();
        seen.is_extension = seen.is_extension || has(MODULE_FUNCTION);
        seen.is_single_phase = seen.is_single_phase || has(SINGLE_PHASE);
        is_multi_phase = is_multi_phase || has(MULTI_PHASE);
        seen.is_once_per_process = seen.is_once_per_process || ONCE.iter().any(|words| has(words));
        piece.copy_within(count..count + OVERLAP, 0);
    }
    seen.is_single_phase &= !is_multi_phase;
    let digits = hash.finish();
    seen.sha256 = digits
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn extension_files_are_found_and_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let site = folder.path().canonicalize().expect("it is there");
        let put = |name: &str, contents: &[u8]| {
            let path = site.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(&path, contents).expect("written");
            path
        };
        let mut large = vec![b'x'; PIECE - 3];
        large.extend(b"PyInit__speed");
        let fast = put("fast/_speed.cpython-313-x86_64-linux-gnu.so", &large);
        put(
            "once.abi3.so",
            b"PyInit_once PyModule_Create2 cannot load module more than once per process",
        );
        put("fast.libs/libfast-1f.so", b"no module");
        put("fast/__init__.py", b"");
        let suffixes = [".cpython-313-x86_64-linux-gnu.so", ".abi3.so", ".so"];
        let found = find(&[site.clone(), site.clone()], &suffixes.map(str::to_owned));
        let modules: Vec<&str> = found.iter().map(|one| one.module.as_str()).collect();
        assert_eq!(modules, ["fast._speed", "once"]);
        let read = read_all(&found);
        let (path, contents) = &read[0];
        assert_eq!(path, &fast);
        assert!(contents.is_extension, "the word lies across two pieces");
        assert_eq!(contents.sha256.len(), 64);
        assert!(!contents.is_once_per_process && !contents.is_single_phase);
        let (_, contents) = &read[1];
        assert!(contents.is_once_per_process && contents.is_single_phase);
    }
}
