//! Unix: a running server is told by a signal.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::pidfile;
use crate::config::{PidfileCommand, PidfileRequest};

/// Sends the signal that the command stands for. Returns the exit code and what to print.
pub fn ask(command: &PidfileCommand) -> (i32, String) {
    let (signal, name) = match command.request {
        PidfileRequest::Stop => (Signal::INT, "SIGINT"),
        PidfileRequest::Reload => (Signal::HUP, "SIGHUP"),
        PidfileRequest::Pause => (Signal::TSTP, "SIGTSTP"),
    };
    match send(&command.pidfile, signal) {
        Ok(pid) => (0, format!("{name} sent to {pid}")),
        Err(why) => (1, why),
    }
}

fn send(path: &Path, signal: Signal) -> Result<i32, String> {
    let number = pidfile::read(path)?;
    let pid = Pid::from_raw(number).ok_or("0 is no process")?;
    kill_process(pid, signal).map_err(|error| match error {
        rustix::io::Errno::SRCH => format!(
            "process {number} of {} does not run any more",
            path.display()
        ),
        rustix::io::Errno::PERM => format!(
            "process {number} of {} belongs to another user",
            path.display()
        ),
        error => format!(
            "cannot signal process {number} of {}: {error}",
            path.display()
        ),
    })?;
    Ok(number)
}
