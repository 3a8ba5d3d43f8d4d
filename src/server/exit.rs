//! How the process ends: its exit code, and `--fallback-config`, with which the program starts
//! again after exit code 1. Main thread, at the end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::log_target::LogOutput;
use crate::config::{Config, Failure};
use crate::net::vital;
use crate::python::exit_now;
use crate::telemetry::LogWriter;
use crate::waiter::resume::{ServerEnd, end_by_signal, is_waiter, resume};
use crate::waiter::role::VARIABLE;

/// The exit code when a descriptor is lost without which the server cannot go on: that of an
/// internal error in sysexits.h.
const DESCRIPTOR_LOST: i32 = 70;

/// How long the last lines of the log may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

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

/// From now on the loss of a descriptor that the server needs ends the process.
pub(super) fn end_at_loss(writer: LogWriter) {
    vital::on_loss(Box::new(move |name| {
        tracing::error!(
            "{name} was closed, and not by the server: the application has closed descriptors that \
             are not its own (os.closerange, os.close, or a library that becomes a daemon). The \
             server cannot go on and ends with code {DESCRIPTOR_LOST}"
        );
        writer.flush(FLUSH_TIMEOUT);
        exit_now(DESCRIPTOR_LOST);
    }));
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
