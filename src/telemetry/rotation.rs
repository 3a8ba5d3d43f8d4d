//! Log files: opened, rotated, opened again. A rotation renames the file and opens a new one; every
//! line is in one of them, as a whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::local_time::append_time;

/// A file, and how it is rotated.
#[derive(Clone, Debug)]
pub struct FileRules {
    /// Absolute, or meant from the current folder.
    pub path: PathBuf,
    /// Rotated past so many bytes.
    pub bytes_max: Option<u64>,
    /// The name of a rotated file; `None`: the file's, with the time behind it.
    pub backup: Option<PathBuf>,
    /// The file's mode.
    pub mode: Option<u32>,
}

impl FileRules {
    /// Opens the file to append to it, or to write it anew.
    pub fn open(&self, truncates: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        // A new log can be read by its owner and group, as in uWSGI.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
        let file = options.open(&self.path)?;
        if truncates {
            file.set_len(0)?;
        }
        #[cfg(unix)]
        if let Some(mode) = self.mode {
            use std::os::unix::fs::PermissionsExt as _;
            file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        }
        Ok(file)
    }

    /// Whether the file is past its bound.
    pub(super) fn is_due(&self, file: &File) -> bool {
        let bytes = |max| file.metadata().is_ok_and(|facts| facts.len() > max);
        self.bytes_max.is_some_and(bytes)
    }

    /// Renames the file and returns a new one. If another process has renamed it already, the new
    /// one is that process's.
    pub(super) fn rotate(&self, file: &mut File) -> io::Result<File> {
        if is_at(file, &self.path) {
            let name = self.name_of_backup();
            self.announce(file, &name)?;
            std::fs::rename(&self.path, &name)?;
        }
        self.open(false)
    }

    /// uWSGI's line, the last one of the file.
    fn announce(&self, file: &mut File, name: &Path) -> io::Result<()> {
        let bytes = file.metadata()?.len();
        let mut line = Vec::new();
        append_time(SystemTime::now(), &mut line);
        let name = name.display();
        writeln!(
            line,
            " - logsize: {bytes}, triggering rotation to {name}..."
        )?;
        file.write_all(&line)
    }

    /// A name that no file has, unless the operator has chosen it.
    fn name_of_backup(&self) -> PathBuf {
        if let Some(name) = &self.backup {
            return name.clone();
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let second = since.unwrap_or_default().as_secs();
        let with = |end: String| {
            let mut name = self.path.clone().into_os_string();
            name.push(end);
            PathBuf::from(name)
        };
        let mut name = with(format!(".{second}"));
        let mut number = 0;
        while name.exists() {
            number += 1;
            name = with(format!(".{second}.{number}"));
        }
        name
    }
}

/// Whether the path still leads to this file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(ours), Ok(there)) = (file.metadata(), path.metadata()) else {
        return false;
    };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_keeps_every_line_and_every_earlier_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let rules = FileRules {
            path: folder.path().join("a.log"),
            bytes_max: Some(10),
            backup: None,
            mode: None,
        };
        let mut file = rules.open(false).expect("opened");
        for number in 0..20 {
            assert!(!rules.is_due(&file));
            writeln!(file, "line number {number}").expect("written");
            assert!(rules.is_due(&file));
            file = rules.rotate(&mut file).expect("rotated");
        }
        let all: String = std::fs::read_dir(folder.path())
            .expect("listed")
            .map(|entry| std::fs::read_to_string(entry.expect("one").path()).expect("text"))
            .collect();
        let lines = all.lines().filter(|line| line.starts_with("line number"));
        assert_eq!(lines.count(), 20);
        assert_eq!(all.matches("triggering rotation to").count(), 20);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_was_renamed_by_others_is_only_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let rules = FileRules {
            path: folder.path().join("a.log"),
            bytes_max: None,
            backup: None,
            mode: None,
        };
        let mut file = rules.open(false).expect("opened");
        std::fs::rename(&rules.path, folder.path().join("moved")).expect("moved");
        let mut new = rules.rotate(&mut file).expect("opened");
        writeln!(new, "x").expect("written");
        assert_eq!(std::fs::read(&rules.path).expect("there"), b"x\n");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 2);
    }
}
