//! Environment variables, set before anything else runs (`--env`, `--unenv`).

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

static IS_SET: AtomicBool = AtomicBool::new(false);

/// Why the environment was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvironmentError {
    /// Other threads run, or it was done before.
    TooLate,
    /// No system could store this name or value.
    Malformed(String),
}

impl fmt::Display for EnvironmentError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLate => write!(
                out,
                "environment variables can be set once, before other threads start"
            ),
            Self::Malformed(name) => write!(
                out,
                "'{name}' cannot be an environment variable: names are not empty and have no '=' \
                 or NUL, values no NUL"
            ),
        }
    }
}

impl std::error::Error for EnvironmentError {}

/// Removes, then sets variables of the process. Call it once, while the calling thread is the only
/// one.
///
/// `moves`: every other variable is set to what it is. C's library then keeps a copy of each, and
/// nothing reads the memory any more in which the system handed them over.
///
/// # Errors
/// Another thread runs (where the system tells), it was called before, or a name or value is
/// malformed.
pub fn set_environment(
    unset: &[String],
    set: &[(String, String)],
    moves: bool,
) -> Result<(), EnvironmentError> {
    if unset.is_empty() && set.is_empty() && !moves {
        return Ok(());
    }
    if IS_SET.swap(true, Ordering::SeqCst) || !is_only_thread() {
        return Err(EnvironmentError::TooLate);
    }
    let is_name = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
    let names = unset.iter().chain(set.iter().map(|(name, _)| name));
    if let Some(name) = names.clone().find(|name| !is_name(name)) {
        return Err(EnvironmentError::Malformed(name.clone()));
    }
    if let Some((name, _)) = set.iter().find(|(_, value)| value.contains('\0')) {
        return Err(EnvironmentError::Malformed(name.clone()));
    }
    for name in unset {
        // SAFETY: no other thread reads or writes the environment meanwhile: this thread is the
        // only one (checked above where the system tells; elsewhere `server::run` calls this before
        // it starts one).
        unsafe { std::env::remove_var(name) };
    }
    let moved = moves.then(std::env::vars_os).into_iter().flatten();
    // A name that begins with '=' can be inherited, but not set.
    for (name, value) in moved.filter(|(name, _)| !name.as_encoded_bytes().contains(&b'=')) {
        // SAFETY: as above.
        unsafe { std::env::set_var(name, value) };
    }
    for (name, value) in set {
        // SAFETY: as above.
        unsafe { std::env::set_var(name, value) };
    }
    Ok(())
}

fn is_only_thread() -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    std::fs::read_dir("/proc/self/task").map_or(true, |tasks| tasks.count() == 1)
}
