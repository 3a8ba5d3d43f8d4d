//! What configuration files may ask about the machine and the process: for magic variables,
//! `$(ENV)` and conditions.
//!
//! Gathered once at start. Tests make their own, so that every answer is known.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The role of a process that another one of the server has started. It is no option's name.
pub const PROCESS_VARIABLE: &str = "_SINGLEMALT_PROCESS";
/// Its value for a process that the waiter starts itself (`--supervise`), and not for a reload.
pub const SERVER_PROCESS: &str = "server";

/// Facts of the machine and of this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct SystemFacts {
    /// The environment, names that are UTF-8 only.
    pub(crate) environment: HashMap<String, OsString>,
    /// What relative paths are meant from: the directory that the server was started in.
    pub(crate) directory: PathBuf,
    /// The configuration is read for another version of the application (`if-reload`).
    pub(crate) is_reload: bool,
    pub(crate) host: String,
    /// Cores that this process may use (affinity and cgroup quota are counted in).
    pub(crate) cores: usize,
    /// Microseconds since 1970.
    pub(crate) started_micros: u128,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) user: String,
    pub(crate) group: String,
    pub(crate) program: String,
}

impl SystemFacts {
    /// The path that a name in the configuration means. At the start it is as it stands; later the
    /// process may have changed its directory.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        match self.is_reload {
            true => self.directory.join(name),
            false => name.as_ref().to_path_buf(),
        }
    }

    /// The paths that a pattern finds.
    pub(crate) fn glob(&self, pattern: &str) -> Result<Vec<PathBuf>, glob::PatternError> {
        if Path::new(pattern).is_absolute() || !self.is_reload {
            return Ok(glob::glob(pattern)?.flatten().collect());
        }
        // The process may have changed its directory since the start.
        let folder = glob::Pattern::escape(&self.directory.to_string_lossy());
        let found = glob::glob(&format!("{folder}/{pattern}"))?.flatten();
        let relative = found.filter_map(|path| {
            let path = path.strip_prefix(&self.directory).ok()?;
            Some(path.to_path_buf())
        });
        Ok(relative.collect())
    }

    /// Those of this process, with this environment.
    pub(crate) fn of_this_process(environment: HashMap<String, OsString>) -> SystemFacts {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let (uid, gid) = ids();
        let named = |name: &str| environment.get(name).and_then(|text| text.to_str());
        let user = name_of(uid, "/etc/passwd")
            .or_else(|| named("USER").map(str::to_owned))
            .or_else(|| named("USERNAME").map(str::to_owned));
        let host = host().or_else(|| named("COMPUTERNAME").map(str::to_owned));
        SystemFacts {
            directory: std::env::current_dir().unwrap_or_default(),
            is_reload: environment
                .get(PROCESS_VARIABLE)
                .is_some_and(|role| role != SERVER_PROCESS),
            host: host.unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            started_micros: now.map_or(0, |now| now.as_micros()),
            uid,
            gid,
            user: user.unwrap_or_else(|| uid.to_string()),
            group: name_of(gid, "/etc/group").unwrap_or_else(|| gid.to_string()),
            program: std::env::current_exe()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            environment,
        }
    }
}

#[cfg(unix)]
fn ids() -> (u32, u32) {
    (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    )
}

#[cfg(not(unix))]
fn ids() -> (u32, u32) {
    (0, 0)
}

#[cfg(unix)]
fn host() -> Option<String> {
    let name = rustix::system::uname();
    name.nodename().to_str().ok().map(str::to_owned)
}

#[cfg(not(unix))]
fn host() -> Option<String> {
    None
}

/// The name of a user or group in a file such as /etc/passwd; directories of a network are not
/// asked.
fn name_of(id: u32, file: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == id).then(|| name.to_owned())
    })
}
