//! The thread state of a worker in its one interpreter.
//!
//! [`InterpreterThread`] never leaves the thread that made it (`!Send`), so a thread state is
//! attached only where it was bound (docs/internals/interpreters.md, rules 1 and 3): `PyGILState`,
//! which sqlite3, ctypes and pybind11 use, then finds the right interpreter. Runs on workers only.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3_ffi as ffi;

use super::attached::Attached;
use super::bootstrap;
use super::crash::HandlerStack;
use super::failure;
use super::fork;
use super::interpreter::{self, Interpreter, InterpreterHandle, InterpreterSpec, Isolation};
use super::interpreter_end::{self, Ended};
use super::interruption::Interruption;
use super::load::{self, Loaded};
use super::load_failure::LoadFailure;
use super::namespace;
use super::object::{Raised, Token};
use super::refusal::RefusedExtension;
use super::request::caches::Caches;
use super::runtime::Runtime;
use super::runtime::error::RuntimeError;
use super::target::{AppTarget, TargetKind};
use super::uwsgi;

/// The time that the app's daemon threads have to end when the process exits: enough for a loop
/// that runs Python, and for waits that `waits.py` ends.
const DAEMON_GRACE_AT_EXIT: Duration = Duration::from_millis(200);

/// The least stack of a thread that runs Python, in bytes: CPython's assumption for the main
/// thread. With less, a deep recursion of the app crashes instead of raising RecursionError.
pub const STACK_BYTES_MIN: usize = 8 * 1024 * 1024;

/// The calling OS thread, as one thread of one interpreter.
///
/// It cannot leave its thread:
///
/// ```compile_fail
/// fn must_be_send<T: Send>() {}
/// must_be_send::<singlemalt::python::InterpreterThread>();
/// ```
pub struct InterpreterThread {
    state: NonNull<ffi::PyThreadState>,
    interpreter: Arc<Interpreter>,
    interruption: Arc<Interruption>,
    creator: bool,
    /// Dropped explicitly, attached; leaked where that is not possible.
    caches: ManuallyDrop<Box<Caches>>,
    _handler_stack: HandlerStack,
    over: bool,
    not_send: PhantomData<*mut ()>,
}

/// Detaches when it goes out of scope, also when the work panics.
struct DetachOnDrop;

impl Drop for DetachOnDrop {
    fn drop(&mut self) {
        // SAFETY: made right after this thread attached; the work in between leaves it attached.
        unsafe { ffi::PyEval_SaveThread() };
    }
}

impl InterpreterThread {
    /// Makes the interpreter that `spec` asks for (or a new thread state of the main one) and
    /// prepares it for an app. It belongs to the calling thread from now on, which must not belong
    /// to another one. On return the thread is detached.
    pub fn create(runtime: &Runtime, spec: InterpreterSpec) -> Result<Self, RuntimeError> {
        fork::watch();
        let (state, interpreter) = interpreter::create(runtime, spec)?;
        // SAFETY: attached by `create`; the token does not leave this function.
        let token = unsafe { Token::assume() };
        let prepared = bootstrap::prepare(token, &interpreter)
            .and_then(|()| Caches::new(token, &interpreter, 0))
            .map_err(|Raised| failure::start_error(token));
        // SAFETY: attached; all objects of the block above are gone or in the caches.
        unsafe { ffi::PyEval_SaveThread() };
        match prepared {
            Ok(caches) => Ok(Self {
                state,
                interruption: Interruption::of_this_thread(&interpreter, state),
                interpreter,
                creator: true,
                caches: ManuallyDrop::new(Box::new(caches)),
                _handler_stack: HandlerStack::of_this_thread(),
                over: false,
                not_send: PhantomData,
            }),
            Err(error) => {
                if interpreter.spec.isolation == Isolation::Main {
                    interpreter.is_last_of_main();
                    // SAFETY: this thread's own state, detached, used no more.
                    unsafe { delete(state) };
                } else {
                    // SAFETY: this thread made it a moment ago, is detached, and holds no object of
                    // it.
                    unsafe { interpreter_end::end(&interpreter, state, Instant::now()) };
                }
                Err(error)
            }
        }
    }

    /// Makes the calling thread a further thread of the interpreter; `core` counts from 1 (the
    /// creator is 0).
    ///
    /// # Errors
    /// [`RuntimeError::Gone`] if its creator is ending it, or CPython failed.
    pub fn join(handle: &InterpreterHandle, core: usize) -> Result<Self, RuntimeError> {
        let interpreter = Arc::clone(&handle.0);
        let state = interpreter.enter()?;
        // SAFETY: the state was made on this thread just now and is attached nowhere.
        unsafe { ffi::PyEval_RestoreThread(state.as_ptr()) };
        // SAFETY: attached by the line above; the token does not leave this function.
        let token = unsafe { Token::assume() };
        let prepared = bootstrap::adopt_thread(token, &interpreter, core)
            .and_then(|()| Caches::new(token, &interpreter, core))
            .map_err(|Raised| failure::start_error(token));
        // SAFETY: attached; all objects of the block above are gone or in the caches.
        unsafe { ffi::PyEval_SaveThread() };
        match prepared {
            Ok(caches) => Ok(Self {
                state,
                interruption: Interruption::of_this_thread(&interpreter, state),
                interpreter,
                creator: false,
                caches: ManuallyDrop::new(Box::new(caches)),
                _handler_stack: HandlerStack::of_this_thread(),
                over: false,
                not_send: PhantomData,
            }),
            Err(error) => {
                // SAFETY: this thread's own state, detached, used no more.
                unsafe { delete(state) };
                interpreter.leave();
                Err(error)
            }
        }
    }

    /// The handle that further threads [`join`](Self::join) with.
    #[must_use]
    pub fn handle(&self) -> InterpreterHandle {
        InterpreterHandle(Arc::clone(&self.interpreter))
    }

    /// The handle that interrupts this thread's request.
    #[must_use]
    pub fn interruption(&self) -> Arc<Interruption> {
        Arc::clone(&self.interruption)
    }

    /// Loads the one app of this interpreter: number 0, at the root. See
    /// [`load_app`](Self::load_app).
    pub fn load(&mut self, target: &AppTarget) -> Result<Loaded, LoadFailure> {
        let loaded = self.load_app(0, "", target)?;
        self.all_loaded();
        Ok(loaded)
    }

    /// Loads an app into this interpreter, by the number that
    /// [`Chosen::app`](crate::wsgi::Chosen::app) names it by. The creator calls it for one app
    /// after the other, and then [`all_loaded`](Self::all_loaded); siblings find an app at their
    /// first request for it.
    ///
    /// # Errors
    /// See [`LoadFailure`]. The interpreter can be ended, used for another attempt, or serve the
    /// other apps.
    pub fn load_app(
        &mut self,
        at: usize,
        mountpoint: &str,
        target: &AppTarget,
    ) -> Result<Loaded, LoadFailure> {
        self.attached(|attached| load::load(attached, at, mountpoint, target))
    }

    /// Imports what is imported before the first app, where there is none.
    ///
    /// # Errors
    /// As for [`load_app`](Self::load_app).
    pub fn load_imports(&mut self) -> Result<(), LoadFailure> {
        self.attached(load::load_imports)
    }

    /// Extensions that have refused this interpreter while its apps were loaded.
    #[must_use]
    pub fn refused_extensions(&self) -> Vec<RefusedExtension> {
        self.interpreter.refused()
    }

    /// All apps are loaded: runs `uwsgi.post_fork_hook`.
    pub fn all_loaded(&mut self) {
        self.attached(|attached| {
            uwsgi::post_fork(attached);
            attached.interpreter.set_loaded();
        });
    }

    /// Imports a module, or runs a file as one, and does nothing with it.
    pub fn import(&mut self, target: &TargetKind) -> Result<(), LoadFailure> {
        self.attached(|attached| load::import(attached, target))
    }

    /// Runs a file as Python runs a script, with its name as `sys.argv[0]`. An exception goes to
    /// standard error. Returns the exit code.
    pub fn run_script(&mut self, path: &Path) -> i32 {
        self.attached(|attached| load::run_script(attached, path))
    }

    /// Attaches, does `work`, detaches. Waits for the GIL first; the caller must hold no lock that
    /// a thread with the GIL may wait for.
    pub fn attached<R>(&mut self, work: impl FnOnce(&mut Attached<'_>) -> R) -> R {
        // SAFETY: the state belongs to this thread (`!Send`), which is detached: `&mut self` rules
        // out a second `attached` on the stack, and nothing else attaches this thread.
        unsafe { ffi::PyEval_RestoreThread(self.state.as_ptr()) };
        let _detach = DetachOnDrop;
        debug_assert_eq!(
            current_interpreter_id(),
            self.interpreter.id,
            "attached to another interpreter"
        );
        // SAFETY: attached until `_detach` is dropped, which is after `work`; the lifetime is that
        // of this call.
        let token = unsafe { Token::assume() };
        let done = work(&mut Attached {
            token,
            interpreter: &self.interpreter,
            interruption: &self.interruption,
            caches: &mut self.caches,
        });
        fork::leave_if_child(token);
        done
    }

    /// Ends this thread's part, and the interpreter if this thread made it: the interpreter's own
    /// threads are asked to finish within `grace` (atexit hooks run, daemon threads get
    /// SystemExit); a thread that does not finish parks the interpreter. Joined threads must have
    /// ended theirs within that time too.
    pub fn end(mut self, grace: Duration) -> Ended {
        self.finish(grace, grace)
    }

    /// The same for a process that is about to exit: non-daemon threads have `grace`, but daemon
    /// threads, which end with the process anyway, delay it by at most a fifth of a second.
    pub fn end_at_exit(mut self, grace: Duration) -> Ended {
        self.finish(grace, grace.min(DAEMON_GRACE_AT_EXIT))
    }

    fn finish(&mut self, grace: Duration, daemon_grace: Duration) -> Ended {
        self.over = true;
        if !self.creator {
            self.drop_caches();
            // SAFETY: this thread's own state, detached, used no more (`over`).
            unsafe { delete(self.state) };
            self.interpreter.leave();
            return Ended::Left;
        }
        let until = Instant::now() + grace;
        self.interpreter.close(until);
        let is_main = self.interpreter.spec.isolation == Isolation::Main;
        let has_it_alone = !is_main || self.interpreter.is_last_of_main();
        self.attached(|attached| {
            uwsgi::at_exit(attached);
            if has_it_alone {
                bootstrap::quiesce(attached, until, daemon_grace);
            }
            namespace::forget_apps(attached.token, attached.interpreter);
        });
        self.drop_caches();
        if is_main {
            // SAFETY: this thread's own state, detached, used no more (`over`).
            unsafe { delete(self.state) };
            return Ended::Ended;
        }
        // SAFETY: this thread made it (`creator`), is detached, has quiesced it, and the caches are
        // gone.
        unsafe {
            let until = until.min(Instant::now() + daemon_grace);
            interpreter_end::end(&self.interpreter, self.state, until)
        }
    }

    fn drop_caches(&mut self) {
        // SAFETY: the state belongs to this thread, which is detached here.
        unsafe { ffi::PyEval_RestoreThread(self.state.as_ptr()) };
        let _detach = DetachOnDrop;
        // SAFETY: called once, by `finish` behind `over`; this thread is attached, as the objects
        // in it need.
        unsafe { ManuallyDrop::drop(&mut self.caches) };
    }
}

impl Drop for InterpreterThread {
    /// A thread that is dropped instead of ended (its worker panicked) leaves properly if it
    /// joined; an interpreter that was not quiesced is parked.
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if self.creator && self.interpreter.spec.isolation != Isolation::Main {
            self.interpreter.close(Instant::now());
            interpreter_end::park();
        } else {
            self.finish(Duration::ZERO, Duration::ZERO);
        }
    }
}

/// Clears and deletes the calling thread's own state.
///
/// # Safety
/// `state` was made on this thread, is detached, and is never used again.
unsafe fn delete(state: NonNull<ffi::PyThreadState>) {
    // SAFETY: as the caller promises; between restore and delete the thread is attached, which
    // Clear and DeleteCurrent need.
    unsafe {
        ffi::PyEval_RestoreThread(state.as_ptr());
        ffi::PyThreadState_Clear(state.as_ptr());
        ffi::PyThreadState_DeleteCurrent();
    }
}

pub(super) fn current_interpreter_id() -> i64 {
    // SAFETY: callers are attached.
    unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) }
}
