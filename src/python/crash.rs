//! Ends of the process that nothing can prevent: signals of a crash, and `exit()` in C code.
//!
//! The handlers are set before Python's own (`faulthandler`), which print the Python stacks and
//! then call these. Nothing here takes a lock or allocates.

#[cfg(unix)]
use std::sync::Once;
use std::sync::OnceLock;
#[cfg(unix)]
use std::sync::atomic::{AtomicU64, Ordering};

use super::fork;
use super::object::{Object, Raised, Token};
use super::trampoline;
use super::trampoline::Method;

/// Why the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The number of a signal.
    Signal(i32),
    /// The code of `os._exit` in the application.
    OsExit(i64),
    /// C code has called `exit`.
    Exit,
}

/// Told how the process ends, and which thread ends it. May run in a handler of a signal.
pub type Report = fn(Cause, u64);

static REPORT: OnceLock<Report> = OnceLock::new();
/// The thread that ends the process; 0: none does.
#[cfg(unix)]
static ENDING: AtomicU64 = AtomicU64::new(0);

/// `note_exit(code)` of our Python code.
pub(super) static NOTE_EXIT: Method = Method::one(c"note_exit", note_exit);

/// Calls `report` when the process ends by a crash. Before Python starts.
pub fn watch(report: Report) {
    let report = REPORT.get_or_init(|| report);
    #[cfg(not(unix))]
    let _windows_reports_crashes = report;
    #[cfg(unix)]
    {
        let _set = report;
        static ONCE: Once = Once::new();
        ONCE.call_once(set_handlers);
    }
}

#[cfg(unix)]
fn set_handlers() {
    let signals = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGABRT,
        libc::SIGSYS,
    ];
    // SAFETY: the action is a plain struct; the handler keeps to what a handler may do. Threads of
    // Rust have a stack for handlers, so that an overflow of their own is reported too.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = crashed as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_NODEFER;
        libc::sigemptyset(&raw mut action.sa_mask);
        for signal in signals {
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
        libc::atexit(exited);
    }
}

#[cfg(unix)]
extern "C" fn crashed(signal: libc::c_int) {
    // The report itself may crash: then the process ends without the rest of it.
    if begins(own_thread()) {
        tell(Cause::Signal(signal));
    }
    // SAFETY: both may be called in a handler. The default action ends the process.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// C code has called `exit`. The server itself does not.
#[cfg(unix)]
extern "C" fn exited() {
    if begins(own_thread()) {
        tell(Cause::Exit);
    }
}

/// Whether this thread is the first one to end the process. Another one waits for the end.
#[cfg(unix)]
fn begins(thread: u64) -> bool {
    match ENDING.compare_exchange(0, thread, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => true,
        Err(first) if first == thread => false,
        Err(_) => loop {
            // SAFETY: may be called in a handler.
            unsafe { libc::pause() };
        },
    }
}

/// The calling thread, as `threading` has it.
fn own_thread() -> u64 {
    // SAFETY: it only reads a register of the thread.
    #[cfg(unix)]
    return unsafe { libc::pthread_self() } as u64;
    #[cfg(not(unix))]
    0
}

fn tell(cause: Cause) {
    // The jobs in progress are those of a child's parent.
    if !fork::is_child()
        && let Some(report) = REPORT.get()
    {
        report(cause, own_thread());
    }
}

/// The application calls `os._exit`.
unsafe extern "C" fn note_exit(
    _self: *mut pyo3_ffi::PyObject,
    code: *mut pyo3_ffi::PyObject,
) -> *mut pyo3_ffi::PyObject {
    // SAFETY: called by CPython with a live argument.
    unsafe {
        trampoline::object(|token: Token<'_>| {
            let code = pyo3_ffi::PyLong_AsLongLong(code);
            if code == -1 && !pyo3_ffi::PyErr_Occurred().is_null() {
                return Err(Raised);
            }
            tell(Cause::OsExit(code));
            Ok(Object::none(token))
        })
    }
}

/// A stack for the handlers of fatal signals on this thread, which may have used up its own. The
/// handlers of Python and of this file run on it together, and the registers that the kernel saves
/// for each take kilobytes: the standard library's is too small.
pub(super) struct HandlerStack {
    #[cfg(unix)]
    before: libc::stack_t,
    #[cfg(unix)]
    _memory: Box<[std::mem::MaybeUninit<u8>]>,
}

#[cfg(unix)]
const HANDLER_STACK_BYTES: usize = 128 * 1024;

#[cfg(unix)]
impl HandlerStack {
    pub(super) fn of_this_thread() -> Self {
        let mut memory = Box::new_uninit_slice(HANDLER_STACK_BYTES);
        // SAFETY: the memory lives until `drop`, on the same thread, has set the stack before.
        let before = unsafe {
            let mut before: libc::stack_t = std::mem::zeroed();
            let ours = libc::stack_t {
                ss_sp: memory.as_mut_ptr().cast(),
                ss_flags: 0,
                ss_size: memory.len(),
            };
            libc::sigaltstack(&raw const ours, &raw mut before);
            before
        };
        Self {
            before,
            _memory: memory,
        }
    }
}

#[cfg(unix)]
impl Drop for HandlerStack {
    fn drop(&mut self) {
        // SAFETY: the stack before is the standard library's, which lives as long as the thread.
        unsafe { libc::sigaltstack(&raw const self.before, std::ptr::null_mut()) };
    }
}

#[cfg(not(unix))]
impl HandlerStack {
    pub(super) fn of_this_thread() -> Self {
        Self {}
    }
}
