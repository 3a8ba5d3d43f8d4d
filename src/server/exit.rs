//! How the process ends: its exit code, and `--fallback-config`, with which the program starts
//! again after exit code 1. Main thread, at the end.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::log_target::LogOutput;
use crate::config::{Config, Failure};
use crate::net::vital;
use crate::os::program;
use crate::python::{Cause, exit_now, watch_crashes};
use crate::telemetry::LogWriter;
use crate::telemetry::in_progress::{self, Line};
use crate::waiter::resume::{ServerEnd, end_by_signal, is_waiter, resume};
use crate::waiter::role::VARIABLE;

/// The exit code when a descriptor is lost without which the server cannot go on: that of an
/// internal error in sysexits.h.
const DESCRIPTOR_LOST: i32 = 70;

/// How long the last lines of the log may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The exit code after a signal is this and its number, as in a shell.
pub(super) const KILLED_BY: i32 = 128;

/// Where lines wait that a crash would lose.
static WRITER: OnceLock<LogWriter> = OnceLock::new();

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
    pub(super) fn like(end: &ServerEnd, writer: &LogWriter) -> Self {
        match end.code() {
            Ok(code) => {
                writer.flush(FLUSH_TIMEOUT);
                Self {
                    code,
                    fallback: end.fallback().cloned(),
                }
            }
            Err(signal) => {
                tracing::error!("the server was killed by signal {signal}");
                writer.flush(FLUSH_TIMEOUT);
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

/// From now on a crash of the process leaves the requests in progress in the log, as its last
/// lines.
pub(super) fn report_crashes(writer: &LogWriter) {
    WRITER.get_or_init(|| writer.clone());
    watch_crashes(report_crash);
}

/// Runs in the handler of a signal, so it neither allocates nor waits.
fn report_crash(cause: Cause, thread: u64) {
    if let Some(writer) = WRITER.get() {
        writer.write_in_crash();
    }
    let mut line = Line::default();
    match cause {
        Cause::Signal(number) => {
            line.push(b"[ERROR] the process crashes: ");
            line.push(signal_name(number).as_bytes());
        }
        Cause::OsExit(code) => {
            line.push(b"[ERROR] the application ends the process: os._exit(");
            line.push(itoa::Buffer::new().format(code).as_bytes());
            line.push(b")");
        }
        Cause::Exit => line.push(b"[ERROR] code outside of Python ends the process: exit()"),
    }
    line.push(b", at ");
    line.push_time(now());
    line.end();
    in_progress::report(thread);
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(unix)]
fn signal_name(number: i32) -> &'static str {
    crate::os::signals::name(number)
}

#[cfg(not(unix))]
fn signal_name(_number: i32) -> &'static str {
    "a signal"
}

/// If this process only waits for the server's processes: waits until they have ended. Main thread,
/// before anything else.
///
/// # Errors
/// It cannot.
pub fn wait_if_waiter() -> Option<Result<Exit, Failure>> {
    is_waiter().then(|| {
        let output = LogOutput::start(None, None, None)?;
        let end = resume().map_err(Failure::new)?;
        Ok(Exit::like(&end, &output.writer))
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
    let mut again = program::command().map_err(failed)?;
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
