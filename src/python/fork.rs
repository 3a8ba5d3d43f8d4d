//! Processes that the application makes with `os.fork()`.
//!
//! Only the main interpreter can fork. The child is a copy of the server with one thread, and that
//! thread returns into our code when the application's call ends. It must never serve: the sockets,
//! the poll and the locks of other threads are its parent's. So the child ends where the
//! application's code ends, with the exit code that a script would have.

#[cfg(unix)]
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use super::namespace::{find, namespace};
use super::object::{self, Object, Token};
use super::trampoline::{self, Method};

static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// `is_child()` of our Python code.
pub(super) static IN_CHILD: Method = Method::none(c"is_child", in_child);

/// From now on a process that is made by a fork of this one knows it.
pub(super) fn watch() {
    #[cfg(unix)]
    {
        extern "C" fn is_made() {
            IS_CHILD.store(true, Ordering::Relaxed);
        }
        static ONCE: Once = Once::new();
        // SAFETY: the handler stores to an atomic, which is allowed after a fork of a process with
        // threads. If there is no memory for it, forks are not noticed.
        ONCE.call_once(|| unsafe {
            libc::pthread_atfork(None, None, Some(is_made));
        });
    }
}

/// Whether this process was made by a fork of the server's.
pub fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

/// The application's code has returned or raised: a child ends here. Attached.
#[inline]
pub(super) fn leave_if_child(token: Token<'_>) {
    if is_child() {
        leave(token);
    }
}

/// Ends the process. The exception that is set becomes the exit code, as at the end of a script.
#[cold]
fn leave(token: Token<'_>) -> ! {
    let error = object::take_exception(token).unwrap_or_else(|| Object::none(token));
    let code = namespace(token)
        .and_then(|namespace| find(&namespace, c"child_exit_code")?.call([&error]))
        .and_then(|code| code.to_u64());
    leave_with(code.map_or(1, |code| i32::try_from(code).unwrap_or(1)))
}

/// Ends a child at once: exit handlers are the server's, and locks may be held by threads that are
/// not in this process.
pub(super) fn leave_with(code: i32) -> ! {
    // SAFETY: `_exit` takes any code and does not return.
    unsafe { libc::_exit(code) }
}

unsafe extern "C" fn in_child(
    _self: *mut pyo3_ffi::PyObject,
    _none: *mut pyo3_ffi::PyObject,
) -> *mut pyo3_ffi::PyObject {
    // SAFETY: called by CPython, without arguments.
    unsafe { trampoline::object(|token| Object::boolean(token, is_child())) }
}
