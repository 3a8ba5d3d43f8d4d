//! What must hold before the server starts, as far as it is configuration: plain values and their maker. Pure.

use std::path::PathBuf;
use std::time::Duration;

use super::options;
use crate::config::error::ConfigError;
use crate::config::resolve::{Reader, path_of};

/// What is done before the server starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartConfig {
    /// The directory to begin in (`force-cwd`).
    pub folder: Option<PathBuf>,
    /// The nice value (`prio`).
    pub nice: Option<i32>,
    /// Files to lock (`flock`, `flock-wait`, `flock2`, `flock-wait2`).
    pub locks: Vec<FileLock>,
    /// What to wait for before privileges are dropped; sockets: before the application is loaded.
    pub awaited: Vec<Awaited>,
    /// Start anew with this file when the exit code is 1 (`fallback-config`).
    pub fallback: Option<PathBuf>,
}

/// A file to lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLock {
    /// It must exist.
    pub path: PathBuf,
    /// Wait for whoever holds the lock, instead of leaving.
    pub waits: bool,
    /// After the log is open and the server has detached.
    pub is_late: bool,
    /// The option, for messages.
    pub option: &'static str,
}

/// Something to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// What it is.
    pub thing: Thing,
    /// How long; then the start has failed.
    pub timeout: Duration,
    /// The option, for messages.
    pub option: &'static str,
}

/// What can be waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// Anything of this path.
    Path(PathBuf),
    /// A file.
    File(PathBuf),
    /// A directory.
    Folder(PathBuf),
    /// A directory that another file system is mounted on.
    Mount(PathBuf),
    /// A network interface.
    Interface(String),
    /// Somebody who takes connections: `HOST:PORT`, or the path of a unix socket.
    Socket(String),
}

impl Reader<'_> {
    pub(crate) fn start(&mut self) -> Result<StartConfig, ConfigError> {
        let locks = [
            (&options::FLOCK, false, false),
            (&options::FLOCK_WAIT, true, false),
            (&options::FLOCK2, false, true),
            (&options::FLOCK_WAIT2, true, true),
        ];
        let mut config = StartConfig {
            folder: self.path(&options::FORCE_CWD)?,
            nice: self.nice()?,
            fallback: self.path(&options::FALLBACK_CONFIG)?,
            ..StartConfig::default()
        };
        for (row, waits, is_late) in locks {
            config.locks.extend(self.path(row)?.map(|path| FileLock {
                path,
                waits,
                is_late,
                option: row.name,
            }));
        }
        let paths = [
            (&options::WAIT_FOR_FS, Thing::Path as fn(PathBuf) -> Thing),
            (&options::WAIT_FOR_FILE, Thing::File),
            (&options::WAIT_FOR_DIR, Thing::Folder),
            (&options::WAIT_FOR_MOUNTPOINT, Thing::Mount),
        ];
        let timeout = self.seconds(&options::WAIT_FOR_INTERFACE_TIMEOUT)?;
        for setting in self.raw.all(&options::WAIT_FOR_INTERFACE) {
            let name = setting.text.clone();
            if name.is_empty() || name.contains('/') || name.starts_with('.') {
                return Err(
                    setting.error(format_args!("wants the name of an interface, got '{name}'"))
                );
            }
            config.awaited.push(Awaited {
                thing: Thing::Interface(name),
                timeout,
                option: options::WAIT_FOR_INTERFACE.name,
            });
        }
        let timeout = self.seconds(&options::WAIT_FOR_FS_TIMEOUT)?;
        for (row, thing) in paths {
            for setting in self.raw.all(row) {
                config.awaited.push(Awaited {
                    thing: thing(path_of(setting)?),
                    timeout,
                    option: row.name,
                });
            }
        }
        let timeout = self.seconds(&options::WAIT_FOR_SOCKET_TIMEOUT)?;
        for setting in self.raw.all(&options::WAIT_FOR_SOCKET) {
            let address = &setting.text;
            let is_one = address.contains('/') || address.starts_with('@') || address.contains(':');
            if !is_one || address.contains('\0') {
                return Err(setting.error(format_args!(
                    "wants HOST:PORT or the path of a unix socket, got '{address}'"
                )));
            }
            config.awaited.push(Awaited {
                thing: Thing::Socket(address.clone()),
                timeout,
                option: options::WAIT_FOR_SOCKET.name,
            });
        }
        Ok(config)
    }

    fn nice(&self) -> Result<Option<i32>, ConfigError> {
        let Some(setting) = self.raw.last(&options::PRIO) else {
            return Ok(None);
        };
        match setting.text.trim().parse() {
            Ok(nice) if (-20..=19).contains(&nice) => Ok(Some(nice)),
            _ => Err(setting.error(format_args!(
                "wants a number from -20 to 19, got '{}'",
                setting.text
            ))),
        }
    }
}
