//! How the process ends: its exit code, and `--fallback-config`, with which the program starts
//! again after exit code 1. Main thread, at the end.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::log_target::LogOutput;
use crate::config::{Config, Failure};
use crate::waiter::resume::{ServerEnd, end_by_signal, is_waiter, resume};
use crate::waiter::role::VARIABLE;

/// The exit code after a signal is this and its number, as in a shell.
pub(super) const KILLED_BY: i32 = 128;

/// The end of the process.
pub struct Exit {
    /// Its exit code.
    pub code: i32,
    /// The configuration to start with instead.
    pub fallback: Option<PathBuf>,
}

impl Exit {
    /// Nothing follows.
    pub fn with(code: i32) -> Self {
        Self {
            code,
            fallback: None,
        }
    }

    /// The server has ended in its first process.
    pub fn of_first(config: &Config, code: i32) -> Self {
        let fallback = config.start.fallback.clone();
        Self {
            code,
            fallback: fallback.filter(|_| code == 1),
        }
    }

    /// The server has ended in another process: this one ends alike.
    pub(super) fn like(end: &ServerEnd) -> Self {
        match end.code() {
            Ok(code) => Self {
                code,
                fallback: end.fallback().cloned(),
            },
            Err(signal) => {
                end_by_signal(signal);
                Self::with(KILLED_BY + signal)
            }
        }
    }
}

/// If this process only waits for the server's processes: waits until they have ended. Main thread,
/// before anything else.
///
/// # Errors
/// It cannot.
pub fn wait_if_waiter() -> Option<Result<Exit, Failure>> {
    is_waiter().then(|| {
        let output = LogOutput::start(None, None)?;
        let end = resume().map_err(Failure::new)?;
        if let Err(signal) = end.code() {
            tracing::error!("the server was killed by signal {signal}");
        }
        output.flush();
        Ok(Exit::like(&end))
    })
}

/// Starts this program again with `file` as its only argument. On Unix it returns only on failure;
/// elsewhere it waits for the new process and returns its exit code.
///
/// # Errors
/// The program cannot be started.
pub fn start_with(file: &Path) -> Result<i32, String> {
    let failed = |error: std::io::Error| {
        format!(
            "--fallback-config: cannot start with {}: {error}",
            file.display()
        )
    };
    let mut again = Command::new(std::env::current_exe().map_err(failed)?);
    again.arg("--config").arg(file).env_remove(VARIABLE);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        Err(failed(again.exec()))
    }
    #[cfg(not(unix))]
    {
        let status = again.status().map_err(failed)?;
        Ok(status.code().unwrap_or(1))
    }
}
