//! `--fallback-config`: the process starts anew with another file when the server leaves with code 1. Main thread, at the end.

use std::path::Path;
use std::process::Command;

/// Starts this program anew with `file` as its only argument. Returns only if that fails on Unix; elsewhere it waits for the
/// new process and returns its exit code.
///
/// # Errors
/// In words: the program cannot be started.
pub fn start_with(file: &Path) -> Result<i32, String> {
    let failed = |error: std::io::Error| {
        format!(
            "--fallback-config: cannot start with {}: {error}",
            file.display()
        )
    };
    let mut again = Command::new(std::env::current_exe().map_err(failed)?);
    again.arg("--config").arg(file);
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
