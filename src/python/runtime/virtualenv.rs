//! A virtualenv on disk: is it one, for which Python was it made, where is its interpreter.
//!
//! Pure reading of files: no Python that runs, no environment variables. Runs on the main thread before
//! Python starts.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::RuntimeError;
use super::release::{Release, python_name};

/// The place that Python is told it was started from, so that `sys.prefix` and site-packages are
/// the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Home {
    /// A virtualenv: its `python`, which need not be run, only be there.
    Virtualenv { program: PathBuf },
    /// A whole installation (uWSGI's `home` takes both).
    Installation { prefix: PathBuf },
}

/// Reads what `path` is.
///
/// # Errors
/// A path that is neither a virtualenv nor an installation of Python `running`, or
/// one that was made for another version; both texts name the way out.
pub(crate) fn read(
    path: &Path,
    running: Release,
    running_text: &str,
) -> Result<Home, RuntimeError> {
    let Ok(settings) = fs::read_to_string(path.join("pyvenv.cfg")) else {
        let library = path.join("lib").join(python_name(running));
        return if library.join("os.py").is_file() || path.join("Lib/os.py").is_file() {
            Ok(Home::Installation {
                prefix: path.to_path_buf(),
            })
        } else {
            Err(RuntimeError::NoVirtualenv {
                path: path.to_path_buf(),
                exists: path.exists(),
            })
        };
    };
    if let Some(made_for) = version(&settings)
        && Release::of(&made_for) != Some(running)
    {
        return Err(RuntimeError::VirtualenvVersion {
            path: path.to_path_buf(),
            made_for,
            running: running_text.to_owned(),
            is_hosted: false,
        });
    }
    let name = python_name(running);
    if let Some(other) = made_for_other_build(path, running, &name) {
        return Err(RuntimeError::VirtualenvBuild {
            path: path.to_path_buf(),
            made_for: other,
            running: name,
        });
    }
    let programs = ["bin/python", "bin/python3", "Scripts/python.exe"];
    match programs
        .iter()
        .map(|name| path.join(name))
        .find(|program| program.exists())
    {
        Some(program) => Ok(Home::Virtualenv { program }),
        None => Err(RuntimeError::BrokenVirtualenv {
            path: path.to_path_buf(),
        }),
    }
}

/// The name of the build that a virtualenv was made with, if that is the other one of this version:
/// with or without a GIL. Their extensions differ, and each looks in its own folder.
fn made_for_other_build(path: &Path, running: Release, name: &str) -> Option<String> {
    let library = path.join("lib");
    if library.join(name).is_dir() {
        return None;
    }
    let with_gil = format!("python{running}");
    let builds = [format!("{with_gil}t"), with_gil];
    builds
        .into_iter()
        .find(|build| library.join(build).is_dir())
}

/// The version that `pyvenv.cfg` names: `version` is venv's key, `version_info` that of virtualenv
/// and uv.
fn version(settings: &str) -> Option<String> {
    settings.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        matches!(key.trim(), "version" | "version_info").then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(settings: Option<&str>, program: bool) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(settings) = settings {
            fs::write(folder.path().join("pyvenv.cfg"), settings).expect("pyvenv.cfg");
        }
        if program {
            fs::create_dir(folder.path().join("bin")).expect("bin");
            fs::write(folder.path().join("bin/python"), "").expect("python");
        }
        folder
    }

    #[test]
    fn venv_and_virtualenv_spellings_are_read() {
        for settings in [
            "home = /usr/bin\nversion = 3.13.0\n",
            "home=/usr/bin\nversion_info=3.13.0.final.0\r\n",
        ] {
            let folder = folder(Some(settings), true);
            let home = read(folder.path(), Release::new(3, 13), "3.13.0").expect("a virtualenv");
            assert_eq!(
                home,
                Home::Virtualenv {
                    program: folder.path().join("bin/python")
                }
            );
        }
    }

    #[test]
    fn another_minor_version_is_refused_with_both_names() {
        let folder = folder(Some("version = 3.11.7\n"), true);
        let error = read(folder.path(), Release::new(3, 13), "3.13.0")
            .expect_err("wrong version")
            .to_string();
        assert!(
            error.contains("3.11.7") && error.contains("3.13.0"),
            "{error}"
        );
    }

    #[test]
    fn the_other_build_of_the_version_is_refused() {
        let running = Release::new(3, 14);
        let name = python_name(running);
        let other = match name.strip_suffix('t') {
            Some(with_gil) => with_gil.to_owned(),
            None => format!("{name}t"),
        };
        let folder = folder(Some("version = 3.14.2\n"), true);
        fs::create_dir_all(folder.path().join("lib").join(&other)).expect("lib");
        let error = read(folder.path(), running, "3.14.2").expect_err("another build");
        let error = error.to_string();
        assert!(error.contains(&format!("made with {other},")), "{error}");
        assert!(error.contains(&format!("`{name} -m venv ")), "{error}");
        // Virtualenvs of both builds in one folder.
        fs::create_dir(folder.path().join("lib").join(&name)).expect("lib");
        assert!(read(folder.path(), running, "3.14.2").is_ok());
    }

    #[test]
    fn what_is_no_virtualenv_is_refused() {
        let empty = folder(None, false);
        assert!(matches!(
            read(empty.path(), Release::new(3, 13), "3.13.0"),
            Err(RuntimeError::NoVirtualenv { exists: true, .. })
        ));
        let gone = empty.path().join("gone");
        assert!(matches!(
            read(&gone, Release::new(3, 13), "3.13.0"),
            Err(RuntimeError::NoVirtualenv { exists: false, .. })
        ));
        let hollow = folder(Some("version = 3.13.1\n"), false);
        assert!(matches!(
            read(hollow.path(), Release::new(3, 13), "3.13.0"),
            Err(RuntimeError::BrokenVirtualenv { .. })
        ));
    }
}
