//! The end of an interpreter: `Py_EndInterpreter`, or parked for ever.
//!
//! Holds rule 5 of docs/internals/interpreters.md: an interpreter ends only when its creator's
//! state is the last one in it. Runs on workers. Nothing in this file keeps a Python object.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pyo3_ffi as ffi;

use super::interpreter::{Interpreter, Isolation, LIFECYCLE};
use super::runtime::{arenas, trim};

/// The outcome of ending an interpreter, or a thread's part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The creator left and the interpreter has ended; the main interpreter lives on.
    Ended,
    /// A further thread left; the interpreter lives on.
    Left,
    /// The interpreter could not be ended safely and stays for ever, detached.
    Parked {
        /// How many threads are still in it.
        threads_left: usize,
    },
}

static PARKED: AtomicUsize = AtomicUsize::new(0);
/// The least grace time: a finished thread may take this long from its last line of Python to the
/// end of its state.
const LINGER: Duration = Duration::from_millis(100);

/// How many interpreters of this process were parked since it started.
#[must_use]
pub fn parked_count() -> usize {
    PARKED.load(Ordering::Relaxed)
}

/// Ends a subinterpreter, or parks it if a thread is left in it at `until`. On return this thread
/// is detached and must never attach `state` again.
///
/// # Safety
/// The calling thread made the interpreter, is detached, has quiesced it, and Rust holds no object
/// of it.
pub(super) unsafe fn end(
    interpreter: &Interpreter,
    state: NonNull<ffi::PyThreadState>,
    until: Instant,
) -> Ended {
    let until = until.max(Instant::now() + LINGER);
    let mut others;
    loop {
        let one_at_a_time = LIFECYCLE.lock();
        let started = Instant::now();
        // SAFETY: `state` is this thread's and detached (the caller's promise).
        unsafe { ffi::PyEval_RestoreThread(state.as_ptr()) };
        others = interpreter.other_states(state);
        if others == 0 {
            // SAFETY: attached, on the thread that made the interpreter, and `state` is the last
            // one in it: nothing can add one, since no Python code runs between the count and the
            // end but on this thread.
            unsafe { ffi::Py_EndInterpreter(state.as_ptr()) };
            if interpreter.spec.isolation == Isolation::OwnGil {
                // SAFETY: it has ended, Rust holds nothing of it, and `one_at_a_time` is held.
                unsafe { arenas::give_back(interpreter.address) };
            }
            drop(one_at_a_time);
            tracing::debug!(
                interpreter = interpreter.id,
                "ended in {:.1} ms",
                started.elapsed().as_secs_f64() * 1000.0
            );
            interpreter.free_identity();
            trim::free_memory();
            return Ended::Ended;
        }
        // SAFETY: attached just now.
        unsafe { ffi::PyEval_SaveThread() };
        drop(one_at_a_time);
        if Instant::now() >= until {
            break;
        }
        // `join` returns before a thread has left C, and CPython offers nothing to wait for that
        // end, so the count is polled.
        std::thread::sleep(Duration::from_millis(1));
    }
    interpreter.waits.go_on();
    park();
    Ended::Parked {
        threads_left: others,
    }
}

/// Counts an interpreter that stays for ever.
pub(super) fn park() {
    PARKED.fetch_add(1, Ordering::Relaxed);
}
