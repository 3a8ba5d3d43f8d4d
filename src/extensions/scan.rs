//! Which extensions of an environment an interpreter with a GIL of its own takes: files are found
//! and read here, and tried by another process (`prober`). What is known of a file is kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::cache::Cache;
use super::distribution::Distribution;
use super::files::{self, FileContents, Found};
use super::known::{KnownFile, Outcome, Scanned};

/// The environment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Environment {
    /// Version and build of Python: what was tried holds for it alone.
    pub python: String,
    /// `sys.path`
    pub path: Vec<PathBuf>,
    /// How names of extension files end.
    pub suffixes: Vec<String>,
}

/// The interpreters that can load an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runs {
    /// All.
    OwnGil,
    /// Those that share the main interpreter's GIL, and the main one.
    SharedGil,
    /// The main one.
    Main,
    /// Not known: it could not be tried.
    Unknown,
}

impl Runs {
    /// The word of the table and of JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::OwnGil => "own-gil",
            Self::SharedGil => "shared-gil",
            Self::Main => "main only",
            Self::Unknown => "unknown",
        }
    }
}

/// An extension of the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its module.
    pub module: String,
    /// Its file.
    pub file: PathBuf,
    /// The package that it is a part of, with its version.
    pub distribution: Option<String>,
    /// The interpreters that can load it.
    pub runs: Runs,
    /// It was built for CPython without a GIL.
    pub is_free_threaded: bool,
    /// How it ended when it was tried.
    pub trial: Outcome,
    /// The modules of the application that import it, if that is known.
    pub importers: Vec<String>,
}

impl Row {
    /// A .py of the same name lies beside it, and would be loaded in its place.
    pub fn has_twin(&self) -> bool {
        let name = self.module.rsplit('.').next().unwrap_or_default();
        self.file.with_file_name(format!("{name}.py")).is_file()
    }
}

/// Tries files, in order; an outcome for each, or for the first ones if it gives up.
pub type TryAll<'a> = &'a dyn Fn(&[Found]) -> Vec<Outcome>;

/// The extensions of the environment. What is not known yet is read, and tried by `try_all`.
pub fn scan(environment: &Environment, cache: Option<&Cache>, try_all: TryAll<'_>) -> Vec<Row> {
    let mut scanned = cache.map(Cache::scanned).unwrap_or_default();
    let folders: Vec<PathBuf> = environment
        .path
        .iter()
        .filter(is_of_packages)
        .cloned()
        .collect();
    let found = files::find(&folders, &environment.suffixes);
    let is_new =
        read_new(&found, &mut scanned) | try_new(environment, &found, &mut scanned, try_all);
    let rows = found
        .iter()
        .filter_map(|one| row(environment, one, &scanned));
    let rows = rows.collect();
    if let Some(cache) = cache.filter(|_| is_new) {
        cache.set_scanned(scanned);
    }
    rows
}

fn is_of_packages(folder: &&PathBuf) -> bool {
    let mut parts = folder.iter();
    parts.any(|part| part == "site-packages" || part == "dist-packages")
}

/// Reads the files that have changed. Whether there are such.
fn read_new(found: &[Found], scanned: &mut Scanned) -> bool {
    let is_known = |one: &&Found| {
        let known = scanned.files.get(&one.path);
        known.is_some_and(|(file, _)| file.is_unchanged())
    };
    let new: Vec<Found> = found.iter().filter(|one| !is_known(one)).cloned().collect();
    for (path, contents) in files::read_all(&new) {
        if let Some(file) = KnownFile::of(&path) {
            scanned.files.insert(path, (file, contents));
        }
    }
    !new.is_empty()
}

/// Tries the files whose contents were not tried yet. Whether there are such.
fn try_new(
    environment: &Environment,
    found: &[Found],
    scanned: &mut Scanned,
    try_all: TryAll<'_>,
) -> bool {
    let new: Vec<(String, Found)> = found
        .iter()
        .filter_map(|one| Some((key(environment, contents(one, scanned)?), one.clone())))
        .filter(|(key, _)| !scanned.trials.contains_key(key))
        .collect();
    let (keys, files): (Vec<String>, Vec<Found>) = new.into_iter().unzip();
    if files.is_empty() {
        return false;
    }
    scanned.trials.extend(keys.into_iter().zip(try_all(&files)));
    true
}

fn contents<'a>(found: &Found, scanned: &'a Scanned) -> Option<&'a FileContents> {
    let (_, contents) = scanned.files.get(&found.path)?;
    contents.is_extension.then_some(contents)
}

fn key(environment: &Environment, contents: &FileContents) -> String {
    format!("{} {}", contents.sha256, environment.python)
}

fn row(environment: &Environment, found: &Found, scanned: &Scanned) -> Option<Row> {
    let contents = contents(found, scanned)?;
    let trial = scanned.trials.get(&key(environment, contents)).cloned();
    let trial = trial.unwrap_or_else(|| Outcome::Fails(String::new()));
    let refuses = match trial {
        Outcome::Loads => false,
        Outcome::Refuses(_) | Outcome::Crashes | Outcome::Hangs => true,
        Outcome::Fails(_) => contents.is_single_phase,
    };
    let runs = match trial {
        _ if refuses && contents.is_once_per_process => Runs::Main,
        Outcome::Crashes | Outcome::Hangs => Runs::Main,
        _ if refuses => Runs::SharedGil,
        Outcome::Fails(_) => Runs::Unknown,
        _ => Runs::OwnGil,
    };
    let name = found.path.file_name().unwrap_or_default().to_string_lossy();
    Some(Row {
        module: found.module.clone(),
        file: found.path.clone(),
        distribution: Distribution::of(&found.path).map(|owner| owner.to_string()),
        runs,
        is_free_threaded: is_free_threaded(&name),
        trial,
        importers: Vec::new(),
    })
}

/// `_speed.cpython-314t-x86_64-linux-gnu.so`, `_speed.cp314t-win_amd64.pyd`
fn is_free_threaded(name: &str) -> bool {
    name.split(['.', '-']).any(|part| {
        let version = part.strip_prefix("cp").unwrap_or(part);
        let version = version.strip_suffix('t').unwrap_or_default();
        !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The packages that an interpreter with a GIL of its own cannot do without, each once.
pub fn refusing_packages(rows: &[Row]) -> Vec<String> {
    let mut names: Vec<String> = rows
        .iter()
        .filter(|row| matches!(row.runs, Runs::Main | Runs::SharedGil))
        .map(|row| match &row.distribution {
            Some(distribution) => match distribution.rsplit_once(' ') {
                Some((name, _)) => name.to_owned(),
                None => distribution.clone(),
            },
            None => row.module.split('.').next().unwrap_or_default().to_owned(),
        })
        .collect();
    names.sort_by_key(|name| name.to_lowercase());
    names.dedup();
    names
}

/// The table for people.
pub fn table(rows: &[Row], with_importers: bool) -> String {
    let mut lines = vec![[
        "extension".to_owned(),
        "package".to_owned(),
        "runs in".to_owned(),
        "free-threaded".to_owned(),
        if with_importers { "imported by" } else { "" }.to_owned(),
    ]];
    for row in rows {
        let note = match &row.trial {
            Outcome::Crashes => " (crashes)",
            Outcome::Hangs => " (hangs)",
            _ => "",
        };
        lines.push([
            row.module.clone(),
            row.distribution.clone().unwrap_or_default(),
            format!("{}{note}", row.runs.word()),
            if row.is_free_threaded { "yes" } else { "" }.to_owned(),
            row.importers.join(", "),
        ]);
    }
    let mut widths = [0; 5];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_tried_once_whatever_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let environment = |name: &str| {
            let site = folder.path().join(name).join("site-packages");
            fs::create_dir_all(&site).expect("made");
            fs::write(site.join("good.so"), "PyInit_good").expect("written");
            fs::write(site.join("bad.so"), "PyInit_bad PyModule_Create2").expect("written");
            fs::write(
                site.join("once.so"),
                format!(
                    "PyInit_once {}",
                    "cannot load module more than once per process"
                ),
            )
            .expect("written");
            Environment {
                python: "3.13.0".to_owned(),
                path: vec![site, folder.path().to_owned()],
                suffixes: vec![".so".to_owned()],
            }
        };
        let cache = Cache::new(folder.path().join("cache.json"));
        let tried = Cell::new(0);
        let try_all = |files: &[Found]| {
            tried.set(tried.get() + files.len());
            let outcome = |one: &Found| match one.module.as_str() {
                "good" => Outcome::Loads,
                _ => Outcome::Refuses("no".to_owned()),
            };
            files.iter().map(outcome).collect()
        };
        let rows = scan(&environment("one"), Some(&cache), &try_all);
        let told: Vec<_> = rows
            .iter()
            .map(|row| (row.module.as_str(), row.runs))
            .collect();
        let expected = [
            ("bad", Runs::SharedGil),
            ("good", Runs::OwnGil),
            ("once", Runs::Main),
        ];
        assert_eq!(told, expected);
        assert_eq!(tried.get(), 3);
        assert_eq!(refusing_packages(&rows), ["bad", "once"]);
        scan(&environment("one"), Some(&cache), &try_all);
        scan(&environment("another"), Some(&cache), &try_all);
        assert_eq!(tried.get(), 3, "the contents are the same");
        let mut newer = environment("one");
        newer.python = "3.14.0".to_owned();
        scan(&newer, Some(&cache), &try_all);
        assert_eq!(tried.get(), 6);
    }

    #[test]
    fn the_names_of_free_threaded_builds() {
        assert!(is_free_threaded("_speed.cpython-314t-x86_64-linux-gnu.so"));
        assert!(is_free_threaded("_speed.cp314t-win_amd64.pyd"));
        assert!(!is_free_threaded("_speed.cpython-314-x86_64-linux-gnu.so"));
        assert!(!is_free_threaded("_t.abi3.so"));
    }
}
