//! Which installed package (distribution) a file belongs to, by the lists of files that installers
//! leave behind (`RECORD` in the `.dist-info` folder). Any thread; reads files.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

/// A `RECORD` above this size is not read. Bytes.
const RECORD_BYTES_MAX: u64 = 64 << 20;
/// A file lies at most so many folders below its `site-packages`.
const DEPTH_MAX: usize = 24;

/// An installed package.
#[derive(Debug, PartialEq, Eq)]
pub struct Distribution {
    name: String,
    version: String,
    /// The folder that it is installed into.
    site: PathBuf,
    record: PathBuf,
}

impl fmt::Display for Distribution {
    /// `numpy 2.3.5`
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.name, self.version)
    }
}

/// Answers are kept: a package with many extensions is asked for many times.
static KNOWN: Mutex<BTreeMap<PathBuf, Option<Arc<Distribution>>>> = Mutex::new(BTreeMap::new());

impl Distribution {
    /// The distribution that has installed `file`.
    pub fn of(file: &Path) -> Option<Arc<Self>> {
        if let Some(known) = KNOWN.lock().get(file) {
            return known.clone();
        }
        let found = file
            .ancestors()
            .skip(1)
            .take(DEPTH_MAX)
            .find_map(|site| find(site, file))
            .map(Arc::new);
        KNOWN.lock().insert(file.to_owned(), found.clone());
        found
    }

    /// Whether it has installed `file` too.
    pub fn has(&self, file: &Path) -> bool {
        is_listed(&self.record, &self.site, file)
    }
}

/// The distribution in `site` that lists `file`. Names that begin as the file's path does come
/// first: most packages have the name of their folder.
fn find(site: &Path, file: &Path) -> Option<Distribution> {
    let entries = fs::read_dir(site).ok()?;
    let first = file.strip_prefix(site).ok()?.iter().next()?;
    let first = plain(&first.to_string_lossy());
    let mut found: Vec<(bool, String, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let name = name.strip_suffix(".dist-info")?.to_owned();
            let is_likely = first.starts_with(&plain(name.split('-').next()?));
            Some((!is_likely, name, entry.path().join("RECORD")))
        })
        .collect();
    found.sort();
    let (_, name, record) = found
        .into_iter()
        .find(|(_, _, record)| is_listed(record, site, file))?;
    let (name, version) = name.split_once('-').unwrap_or((&name, ""));
    Some(Distribution {
        name: name.replace('_', "-"),
        version: version.to_owned(),
        site: site.to_owned(),
        record,
    })
}

/// A name without what packages and their folders spell differently.
fn plain(name: &str) -> String {
    name.to_lowercase().replace(['-', '_', '.'], "")
}

/// Whether the `RECORD` of a distribution in `site` lists `file`: a path with `/`, perhaps in
/// quotes, then a comma.
fn is_listed(record: &Path, site: &Path, file: &Path) -> bool {
    let Ok(relative) = file.strip_prefix(site) else {
        return false;
    };
    let relative: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
    let relative = relative.join("/");
    let is_readable = fs::metadata(record).is_ok_and(|record| record.len() <= RECORD_BYTES_MAX);
    let Some(text) = is_readable.then(|| fs::read(record).ok()).flatten() else {
        return false;
    };
    String::from_utf8_lossy(&text).lines().any(|line| {
        let line = line.strip_prefix('"').unwrap_or(line);
        line.strip_prefix(&relative)
            .is_some_and(|rest| rest.starts_with([',', '"']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_the_package_that_lists_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let site = folder.path().join("site-packages");
        let put = |name: &str, text: &str| {
            let path = site.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(&path, text).expect("written");
            path
        };
        // The extension is in a folder that has another name than its package.
        let extension = put("_fast_bindings/_ffi.abi3.so", "");
        let own = put("_fast_bindings/__init__.py", "");
        let other = put("fast/low_level.py", "");
        put(
            "fast_bindings-2.1.dist-info/RECORD",
            "\"_fast_bindings/__init__.py\",sha256=x,1\n_fast_bindings/_ffi.abi3.so,sha256=x,2\n",
        );
        put(
            "fast-25.1.dist-info/RECORD",
            "fast/low_level.py,sha256=x,1\n",
        );
        let found = Distribution::of(&extension).expect("a distribution");
        assert_eq!(found.to_string(), "fast-bindings 2.1");
        assert!(found.has(&own));
        assert!(!found.has(&other), "a package of its own");
        let owner = Distribution::of(&other).expect("a distribution");
        assert_eq!(owner.to_string(), "fast 25.1");
        assert_eq!(Distribution::of(&put("loose.so", "")), None);
    }
}
