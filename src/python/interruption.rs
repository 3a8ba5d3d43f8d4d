//! Raises an exception in a request that takes too long, and in no other one.
//!
//! `PyThreadState_SetAsyncExc` only schedules an exception; the thread raises it when it runs its
//! next Python instruction, which may be in the next request. So exceptions are scheduled and
//! withdrawn under one mutex: a request that ends withdraws the one that is still pending. Both
//! sides take the GIL first and the mutex second, and no thread waits for a GIL while it holds the
//! mutex.

use std::ffi::c_long;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use pyo3_ffi as ffi;

use super::interpreter::{Interpreter, InterpreterHandle};
use super::namespace;
use super::object::{self, Token};
use super::stacks::{self, PythonStack, ThreadKey};
use super::thread_id::native_id;

/// The handle that interrupts one thread of one interpreter. It holds no Python object.
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
    /// Whether an exception was scheduled since the request was armed.
    is_scheduled: Mutex<bool>,
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
            is_scheduled: Mutex::new(false),
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

    /// The application's part has ended: withdraws a scheduled exception, so that later code does
    /// not get it. Called by the thread itself.
    pub(super) fn calm(&self, _attached: Token<'_>) {
        if self.armed.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut is_scheduled = self.is_scheduled.lock();
        self.armed.store(0, Ordering::Release);
        if std::mem::take(&mut *is_scheduled) {
            // SAFETY: attached (token). Null withdraws the exception, if it was not raised yet.
            unsafe {
                ffi::PyThreadState_SetAsyncExc(self.ident as c_long, std::ptr::null_mut());
            }
        }
    }

    /// Whether `thread` is this thread.
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
    /// Python stack as it was right before, if `with_stack`. Waits for the GIL of the interpreter
    /// without a limit: call it on a thread that has no other work and belongs to no interpreter.
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
            (schedule(self, token, number), stack)
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

fn schedule(thread: &Interruption, token: Token<'_>, number: u64) -> bool {
    let found =
        namespace::namespace(token).and_then(|namespace| namespace::find(&namespace, c"Harakiri"));
    let Ok(class) = found else {
        if let Some(error) = object::take_exception(token) {
            tracing::error!("harakiri cannot raise its exception: {}", error.to_text());
        }
        return false;
    };
    let mut is_scheduled = thread.is_scheduled.lock();
    if thread.armed.load(Ordering::Acquire) != number {
        return false;
    }
    // SAFETY: attached (token) to the interpreter of the thread, and the class is of that
    // interpreter; the call takes a reference of its own.
    let found = unsafe { ffi::PyThreadState_SetAsyncExc(thread.ident as c_long, class.as_ptr()) };
    *is_scheduled = found > 0;
    found > 0
}
