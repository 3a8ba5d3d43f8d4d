//! Whether a file could be written, without a trace: for checks of a configuration.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Whether this process may write the file, or make it where there is none.
///
/// # Errors
/// What the attempt would say.
pub fn check(path: &Path) -> io::Result<()> {
    match path.metadata() {
        Ok(found) if found.is_file() => OpenOptions::new().append(true).open(path).map(drop),
        Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        // A pipe or a device: opening it may wait.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => check_folder(path),
        Err(error) => Err(error),
    }
}

/// Whether a file of this name could be made in its folder.
///
/// # Errors
/// What the attempt would say.
pub fn check_folder(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let folder = path.parent().unwrap_or(&path);
    if !folder.metadata()?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    #[cfg(unix)]
    rustix::fs::access(
        folder,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    )?;
    Ok(())
}
