//! `--fallback-config`: the program starts again with another file after exit code 1. Main thread,
//! at the end.

use std::path::Path;
use std::process::Command;

/// Starts this program again with `file` as its only argument. On Unix it returns only on failure;
/// elsewhere it waits for the new process and returns its exit code.
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
