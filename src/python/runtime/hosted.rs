//! A Python that was running before us: it has imported the server as an extension module (the
//! wheel). [`Runtime::start`](super::Runtime::start) takes it up as it is, and undoes what it has
//! set up for a script. What needs another start of Python is `server::relaunch`'s business. Main
//! thread; [`Hosted`] is read by every interpreter.
//!
//! The extension module calls us detached, so that threads which `sitecustomize` has started run
//! meanwhile.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::PyAnyMethods;
use pyo3::types::PyModule;
use pyo3::{Bound, PyResult, Python};
use pyo3_ffi as ffi;

use super::error::RuntimeError;
use super::virtualenv::Home;

/// What each interpreter has to be told, since it starts as the script did.
#[derive(Debug)]
pub(crate) struct Hosted {
    /// `sys.argv`.
    pub(crate) argv: Vec<String>,
    /// The folder of the script, which Python has put into `sys.path`.
    pub(crate) script_folder: Option<String>,
    /// Go behind the rest of `sys.path`.
    pub(crate) packages: Vec<PathBuf>,
}

/// Whether the one start of Python was asked for.
pub(super) static STARTED: AtomicBool = AtomicBool::new(false);

/// Whether Python runs, and not because of us.
pub(crate) fn is_running() -> bool {
    // SAFETY: may be called at any time.
    !STARTED.load(Ordering::SeqCst) && unsafe { ffi::Py_IsInitialized() } != 0
}

/// Attaches the main thread again, with the state that it has had from its start. The caller
/// detaches it.
pub(super) fn attach() {
    // SAFETY: Python runs, and this is its main thread, detached. The state that Python finds for
    // it is its first one. It is not released in this way: nothing else on this thread counts.
    unsafe { ffi::PyGILState_Ensure() };
}

/// The main interpreter becomes what `initialise` would have made. Attached.
pub(super) fn take_up(home: Option<&Home>) -> Result<(), RuntimeError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this thread has the main interpreter's own state"
    )]
    let taken = Python::attach(|py| -> PyResult<Result<(), RuntimeError>> {
        if py
            .import("_tracemalloc")?
            .call_method0("is_tracing")?
            .is_truthy()?
        {
            return Ok(Err(RuntimeError::Tracemalloc));
        }
        let sys = py.import("sys")?;
        let prefix: PathBuf = sys.getattr("prefix")?.extract()?;
        if let Some(home) = home.filter(|home| !is_at(home, &prefix)) {
            return Ok(Err(not_started_from(home, &prefix)));
        }
        // Fatal signals print every thread's Python stack. The module was switched off before, so
        // that these handlers come in front of ours (crash.rs).
        py.import("faulthandler")?.call_method1("enable", (2,))?;
        refill_environ(py)?;
        // The script's own module is none of the application's.
        let main = PyModule::new(py, "__main__")?;
        main.setattr("__builtins__", py.import("builtins")?)?;
        sys.getattr("modules")?.set_item("__main__", main)?;
        Ok(Ok(()))
    });
    taken.map_err(|error| RuntimeError::Start {
        doing: "taking it up",
        message: error.to_string(),
    })?
}

fn is_at(home: &Home, prefix: &Path) -> bool {
    let place = match home {
        Home::Virtualenv { program } => program.parent().and_then(Path::parent),
        // Its interpreter may be of a build that finds its library elsewhere.
        Home::Installation { .. } => return true,
    };
    let real = |path: &Path| path.canonicalize().ok();
    place.is_some_and(|place| real(place) == real(prefix))
}

fn not_started_from(home: &Home, prefix: &Path) -> RuntimeError {
    let place = match home {
        Home::Virtualenv { program } => program,
        Home::Installation { prefix } => prefix,
    };
    RuntimeError::Start {
        doing: "--virtualenv",
        message: format!(
            "it was started anew as {}, and took {} for its environment",
            place.display(),
            prefix.display()
        ),
    }
}

/// Python has read the variables before ours were removed and the configuration's were set.
fn refill_environ(py: Python<'_>) -> PyResult<()> {
    let data = py.import("os")?.getattr("environ")?.getattr("_data")?;
    data.call_method0("clear")?;
    for (name, value) in std::env::vars_os() {
        set_item(&data, &name, &value)?;
    }
    Ok(())
}

#[cfg(unix)]
fn set_item(data: &Bound<'_, pyo3::PyAny>, name: &OsStr, value: &OsStr) -> PyResult<()> {
    use std::os::unix::ffi::OsStrExt as _;

    let bytes = |text: &OsStr| pyo3::types::PyBytes::new(data.py(), text.as_bytes());
    data.set_item(bytes(name), bytes(value))
}

#[cfg(not(unix))]
fn set_item(data: &Bound<'_, pyo3::PyAny>, name: &OsStr, value: &OsStr) -> PyResult<()> {
    // As `os.environ` keeps them there.
    data.set_item(name.to_string_lossy().to_uppercase(), value)
}

/// Forks, with what Python does around a fork, if Python runs: returns the child's id, or 0 in the
/// child. Main thread, detached, before any other thread of ours.
pub fn fork() -> Option<io::Result<i32>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this thread has the main interpreter's own state"
    )]
    is_running().then(|| {
        Python::attach(|py| py.import("os")?.call_method0("fork")?.extract())
            .map_err(|error: pyo3::PyErr| io::Error::other(error.to_string()))
    })
}
