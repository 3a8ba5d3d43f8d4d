//! Unix: a process that this one has started, in this image or the last one: whether it is there,
//! and its end.

use nix::sys::signal::{Signal, kill};
use rustix::process::{WaitOptions, waitpid};

/// A child. Not to be asked from two threads at once.
#[derive(Debug)]
pub struct Offspring(i32);

impl Offspring {
    /// The child of this process id.
    pub fn of(pid: i32) -> Self {
        Self(pid)
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.0
    }

    /// How it ended, in words, if it has. After that the number may be another process's.
    pub fn ended(&mut self) -> Option<String> {
        let pid = rustix::process::Pid::from_raw(self.0);
        Some(match waitpid(pid, WaitOptions::NOHANG) {
            Ok(None) | Err(rustix::io::Errno::INTR) => return None,
            Ok(Some((_, status))) => match (status.exit_status(), status.terminating_signal()) {
                (Some(0), _) => "has left".to_owned(),
                (Some(code), _) => format!("left with exit code {code}"),
                (None, Some(signal)) => format!("was killed by signal {signal}"),
                (None, None) => "is gone".to_owned(),
            },
            Err(error) => format!("cannot be waited for ({error})"),
        })
    }

    /// It ends now. Not to be called when it has ended.
    pub fn kill(&mut self) {
        let _gone = kill(nix::unistd::Pid::from_raw(self.0), Signal::SIGKILL);
    }
}
