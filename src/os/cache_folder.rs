//! Where the system keeps what programs can make again. Any thread.

use std::path::PathBuf;

/// The folder of our own caches; `None`: the user has no such place.
pub fn of_this_user() -> Option<PathBuf> {
    let variable = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        // A relative one is to be ignored (XDG Base Directory Specification).
        path.is_absolute().then_some(path)
    };
    let folder = variable("XDG_CACHE_HOME").or_else(|| {
        if cfg!(windows) {
            variable("LOCALAPPDATA")
        } else if cfg!(target_os = "macos") {
            Some(variable("HOME")?.join("Library/Caches"))
        } else {
            Some(variable("HOME")?.join(".cache"))
        }
    })?;
    Some(folder.join("singlemalt"))
}
