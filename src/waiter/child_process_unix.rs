//! Unix: a child process and its end.

use std::fmt;

use nix::sys::signal::{Signal, kill};
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};
use serde::{Deserialize, Serialize};

use crate::os::signals;

/// A child. After its end the number may be another process's.
#[derive(Debug)]
pub(super) struct ChildProcess(u32);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ended {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Ended {
    pub(super) fn from_code(code: i32) -> Self {
        Self::Code(code)
    }
}

impl ChildProcess {
    pub(super) fn of(pid: u32) -> Self {
        Self(pid)
    }

    pub(super) fn pid(&self) -> u32 {
        self.0
    }

    /// How it ended, if it has. The child is reaped then.
    pub(super) fn ended(&mut self) -> Option<Ended> {
        let pid = i32::try_from(self.0).ok().and_then(Pid::from_raw);
        match waitpid(pid, WaitOptions::NOHANG) {
            Ok(None) | Err(rustix::io::Errno::INTR) => None,
            Ok(Some((_, status))) => Some(how(status)),
            Err(error) => {
                tracing::error!(%error, pid = self.0, "a child cannot be waited for");
                Some(Ended::Code(1))
            }
        }
    }

    /// Sends SIGKILL. Not to be called after its end.
    pub(super) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
    }

    /// Sends a signal. Not to be called after its end.
    pub(super) fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.0) {
            let _gone = kill(nix::unistd::Pid::from_raw(pid), signal);
        }
    }
}

/// Reaps a child of this process, known or not: the first process of a container has those of
/// others too. `None`: no child has ended.
pub(super) fn reap() -> Option<(u32, Ended)> {
    let (pid, status) = waitpid(None, WaitOptions::NOHANG).ok()??;
    Some((pid.as_raw_nonzero().get().unsigned_abs(), how(status)))
}

fn how(status: WaitStatus) -> Ended {
    match status.terminating_signal() {
        Some(signal) => Ended::Signal(signal),
        None => Ended::Code(status.exit_status().unwrap_or(1)),
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(0) => out.write_str("has left"),
            Self::Code(code) => write!(out, "left with exit code {code}"),
            Self::Signal(number) => {
                write!(
                    out,
                    "was killed by signal {number} ({})",
                    signals::name(*number)
                )
            }
        }
    }
}
