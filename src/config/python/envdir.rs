//! `--envdir`: environment variables from the files of a directory, as in daemontools. The name of
//! a file is the variable, its first line the value, without blanks at the end; a NUL stands for a
//! line end; an empty file removes the variable. Hidden files and directories are passed over. Main
//! thread, before anything is started.

use std::fs;
use std::path::Path;

/// What is done to the environment: the names to remove, then what to set.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    pub(crate) unset: Vec<String>,
    pub(crate) set: Vec<(String, String)>,
}

impl Variables {
    /// Takes in what a directory says.
    pub(crate) fn read(&mut self, folder: &Path) -> Result<(), String> {
        for (name, value) in read(folder)? {
            match value {
                Some(value) => self.set.push((name, value)),
                None => self.remove(name),
            }
        }
        Ok(())
    }

    /// Whatever was set before.
    pub(crate) fn remove(&mut self, name: String) {
        self.set.retain(|(other, _)| *other != name);
        self.unset.push(name);
    }
}

/// What one directory says, in the order of names: a variable, and its value or `None` to remove
/// it.
fn read(folder: &Path) -> Result<Vec<(String, Option<String>)>, String> {
    let failed = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let entries = fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failed(folder, &error))?.path();
        let name = path.file_name().unwrap_or_default().to_str();
        let Some(name) = name else {
            return Err(failed(&path, &"its name is not UTF-8"));
        };
        if name.starts_with('.') || path.is_dir() {
            continue;
        }
        let bytes = fs::read(&path).map_err(|error| failed(&path, &error))?;
        let text = String::from_utf8(bytes).map_err(|_| failed(&path, &"it is not UTF-8"))?;
        all.push((name.to_owned(), value(&text)));
    }
    all.sort();
    Ok(all)
}

fn value(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let line = text.split('\n').next().unwrap_or_default();
    Some(line.trim_end_matches([' ', '\t', '\r']).replace('\0', "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_first_lines() {
        assert_eq!(value(""), None);
        assert_eq!(value("\n").as_deref(), Some(""));
        assert_eq!(value("a b \t\r\nrest").as_deref(), Some("a b"));
        assert_eq!(value(" a").as_deref(), Some(" a"));
        assert_eq!(value("a\0b").as_deref(), Some("a\nb"));
    }

    #[test]
    fn a_directory_is_read_in_the_order_of_names() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("B", "2\n"), ("A", "1"), ("GONE", ""), (".hidden", "x")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::create_dir(folder.path().join("C")).unwrap();
        let expected = [
            ("A".to_owned(), Some("1".to_owned())),
            ("B".to_owned(), Some("2".to_owned())),
            ("GONE".to_owned(), None),
        ];
        assert_eq!(read(folder.path()).unwrap(), expected);
        assert!(read(&folder.path().join("nowhere")).is_err());
        fs::write(folder.path().join("D"), b"\xff").unwrap();
        assert!(
            read(folder.path())
                .unwrap_err()
                .ends_with("D: it is not UTF-8")
        );
    }
}
