//! The GIL of a free-threaded CPython. It is off, unless `PYTHON_GIL=1` keeps it on, or an extension
//! that does not declare `Py_MOD_GIL_NOT_USED` is imported: CPython then turns it on for the rest
//! of the process. Plain data; extensions.py finds out. Any thread.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

static IS_ON: AtomicBool = AtomicBool::new(false);
/// The extensions that have turned it on; empty if it was on from the start.
static TURNED_ON_BY: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Whether the GIL is on. Says nothing on a build that always has one.
pub(super) fn is_on() -> bool {
    IS_ON.load(Ordering::Acquire)
}

/// What turned it on, for people: `numpy._core (numpy 2.3.5), imported by app (app.py, line 3)`.
pub(super) fn turned_on_by() -> Vec<String> {
    TURNED_ON_BY.lock().clone()
}

/// It is on, because of this extension or, with `None`, from the start.
pub(super) fn note(extension: Option<String>) {
    TURNED_ON_BY.lock().extend(extension);
    IS_ON.store(true, Ordering::Release);
}
