//! Windows has no signals: another process cannot be told anything but by its console.

use super::pidfile;
use crate::config::PidfileCommand;

/// Says what to do instead. Returns the exit code and what to print.
pub fn ask(command: &PidfileCommand) -> (i32, String) {
    let text = match pidfile::read(&command.pidfile) {
        Ok(pid) => format!(
            "Windows has no signals to send to process {pid}: stop it in its console with Ctrl-C, or end it with \
             taskkill /PID {pid} /F"
        ),
        Err(why) => why,
    };
    (1, text)
}
