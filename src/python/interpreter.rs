//! One interpreter: what it is asked to be, how it is made, and which threads belong to it.
//!
//! Holds rule 2 of docs/internals/interpreters.md: one OS thread makes and ends an interpreter, one
//! interpreter at a time in the process. `interpreter_end` ends it. Runs on workers. Nothing in this
//! file keeps a Python object.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use pyo3_ffi as ffi;

use super::object::Token;
use super::refusal::RefusedExtension;
use super::runtime::arenas;
use super::runtime::environment::Environment;
use super::runtime::error::RuntimeError;
use super::runtime::{self, Runtime};
use super::target::Import;
use super::thread_id::native_id;
use super::uwsgi::backend::BackendRef;
use super::waits::Waits;
use crate::wsgi::environ::ServerFacts;

/// How an interpreter is isolated from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// The main interpreter itself: no subinterpreter, any number of threads. Every extension
    /// module works.
    Main,
    /// A subinterpreter with a GIL and an allocator of its own. CPython 3.13 and later.
    OwnGil,
    /// A subinterpreter under the main interpreter's GIL: nothing runs in parallel.
    SharedGil,
}

impl Isolation {
    /// The word of the option (`own-gil`), and of every message.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::OwnGil => "own-gil",
            Self::SharedGil => "shared-gil",
        }
    }
}

/// What runs in an interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Requests and signals.
    Worker,
    /// Tasks; counted from 1.
    Spooler(usize),
}

/// What a worker asks for when it creates its interpreter.
#[derive(Debug, Clone)]
pub struct InterpreterSpec {
    /// How it is isolated.
    pub isolation: Isolation,
    /// What runs in it.
    pub role: Role,
    /// From 1, as in uWSGI; no other interpreter has it. Threads are named `uWSGIWorker1Core0`.
    pub worker_id: usize,
    /// Goes in front of `sys.path`, behind the working directory.
    pub python_path: Vec<PathBuf>,
    /// The listeners, in the order by which [`Call::listener`](super::Call::listener) counts.
    pub listeners: Vec<ServerFacts>,
    /// `wsgi.multithread`: more than one thread runs the app in this interpreter.
    pub multithread: bool,
    /// `wsgi.multiprocess`: more than one interpreter runs the app; they share no module state.
    pub multiprocess: bool,
    /// Refuse `str` where PEP 3333 wants `bytes` (`--wsgi-strict`).
    pub strict: bool,
    /// Take any object with a buffer where PEP 3333 wants `bytes` (`--wsgi-accept-buffer`).
    pub accept_buffer: bool,
    /// `write()` returns as ever when the client is gone (`--disable-write-exception`).
    pub quiet_writes: bool,
    /// Whether the environ has `wsgi.file_wrapper`.
    pub file_wrapper: bool,
    /// Python files that are imported before anything else; the `init()` of each is called once in
    /// a generation.
    pub plugins: Vec<PathBuf>,
    /// Imported, in order, before the first app is loaded (`--pymodule-alias`, `--shared-import`,
    /// `--import`). A failure is logged, and the next one is imported.
    pub imports: Vec<Import>,
    /// `sys.executable`, if not what Python found (`--py-sys-executable`).
    pub sys_executable: Option<PathBuf>,
    /// Clients see tracebacks (`--catch-exceptions`).
    pub catch_exceptions: bool,
    /// What the application finds in `os.environ`.
    pub environment: Environment,
    /// The `uwsgi` module can be imported (not with `--no-uwsgi-module`).
    pub has_uwsgi_module: bool,
    /// What answers the `uwsgi` module.
    pub backend: BackendRef,
}

/// An interpreter that further threads may join. It holds no Python object, only the address of the
/// interpreter and whether it may still be entered.
#[derive(Debug, Clone)]
pub struct InterpreterHandle(pub(super) Arc<Interpreter>);

impl InterpreterHandle {
    /// CPython's number of this interpreter; the main one is 0.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.0.id
    }

    /// How it is isolated.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.0.spec.isolation
    }
}

/// What all threads of one interpreter know about it.
#[derive(Debug)]
pub(super) struct Interpreter {
    /// Counts the calls of `create` in this process. It is part of keys in the interpreter's dict,
    /// since `create` can run more than once for the main interpreter.
    pub(super) serial: u64,
    /// See [`take_identity`]; 0 for the main interpreter.
    identity: usize,
    pub(super) id: i64,
    /// The address of its PyInterpreterState. Valid while `members` is open.
    pub(super) address: usize,
    pub(super) spec: InterpreterSpec,
    pub(super) free_threaded: bool,
    /// The system's id of the thread that made it; 0 where none is known.
    pub(super) creator_id: u32,
    /// Whether the warning about an app that answers with `str` was logged.
    warned_of_str: AtomicBool,
    warned_of_chunks: AtomicBool,
    /// Work to do after a job, in one word, so that a job costs one load: bit 0 is set if there is
    /// an `after_req_hook`, bit 1 if an extension has refused since the last job, the rest counts
    /// locks that threads of this interpreter hold.
    after_job: AtomicUsize,
    /// Whether the app is not loaded yet.
    loading: AtomicBool,
    /// Extensions that have refused it.
    refused: Mutex<Vec<RefusedExtension>>,
    /// A thread reads the stacks, or waits for the GIL to do so.
    is_looked_at: AtomicBool,
    members: Mutex<Members>,
    left: Condvar,
    pub(super) waits: Waits,
}

#[derive(Debug)]
struct Members {
    /// Whether threads may still join.
    open: bool,
    /// Threads that joined and have not left; the creator is not counted.
    siblings: usize,
}

/// Held while an interpreter is made or ended. No thread waits for it attached.
pub(super) static LIFECYCLE: Mutex<()> = Mutex::new(());
static SERIAL: AtomicU64 = AtomicU64::new(0);
/// Subinterpreters that have not ended: the worker's number, and which of those with that number.
static IDENTITIES: Mutex<BTreeSet<(usize, usize)>> = Mutex::new(BTreeSet::new());
/// Creators in the main interpreter that have not ended: the last one quiesces it.
static MAIN_CREATORS: AtomicUsize = AtomicUsize::new(0);
/// See `Interpreter::after_job`.
const REQUEST_HOOK: usize = 1;
const REFUSALS: usize = 2;
const ONE_LOCK: usize = 4;
/// How many subinterpreters this process has now, parked ones included.
#[must_use]
pub fn subinterpreter_count() -> usize {
    IDENTITIES.lock().len()
}

/// Bytes in the memory arenas of own-GIL interpreters (CPython 3.12 and 3.13 only, else 0).
#[must_use]
pub fn arena_bytes() -> usize {
    arenas::held_bytes(None)
}

/// The same of one interpreter.
#[must_use]
pub fn arena_bytes_of(handle: &InterpreterHandle) -> usize {
    arenas::held_bytes(Some(handle.0.address))
}

/// Why each setting has its value: docs/internals/interpreters.md, "Settings". `allow_fork` is 0 in
/// every mode: a forked child of a process with subinterpreters aborts. Daemon threads are allowed,
/// since sentry-sdk and newrelic need them; `quiesce` ends them.
fn configuration(isolation: Isolation) -> ffi::PyInterpreterConfig {
    let own = isolation == Isolation::OwnGil;
    ffi::PyInterpreterConfig {
        use_main_obmalloc: (!own).into(),
        allow_fork: 0,
        allow_exec: 0,
        allow_threads: 1,
        allow_daemon_threads: 1,
        check_multi_interp_extensions: own.into(),
        gil: if own {
            ffi::PyInterpreterConfig_OWN_GIL
        } else {
            ffi::PyInterpreterConfig_SHARED_GIL
        },
    }
}

/// Makes the interpreter that `spec` asks for, or a new thread state of the main one. On success
/// this thread is attached.
pub(super) fn create(
    runtime: &Runtime,
    spec: InterpreterSpec,
) -> Result<(NonNull<ffi::PyThreadState>, Arc<Interpreter>), RuntimeError> {
    if runtime.is_free_threaded() && spec.isolation != Isolation::Main {
        let why = "this Python was built without a GIL: it runs threads in parallel by itself; use \
                   --isolation main";
        return Err(RuntimeError::Isolation { why });
    }
    if spec.isolation == Isolation::OwnGil && !runtime.supports_own_gil() {
        let why = "own-gil interpreters do not work on Python 3.12: extension modules that refuse \
                   them crash it, and its datetime cannot be imported. Use --isolation main, or \
                   Python 3.13";
        return Err(RuntimeError::Isolation { why });
    }
    let state = match spec.isolation {
        Isolation::Main => new_state_of_main()?,
        Isolation::OwnGil | Isolation::SharedGil => new_subinterpreter(spec.isolation)?,
    };
    if spec.isolation == Isolation::Main {
        MAIN_CREATORS.fetch_add(1, Ordering::AcqRel);
    }
    // SAFETY: attached, by one of the two arms above.
    let (address, id) = unsafe {
        let interpreter = ffi::PyInterpreterState_Get();
        (
            interpreter as usize,
            ffi::PyInterpreterState_GetID(interpreter),
        )
    };
    let identity = match spec.isolation {
        Isolation::Main => 0,
        Isolation::OwnGil | Isolation::SharedGil => take_identity(spec.worker_id),
    };
    let interpreter = Interpreter {
        identity,
        serial: SERIAL.fetch_add(1, Ordering::Relaxed),
        id,
        address,
        spec,
        free_threaded: runtime.is_free_threaded(),
        creator_id: native_id().unwrap_or(0),
        warned_of_str: AtomicBool::new(false),
        warned_of_chunks: AtomicBool::new(false),
        after_job: AtomicUsize::new(0),
        loading: AtomicBool::new(true),
        refused: Mutex::default(),
        is_looked_at: AtomicBool::new(false),
        members: Mutex::new(Members {
            open: true,
            siblings: 0,
        }),
        left: Condvar::new(),
        waits: Waits::default(),
    };
    Ok((state, Arc::new(interpreter)))
}

fn new_state_of_main() -> Result<NonNull<ffi::PyThreadState>, RuntimeError> {
    // SAFETY: the main interpreter lives for ever; this thread has no thread state yet (one thread,
    // one state), and a new one may be made without being attached.
    let state = unsafe { ffi::PyThreadState_New(ffi::PyInterpreterState_Main()) };
    let state = NonNull::new(state).ok_or_else(|| start_error("a new thread state failed"))?;
    // SAFETY: the state was made on this thread just now and is attached nowhere.
    unsafe { ffi::PyEval_RestoreThread(state.as_ptr()) };
    Ok(state)
}

fn start_error(message: &str) -> RuntimeError {
    RuntimeError::Start {
        doing: "making an interpreter",
        message: message.to_owned(),
    }
}

fn new_subinterpreter(isolation: Isolation) -> Result<NonNull<ffi::PyThreadState>, RuntimeError> {
    let _one_at_a_time = LIFECYCLE.lock();
    let started = Instant::now();
    let configuration = configuration(isolation);
    let mut state = std::ptr::null_mut();
    // SAFETY: Python is running (a `Runtime` exists), this thread has no thread state, and both
    // pointers are valid.
    let mut create =
        || unsafe { ffi::Py_NewInterpreterFromConfig(&raw mut state, &raw const configuration) };
    let status = if isolation == Isolation::OwnGil {
        arenas::noting(create)
    } else {
        create()
    };
    runtime::check_status("making an interpreter", status)?;
    let state = NonNull::new(state).ok_or_else(|| start_error("no thread state came back"))?;
    tracing::debug!(
        "an interpreter was made in {:.1} ms",
        started.elapsed().as_secs_f64() * 1000.0
    );
    Ok(state)
}

/// The lowest number that no other interpreter of this worker has: when one is replaced, both
/// live for a while.
fn take_identity(worker: usize) -> usize {
    let mut taken = IDENTITIES.lock();
    let mut number = 1;
    while !taken.insert((worker, number)) {
        number += 1;
    }
    number
}

impl Interpreter {
    /// It has ended: another interpreter may have its identity.
    pub(super) fn free_identity(&self) {
        let identity = (self.spec.worker_id, self.identity);
        IDENTITIES.lock().remove(&identity);
    }

    /// A name that no other subinterpreter of this process has while it lives: `2`, or `2-2` for
    /// the second one of worker 2. `None` for the main interpreter.
    pub(super) fn identity(&self) -> Option<String> {
        let worker = self.spec.worker_id;
        match self.identity {
            0 => None,
            1 => Some(worker.to_string()),
            number => Some(format!("{worker}-{number}")),
        }
    }

    /// Warns, once, that the app answers with `str` where PEP 3333 wants `bytes`.
    pub(super) fn warn_of_str(&self) {
        if !self.warned_of_str.load(Ordering::Relaxed)
            && !self.warned_of_str.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                target: "app",
                "the app answers with str; it is sent as UTF-8. PEP 3333 wants bytes, and \
                 --wsgi-strict refuses anything else"
            );
        }
    }

    /// Warns, once, that the app sets `Transfer-Encoding`; `place` names the call.
    pub(super) fn warn_of_chunks(&self, place: impl FnOnce() -> String) {
        if !self.warned_of_chunks.load(Ordering::Relaxed)
            && !self.warned_of_chunks.swap(true, Ordering::Relaxed)
        {
            let place = place();
            tracing::warn!(
                target: "app",
                "the app sets Transfer-Encoding in {place}: the framing of a response is the \
                 server's (PEP 3333). Chunks that the app makes are taken off and made anew"
            );
        }
    }

    /// Whether [`after_job`](super::uwsgi::after_job) has work to do.
    pub(super) fn wants_after_job(&self) -> bool {
        self.after_job.load(Ordering::Relaxed) != 0
    }

    /// Whether `uwsgi.after_req_hook` is set.
    pub(super) fn has_request_hook(&self) -> bool {
        self.after_job.load(Ordering::Relaxed) & REQUEST_HOOK != 0
    }

    /// `uwsgi.after_req_hook` was set, or unset.
    pub(super) fn set_request_hook(&self, is_set: bool) {
        if is_set {
            self.after_job.fetch_or(REQUEST_HOOK, Ordering::Relaxed);
        } else {
            self.after_job.fetch_and(!REQUEST_HOOK, Ordering::Relaxed);
        }
    }

    pub(super) fn note_refusal(&self, refused: RefusedExtension) {
        let is_loading = self.is_loading();
        self.spec.backend.0.extension_refused(&refused, is_loading);
        if is_loading {
            self.refused.lock().push(refused);
        }
    }

    /// Whether refusals may wait for the end of a job.
    pub(super) fn take_expected_refusals(&self) -> bool {
        self.after_job.fetch_and(!REFUSALS, Ordering::Relaxed) & REFUSALS != 0
    }

    /// A refusal waits for the end of a job.
    pub(super) fn expect_refusals(&self) {
        self.after_job.fetch_or(REFUSALS, Ordering::Relaxed);
    }

    /// Extensions that have refused it while its apps were loaded.
    pub(super) fn refused(&self) -> Vec<RefusedExtension> {
        self.refused.lock().clone()
    }

    pub(super) fn has_locks(&self) -> bool {
        self.after_job.load(Ordering::Relaxed) >= ONE_LOCK
    }

    pub(super) fn count_lock(&self) {
        self.after_job.fetch_add(ONE_LOCK, Ordering::Relaxed);
    }

    pub(super) fn uncount_locks(&self, count: usize) {
        self.after_job
            .fetch_sub(ONE_LOCK * count, Ordering::Relaxed);
    }

    /// Whether the app is not loaded yet, or being loaded.
    pub(super) fn is_loading(&self) -> bool {
        self.loading.load(Ordering::Relaxed)
    }

    pub(super) fn set_loaded(&self) {
        self.loading.store(false, Ordering::Relaxed);
    }

    /// Lets one thread at a time read the stacks, so that threads waiting for the GIL do not pile
    /// up.
    pub(super) fn begin_look(&self) -> Option<Look<'_>> {
        // Made only on success: dropping a second one would end the first.
        let is_free = !self.is_looked_at.swap(true, Ordering::SeqCst);
        is_free.then(|| Look(self))
    }

    /// Keeps our own threads from entering and leaving, which they do detached, while the result
    /// lives. The caller must not wait for anything meanwhile.
    pub(super) fn keep_members(&self) -> impl Sized {
        self.members.lock()
    }

    pub(super) fn enter(&self) -> Result<NonNull<ffi::PyThreadState>, RuntimeError> {
        let mut members = self.members.lock();
        if !members.open {
            return Err(RuntimeError::Gone);
        }
        // SAFETY: the interpreter is alive while `open` is true, which the lock holds still; a new
        // state may be made detached.
        let state = unsafe { ffi::PyThreadState_New(self.address as *mut ffi::PyInterpreterState) };
        let state = NonNull::new(state).ok_or_else(|| start_error("a new thread state failed"))?;
        members.siblings += 1;
        Ok(state)
    }

    /// Enters with a new thread state, does `work` attached, and leaves. Waits for the GIL without
    /// a limit. The calling thread must not belong to any interpreter.
    pub(super) fn visit<R>(&self, work: impl FnOnce(Token<'_>) -> R) -> Result<R, RuntimeError> {
        struct Visit<'a>(&'a Interpreter, NonNull<ffi::PyThreadState>);
        impl Drop for Visit<'_> {
            fn drop(&mut self) {
                // SAFETY: attached, on the thread that made the state, which is never used again.
                unsafe {
                    ffi::PyThreadState_Clear(self.1.as_ptr());
                    ffi::PyThreadState_DeleteCurrent();
                }
                self.0.leave();
            }
        }
        let state = self.enter()?;
        // SAFETY: the state was made on this thread just now, is attached nowhere, and this thread
        // has no other.
        unsafe { ffi::PyEval_RestoreThread(state.as_ptr()) };
        let _visit = Visit(self, state);
        // SAFETY: attached until `_visit` is dropped, which is after `work`; the lifetime is that
        // of this call.
        Ok(work(unsafe { Token::assume() }))
    }

    /// A sibling has deleted its thread state.
    pub(super) fn leave(&self) {
        self.members.lock().siblings -= 1;
        self.left.notify_all();
    }

    /// Removes a creator of the main interpreter from the count; returns whether it was the last
    /// one.
    pub(super) fn is_last_of_main(&self) -> bool {
        MAIN_CREATORS.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Refuses further threads, and waits for those that joined to leave. Call it detached.
    pub(super) fn close(&self, until: Instant) {
        let mut members = self.members.lock();
        members.open = false;
        while members.siblings > 0 {
            let Some(rest) = until
                .checked_duration_since(Instant::now())
                .filter(|rest| !rest.is_zero())
            else {
                return;
            };
            self.left.wait_for(&mut members, rest);
        }
    }

    /// Thread states in this interpreter besides `own`. This thread must be attached to it.
    pub(super) fn other_states(&self, own: NonNull<ffi::PyThreadState>) -> usize {
        let mut others = 0;
        // SAFETY: attached (the caller's promise), so Python's own threads, which come and go
        // holding the GIL, cannot change the list; ours are kept out by `close`. The interpreter is
        // alive, and the states are only compared.
        unsafe {
            let mut state =
                ffi::PyInterpreterState_ThreadHead(self.address as *mut ffi::PyInterpreterState);
            while !state.is_null() {
                others += usize::from(state != own.as_ptr());
                state = ffi::PyThreadState_Next(state);
            }
        }
        others
    }
}

/// See [`Interpreter::begin_look`]; the look ends when this is dropped.
pub(super) struct Look<'a>(&'a Interpreter);

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.0.is_looked_at.store(false, Ordering::SeqCst);
    }
}
