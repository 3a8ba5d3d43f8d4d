//! An exception for a thread that has worked too long: raised from outside, in the request that it
//! is meant for and in no other.
//!
//! `PyThreadState_SetAsyncExc` only leaves a note; the thread raises the exception when it runs its
//! next Python instruction, which may be in the next request. So notes are left and taken back
//! under one mutex: a request that ends withdraws the one that has not been delivered. The order is
//! GIL first, mutex second, on both sides, and nobody waits for a GIL with the mutex in hand.

use std::ffi::c_long;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use pyo3_ffi as ffi;

use super::bootstrap;
use super::interpreter::{Interpreter, InterpreterHandle};
use super::object::{self, Token};
use super::stacks::{self, PythonStack, ThreadKey};

/// One thread of one interpreter, as somebody to be interrupted. It holds no Python object.
#[derive(Debug)]
pub struct Interruption {
    interpreter: Arc<Interpreter>,
    ident: u64,
    /// CPython's number of its state.
    state: u64,
    native_id: Option<u32>,
    /// Requests that were armed.
    count: AtomicU64,
    /// The number of the request that may be interrupted; 0: none.
    armed: AtomicU64,
    /// Whether a note has been left since the request was armed.
    has_note: Mutex<bool>,
}

impl Interruption {
    /// Of the calling thread, which has this state in `interpreter`.
    pub(super) fn of_this_thread(
        interpreter: &Arc<Interpreter>,
        state: NonNull<ffi::PyThreadState>,
    ) -> Arc<Self> {
        Arc::new(Self {
            interpreter: Arc::clone(interpreter),
            // SAFETY: may be called by any thread at any time.
            ident: unsafe { ffi::PyThread_get_thread_ident() as u64 },
            // SAFETY: the state is the calling thread's and lives; its number never changes.
            state: unsafe { ffi::PyThreadState_GetID(state.as_ptr()) as u64 },
            native_id: native_id(),
            count: AtomicU64::new(0),
            armed: AtomicU64::new(0),
            has_note: Mutex::new(false),
        })
    }

    /// The thread, as `threading.get_ident()` has it.
    pub fn ident(&self) -> u64 {
        self.ident
    }

    /// Its interpreter.
    pub fn interpreter(&self) -> InterpreterHandle {
        InterpreterHandle(Arc::clone(&self.interpreter))
    }

    /// From now on this thread may be interrupted, until [`calm`](Self::calm). Called by the thread
    /// itself. Returns the number to interrupt it by.
    pub fn arm(&self) -> u64 {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        self.armed.store(number, Ordering::Release);
        number
    }

    /// The application's part has ended: nothing of it strikes later code. Called by the thread
    /// itself.
    pub(super) fn calm(&self, _attached: Token<'_>) {
        if self.armed.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut has_note = self.has_note.lock();
        self.armed.store(0, Ordering::Release);
        if std::mem::take(&mut *has_note) {
            // SAFETY: attached (token). Null takes the note back; if it was delivered there is
            // none.
            unsafe {
                ffi::PyThreadState_SetAsyncExc(self.ident as c_long, std::ptr::null_mut());
            }
        }
    }

    /// Whether a stack is this thread's.
    pub fn is_of(&self, thread: ThreadKey) -> bool {
        match thread {
            ThreadKey::State(state) => state == self.state,
            ThreadKey::Ident(ident) => ident == self.ident,
        }
    }

    /// The kernel's number of the thread, where it can be known.
    pub fn native_id(&self) -> Option<u32> {
        self.native_id
    }

    /// Raises `uwsgi.Harakiri` in the thread, if it is in that request still. `look` is given the
    /// Python stack as it was right before, if `with_stack`. Waits for the GIL of the interpreter,
    /// for ever if it must: call it on a thread that has nothing else to do, and that is no thread
    /// of any interpreter.
    ///
    /// Returns whether it was raised.
    pub fn strike(
        &self,
        number: u64,
        with_stack: bool,
        look: impl FnOnce(Option<PythonStack>),
    ) -> bool {
        let visited = self.interpreter.visit(|token| {
            let stack = with_stack
                .then(|| stacks::of_thread(token, &self.interpreter, |thread| self.is_of(thread)));
            (note(self, token, number), stack)
        });
        let Ok((is_raised, stack)) = visited else {
            return false;
        };
        if let Some(mut stack) = stack {
            if let Some(stack) = &mut stack {
                stack.read_sources();
            }
            look(stack);
        }
        is_raised
    }
}

fn note(thread: &Interruption, token: Token<'_>, number: u64) -> bool {
    let found =
        bootstrap::namespace(token).and_then(|namespace| bootstrap::find(&namespace, c"Harakiri"));
    let Ok(class) = found else {
        if let Some(error) = object::take_exception(token) {
            tracing::error!("harakiri cannot raise its exception: {}", error.to_text());
        }
        return false;
    };
    let mut has_note = thread.has_note.lock();
    if thread.armed.load(Ordering::Acquire) != number {
        return false;
    }
    // SAFETY: attached (token) to the interpreter of the thread, whose class this is; the call
    // takes a reference of its own.
    let found = unsafe { ffi::PyThreadState_SetAsyncExc(thread.ident as c_long, class.as_ptr()) };
    *has_note = found > 0;
    found > 0
}

/// The kernel's number of the calling thread.
#[cfg(target_os = "linux")]
fn native_id() -> Option<u32> {
    Some(
        rustix::thread::gettid()
            .as_raw_nonzero()
            .get()
            .cast_unsigned(),
    )
}

#[cfg(not(target_os = "linux"))]
fn native_id() -> Option<u32> {
    None
}
