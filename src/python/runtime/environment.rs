//! Environment variables: set before anything else runs (`--env`, `--unenv`), and for each version of
//! the application.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::hosted;

/// Names and values.
pub type Environment = Arc<[(OsString, OsString)]>;

/// The variables of the process.
pub fn environment_now() -> Environment {
    std::env::vars_os().collect()
}

/// Changes the process's variables in which `to` differs from `from`. Any thread; only where
/// writers and readers do not meet (`environment_linux`). Elsewhere only interpreters see the
/// change, which have variables of their own.
pub fn move_environment(from: &Environment, to: &Environment) {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return;
    }
    let value_in = |all: &Environment, name: &OsString| {
        let found = all.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.clone())
    };
    for (name, value) in to.iter().filter(|(name, _)| can_be_set(name)) {
        if value_in(from, name).as_ref() != Some(value) {
            // SAFETY: `environment_linux` makes changes beside readers safe.
            unsafe { set(name, value) };
        }
    }
    for (name, _) in from.iter().filter(|(name, _)| can_be_set(name)) {
        if value_in(to, name).is_none() {
            // SAFETY: as above.
            unsafe { remove(name) };
        }
    }
}

/// Sets a variable, in a way that does not disturb readers where the system is Linux: also where
/// the C library's functions are not ours (the extension module).
///
/// # Safety
/// Elsewhere: no other thread reads or writes variables meanwhile.
unsafe fn set(name: &OsStr, value: &OsStr) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    super::environment_linux::set_variable(name, value);
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    // SAFETY: the caller's promise.
    unsafe {
        std::env::set_var(name, value)
    };
}

/// # Safety
/// As for [`set`].
unsafe fn remove(name: &OsStr) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    super::environment_linux::remove_variable(name);
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    // SAFETY: the caller's promise.
    unsafe {
        std::env::remove_var(name)
    };
}

/// Whether [`assign`] does something.
pub(crate) const ASSIGNS: bool = cfg!(all(target_os = "linux", target_env = "gnu"));

/// `NAME=VALUE` sets a variable, `NAME` removes it, both without a NUL: for `os.putenv` where it
/// would call the C library's function.
pub(crate) fn assign(text: &[u8]) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    super::environment_linux::assign(text);
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _as_python_does = text;
}

/// A name that begins with '=' can be inherited, but not set.
fn can_be_set(name: &OsString) -> bool {
    let name = name.as_encoded_bytes();
    !name.is_empty() && !name.contains(&b'=')
}

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
    // `sitecustomize` may have started threads; like the interpreter's, their calls read only.
    let is_alone = hosted::is_running() || is_only_thread();
    if IS_SET.swap(true, Ordering::SeqCst) || !is_alone {
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
        unsafe { remove(name.as_ref()) };
    }
    let moved = moves.then(std::env::vars_os).into_iter().flatten();
    for (name, value) in moved.filter(|(name, _)| can_be_set(name)) {
        // SAFETY: as above.
        unsafe { self::set(&name, &value) };
    }
    for (name, value) in set {
        // SAFETY: as above.
        unsafe { self::set(name.as_ref(), value.as_ref()) };
    }
    Ok(())
}

fn is_only_thread() -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    std::fs::read_dir("/proc/self/task").map_or(true, |tasks| tasks.count() == 1)
}
