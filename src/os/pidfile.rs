//! Files that hold the process id, and the commands that read them: `--stop`, `--reload`,
//! `--pause`. Main thread.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::vacuum::Vacuum;
use super::writable;
use crate::config::Config;
use crate::config::Failure;

static PID: OnceLock<u32> = OnceLock::new();

/// The process id that stands for the server: of its first process, which stays as long as there is
/// one.
pub fn pid() -> u32 {
    // Not kept before it is given: a daemon forks after this was first asked.
    PID.get().copied().unwrap_or_else(std::process::id)
}

/// This process succeeds another one of the server that has this process id. Call it first of all.
pub fn belongs_to(pid: u32) {
    // Nothing has asked for it before.
    let _known = PID.set(pid);
}

/// The files that are still to be written: `--pidfile` comes with the sockets and `--pidfile2`
/// after privileges were dropped; the safe ones have something in them only when the server is
/// ready.
#[derive(Default)]
pub struct Files {
    ready: Vec<(&'static str, PathBuf, File)>,
}

impl Files {
    /// `--pidfile`; `--safe-pidfile` is opened, while that can be done.
    ///
    /// # Errors
    /// A file cannot be written; fatal, as in uWSGI.
    pub fn before_privileges(config: &Config, vacuum: &mut Vacuum) -> Result<Self, Failure> {
        let mut files = Self::default();
        let process = &config.process;
        if let Some(path) = &process.pidfile {
            write(config, "pidfile", path, None, vacuum)?;
        }
        if let Some(path) = &process.safe_pidfile {
            files.open(config, "safe-pidfile", path)?;
        }
        Ok(files)
    }

    /// All of them, for a successor: what is there holds the server's process id already, and what
    /// is new in the configuration is written when the process before has left.
    pub fn of_successor(config: &Config, vacuum: &mut Vacuum) -> Self {
        let process = &config.process;
        let all = [
            ("pidfile", &process.pidfile),
            ("pidfile2", &process.pidfile2),
            ("safe-pidfile", &process.safe_pidfile),
            ("safe-pidfile2", &process.safe_pidfile2),
        ];
        let mut files = Self::default();
        for (option, path) in all {
            let Some(path) = path else { continue };
            if read(path).is_ok_and(|found| u32::try_from(found) == Ok(pid())) {
                vacuum.note_pidfile(
                    std::path::absolute(path).unwrap_or_else(|_| path.clone()),
                    pid(),
                );
            } else if let Err(failure) = files.open(config, option, path) {
                // The process before was allowed to: it may have been root then.
                tracing::warn!("{}", failure.text);
            }
        }
        files
    }

    /// `--pidfile2`, and `--safe-pidfile2` is opened.
    pub fn after_privileges(
        &mut self,
        config: &Config,
        vacuum: &mut Vacuum,
    ) -> Result<(), Failure> {
        let process = &config.process;
        if let Some(path) = &process.pidfile2 {
            write(config, "pidfile2", path, None, vacuum)?;
        }
        if let Some(path) = &process.safe_pidfile2 {
            self.open(config, "safe-pidfile2", path)?;
        }
        Ok(())
    }

    pub fn when_ready(&mut self, config: &Config, vacuum: &mut Vacuum) -> Result<(), Failure> {
        for (option, path, file) in self.ready.drain(..) {
            write(config, option, &path, Some(file), vacuum)?;
        }
        Ok(())
    }

    fn open(&mut self, config: &Config, option: &'static str, path: &Path) -> Result<(), Failure> {
        let opened = std::path::absolute(path).and_then(|path| {
            // What a predecessor wrote stays until there is something better.
            let mut options = OpenOptions::new();
            let file = options
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            Ok((option, path, file))
        });
        self.ready
            .push(opened.map_err(|error| failed(config, option, path, &error))?);
        Ok(())
    }
}

/// Writes the server's process id in place of what is there, and notes the file for `--vacuum`.
fn write(
    config: &Config,
    option: &'static str,
    path: &Path,
    opened: Option<File>,
    vacuum: &mut Vacuum,
) -> Result<(), Failure> {
    let pid = pid();
    let written = std::path::absolute(path).and_then(|path| {
        let mut file = match opened {
            Some(file) => file,
            None => File::create(&path)?,
        };
        // A reader must not find it empty meanwhile.
        let text = format!("{pid}\n");
        file.write_all(text.as_bytes())?;
        file.set_len(u64::try_from(text.len()).map_err(io::Error::other)?)?;
        Ok(path)
    });
    vacuum.note_pidfile(
        written.map_err(|error| failed(config, option, path, &error))?,
        pid,
    );
    Ok(())
}

fn failed(config: &Config, option: &'static str, path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    let why = format!("cannot write the process id to {path}: {error}");
    Failure::about(config, option, why)
}

/// Whether the files could be written: those of [`Files::before_privileges`], or those of
/// [`Files::after_privileges`].
pub fn check(config: &Config, is_late: bool) -> Result<(), Failure> {
    let process = &config.process;
    let files = [
        ("pidfile", &process.pidfile, false),
        ("safe-pidfile", &process.safe_pidfile, false),
        ("pidfile2", &process.pidfile2, true),
        ("safe-pidfile2", &process.safe_pidfile2, true),
    ];
    for (option, path, _) in files.into_iter().filter(|(_, _, late)| *late == is_late) {
        if let Some(path) = path {
            writable::check(path).map_err(|error| failed(config, option, path, &error))?;
        }
    }
    Ok(())
}

/// All pidfiles that are asked for, absolute, each once.
pub fn paths(config: &Config) -> Vec<PathBuf> {
    let process = &config.process;
    let files = [
        &process.pidfile,
        &process.pidfile2,
        &process.safe_pidfile,
        &process.safe_pidfile2,
    ];
    let mut paths = Vec::new();
    for file in files.into_iter().flatten() {
        let path = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// The process id in a file.
pub fn read(path: &Path) -> Result<i32, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    // 0 and negative numbers are groups of processes to kill(2).
    match text.trim().parse() {
        Ok(pid) if pid > 0 => Ok(pid),
        _ => Err(format!(
            "{} holds no process id, but '{}'",
            path.display(),
            text.trim().escape_default()
        )),
    }
}
