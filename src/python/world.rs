//! Stops the other threads of a free-threaded CPython for a moment, as its garbage collector does:
//! what a holder of the GIL may look at on other builds, such as the frames of other threads, may
//! be looked at then. Runs on attached threads.

#[cfg(all(Py_GIL_DISABLED, not(windows)))]
use pyo3_ffi as ffi;

use super::object::Token;

// CPython's own, which profilers use too. Its headers name them from 3.13 to 3.15.
#[cfg(all(Py_GIL_DISABLED, not(windows)))]
unsafe extern "C" {
    fn _PyEval_StopTheWorld(interpreter: *mut ffi::PyInterpreterState);
    fn _PyEval_StartTheWorld(interpreter: *mut ffi::PyInterpreterState);
}

/// Whether [`stop`] works: on Windows the functions are out of reach.
pub(super) const CAN_STOP: bool = cfg!(not(all(Py_GIL_DISABLED, windows)));

/// No other thread of the interpreter runs Python code while this lives. Its owner must not detach,
/// run Python code or wait for another thread meanwhile.
pub(super) struct Stopped<'py>(Token<'py>);

/// Stops the other threads. With a GIL they are stopped already.
pub(super) fn stop(token: Token<'_>) -> Stopped<'_> {
    // SAFETY: attached (token), to this interpreter.
    #[cfg(all(Py_GIL_DISABLED, not(windows)))]
    unsafe {
        _PyEval_StopTheWorld(ffi::PyInterpreterState_Get());
    }
    Stopped(token)
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        // SAFETY: still attached (the token in `self`), and this thread has stopped the others.
        #[cfg(all(Py_GIL_DISABLED, not(windows)))]
        unsafe {
            _PyEval_StartTheWorld(ffi::PyInterpreterState_Get());
        }
    }
}
