//! The Python source that prepares an interpreter, and the calls into it.
//!
//! The sources are embedded, and executed once per interpreter into its private namespace
//! (`namespace`). Runs on workers, attached.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3_ffi as ffi;

use super::attached::Attached;
use super::crash;
use super::environ;
use super::failure;
use super::fork;
use super::gil;
use super::interpreter::Role;
use super::interpreter::{Interpreter, Isolation};
use super::namespace::{find, interpreter_dict, namespace};
use super::object::{self, Object, Raised, Token, detached};
use super::refusal::RefusedExtension;
use super::request::caches;
use super::runtime::hosted::Hosted;
use super::runtime::{Runtime, code, environment};
use super::stacks;
use super::trampoline::{self, Method};
use super::uwsgi;
use super::waits::functions;

/// The texts of `warn_once`.
static WARNINGS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// Further ones are dropped: they are made of what an app does.
const WARNINGS_MAX: usize = 1000;

static EMBEDDED_CODE: Method = Method::one(c"embedded_code", embedded_code);
static EMIT: Method = Method::one(c"emit", emit);
static NOTE_REFUSAL: Method = Method::one(c"note_refusal", note_refusal);
static NOTE_GIL: Method = Method::one(c"note_gil", note_gil);
static EXPECT_REFUSAL: Method = Method::none(c"expect_refusal", expect_refusal);
static WARN_ONCE: Method = Method::one(c"warn_once", warn_once);
static INTERRUPT: Method = Method::one(c"interrupt", interrupt);

/// The code of a module of ours, by its name.
unsafe extern "C" fn embedded_code(
    _self: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython with a live argument.
    unsafe {
        trampoline::object(|token| {
            let name = Object::from_borrowed(token, name)?.to_text();
            code::module(token, &name).unwrap_or_else(|| {
                Err(trampoline::raise(
                    token,
                    trampoline::Exception::Value,
                    &format!("there is no built-in module {name}"),
                ))
            })
        })
    }
}

/// Text that the app wrote to `wsgi.errors`.
unsafe extern "C" fn emit(
    _self: *mut ffi::PyObject,
    text: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython with a live argument.
    unsafe {
        trampoline::object(|token| {
            let text = Object::from_borrowed(token, text)?.to_text();
            // The reader of the log may be slow; other threads need not wait for it.
            detached(token, || tracing::info!(target: "app.errors", "{text}"));
            Ok(Object::none(token))
        })
    }
}

/// A warning that is logged once, however many interpreters give it.
unsafe extern "C" fn warn_once(
    _self: *mut ffi::PyObject,
    text: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython with a live argument.
    unsafe {
        trampoline::object(|token| {
            let text = Object::from_borrowed(token, text)?.to_text();
            detached(token, || {
                let mut given = WARNINGS.lock();
                let is_new = given.len() < WARNINGS_MAX && given.insert(text.clone());
                drop(given);
                if is_new {
                    tracing::warn!(target: "app", "{text}");
                }
            });
            Ok(Object::none(token))
        })
    }
}

/// An extension has refused the interpreter: the facts, as texts.
unsafe extern "C" fn note_refusal(
    _self: *mut ffi::PyObject,
    facts: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython with a live argument.
    unsafe {
        trampoline::object(|token| {
            let facts = Object::from_borrowed(token, facts)?.to_texts()?;
            let interpreter = uwsgi::module::own_interpreter(token)?;
            // Files are read.
            detached(token, || {
                let refused = RefusedExtension::from_facts(facts);
                if let (Some(interpreter), Some(refused)) = (interpreter, refused) {
                    interpreter.note_refusal(refused);
                }
            });
            Ok(Object::none(token))
        })
    }
}

/// The GIL of a free-threaded Python is on. The facts of the import that has turned it on, as
/// `note_refusal` takes them, or an empty list: it was on from the start.
unsafe extern "C" fn note_gil(
    _self: *mut ffi::PyObject,
    facts: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython with a live argument.
    unsafe {
        trampoline::object(|token| {
            let facts = Object::from_borrowed(token, facts)?.to_texts()?;
            let interpreter = uwsgi::module::own_interpreter(token)?;
            // Files are read.
            detached(token, || {
                let extension = RefusedExtension::from_facts(facts).map(|one| one.to_string());
                gil::note(extension.clone());
                if let (Some(interpreter), Some(extension)) = (interpreter, extension) {
                    let is_loading = interpreter.is_loading();
                    let backend = &interpreter.spec.backend.0;
                    backend.gil_turned_on(&extension, is_loading);
                }
            });
            Ok(Object::none(token))
        })
    }
}

/// An extension refuses the interpreter, and its exception is on its way.
unsafe extern "C" fn expect_refusal(
    _self: *mut ffi::PyObject,
    _none: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython, without arguments.
    unsafe {
        trampoline::object(|token| {
            if let Some(interpreter) = uwsgi::module::own_interpreter(token)? {
                interpreter.expect_refusals();
            }
            Ok(Object::none(token))
        })
    }
}

/// Raises SystemExit in the thread of this interpreter that has the ident.
unsafe extern "C" fn interrupt(
    _self: *mut ffi::PyObject,
    ident: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython with a live argument. SetAsyncExc looks at the current
    // interpreter's threads only, and SystemExit is the same static type in all of them.
    unsafe {
        trampoline::object(|token| {
            let ident = Object::from_borrowed(token, ident)?.to_u64()?;
            let found =
                ffi::PyThreadState_SetAsyncExc(ident as std::ffi::c_long, ffi::PyExc_SystemExit);
            Object::boolean(token, found > 0)
        })
    }
}

/// Prepares a new interpreter, or the main one once more, on the thread that made it.
pub(super) fn prepare(token: Token<'_>, interpreter: &Arc<Interpreter>) -> Result<(), Raised> {
    let dict = interpreter_dict(token)?;
    let known = dict.item(c"singlemalt")?;
    let is_new = known.is_none();
    let namespace = match known {
        Some(namespace) => namespace,
        None => {
            let namespace = execute(token)?;
            dict.set_item(c"singlemalt", &namespace)?;
            namespace
        }
    };
    if let Some(hosted) = Runtime::hosted() {
        undo_script(token, &namespace, hosted)?;
    }
    let python_path: Vec<_> = interpreter
        .spec
        .python_path
        .iter()
        .map(|path| path.to_string_lossy())
        .collect();
    let python_path = Object::list_of_text(token, &python_path)?;
    let isolation = interpreter.spec.isolation;
    let guard = Object::boolean(token, isolation != Isolation::Main)?;
    let twins = Object::boolean(token, isolation == Isolation::OwnGil)?;
    let executable = match &interpreter.spec.sys_executable {
        Some(path) => Object::text(token, &path.to_string_lossy())?,
        None => Object::none(token),
    };
    find(&namespace, c"prepare")?.call([&python_path, &guard, &twins, &executable])?;
    if interpreter.free_threaded {
        find(&namespace, c"watch_gil")?.call([])?;
    }
    let identity = match interpreter.identity() {
        Some(identity) => Object::text(token, &identity)?,
        None => Object::none(token),
    };
    find(&namespace, c"apply_shims")?.call([&identity])?;
    if is_new {
        environ::begin(token, &interpreter.spec.environment)?;
    }
    uwsgi::install(token, interpreter)?;
    adopt_thread(token, interpreter, 0)
}

/// Python was started for a script: this interpreter is to look as if it was not.
fn undo_script(token: Token<'_>, namespace: &Object<'_>, hosted: &Hosted) -> Result<(), Raised> {
    let argv = Object::list_of_text(token, &hosted.argv)?;
    let folder = match &hosted.script_folder {
        Some(folder) => Object::text(token, folder)?,
        None => Object::none(token),
    };
    let packages: Vec<_> = hosted
        .packages
        .iter()
        .map(|path| path.to_string_lossy())
        .collect();
    let packages = Object::list_of_text(token, &packages)?;
    let assigns = Object::boolean(token, environment::ASSIGNS)?;
    find(namespace, c"undo_script")?
        .call([&argv, &folder, &packages, &assigns])
        .map(drop)
}

/// Executes the embedded sources in a new namespace.
fn execute(token: Token<'_>) -> Result<Object<'_>, Raised> {
    let namespace = Object::dict(token)?;
    namespace.set_item(c"__name__", &Object::text(token, "singlemalt_bootstrap")?)?;
    // SAFETY: attached (token); the builtins are borrowed from the interpreter and a reference is
    // taken at once.
    let builtins = unsafe { Object::from_borrowed(token, ffi::PyEval_GetBuiltins())? };
    namespace.set_item(c"__builtins__", &builtins)?;
    for (name, method) in [
        (c"emit", &EMIT),
        (c"interrupt", &INTERRUPT),
        (c"warn_once", &WARN_ONCE),
        (c"expect_refusal", &EXPECT_REFUSAL),
        (c"note_refusal", &NOTE_REFUSAL),
        (c"note_gil", &NOTE_GIL),
        (c"embedded_code", &EMBEDDED_CODE),
        (c"own_frames", &stacks::OWN_FRAMES),
        (c"is_child", &fork::IN_CHILD),
        (c"note_exit", &crash::NOTE_EXIT),
        (c"interruptible_sleep", &functions::INTERRUPTIBLE_SLEEP),
        (c"built_in", &functions::BUILT_IN),
        (c"wake_descriptor", &functions::WAKE_DESCRIPTOR),
        (c"end_waits", &functions::END_WAITS),
        (c"end_reads", &functions::END_READS),
        (c"nudge", &functions::NUDGE),
        (c"assign_variable", &environ::ASSIGN_VARIABLE),
    ] {
        // SAFETY: the function has no self.
        let function = unsafe { trampoline::function(token, method, std::ptr::null_mut())? };
        namespace.set_item(name, &function)?;
    }
    let Some(compile) = builtins.item(c"compile")? else {
        let text = "there is no compile among the built-ins";
        return Err(trampoline::raise(
            token,
            trampoline::Exception::Runtime,
            text,
        ));
    };
    // SAFETY: `compile` is alive, and its replacement takes a reference to it.
    let compile = unsafe { trampoline::function(token, &code::COMPILE, compile.as_ptr())? };
    namespace.set_item(c"compile_module", &compile)?;
    for (name, kind) in caches::types(token)? {
        namespace.set_item(name, &kind)?;
    }
    for code in code::sources(token) {
        let code = code?;
        // SAFETY: `code` is a code object and the namespace a dict, both alive; attached (token).
        unsafe {
            Object::from_new(
                token,
                ffi::PyEval_EvalCode(code.as_ptr(), namespace.as_ptr(), namespace.as_ptr()),
            )?;
        }
    }
    Ok(namespace)
}

/// Registers the calling thread with Python's `threading` as a non-daemon thread.
pub(super) fn adopt_thread(
    token: Token<'_>,
    interpreter: &Interpreter,
    core: usize,
) -> Result<(), Raised> {
    let name = match interpreter.spec.role {
        Role::Worker => format!("uWSGIWorker{}Core{core}", interpreter.spec.worker_id),
        Role::Spooler(number) => format!("uWSGISpooler{number}"),
    };
    let name = Object::text(token, &name)?;
    let state = Object::int(token, stacks::own_state(token))?;
    find(&namespace(token)?, c"adopt_thread")?
        .call([&name, &state])
        .map(drop)
}

/// The thread has done a job: tells of the extensions that have refused in it, if their exceptions
/// have not told by their end.
pub(super) fn judge_refusals(token: Token<'_>, interpreter: &Interpreter) {
    if !interpreter.take_expected_refusals() {
        return;
    }
    let waiting = namespace(token)
        .and_then(|namespace| find(&namespace, c"judge_pending")?.call([]))
        .and_then(|waiting| waiting.to_u64());
    match waiting {
        Ok(0) => {}
        Ok(_) => interpreter.expect_refusals(),
        Err(Raised) => drop(object::take_exception(token)),
    }
}

/// Asks the interpreter's own threads to finish, runs its exit hooks, flushes its streams. Daemon
/// threads, which get SystemExit, are waited for no longer than `daemon_grace`. Returns how many of
/// the threads that Python knows are left.
pub(super) fn quiesce(
    attached: &mut Attached<'_>,
    until: Instant,
    daemon_grace: Duration,
) -> usize {
    let token = attached.token;
    let number = |time: Duration| {
        // SAFETY: attached (token).
        unsafe { Object::from_new(token, ffi::PyFloat_FromDouble(time.as_secs_f64())) }
    };
    let left = number(until.saturating_duration_since(Instant::now()))
        .and_then(|seconds| {
            find(&namespace(token)?, c"quiesce")?.call([&seconds, &number(daemon_grace)?])
        })
        .and_then(|left| left.to_u64());
    match left {
        Ok(left) => usize::try_from(left).unwrap_or(usize::MAX),
        Err(Raised) => {
            let error = failure::start_error(token);
            tracing::error!(
                target: "python",
                "asking an interpreter's threads to finish failed: {error}"
            );
            usize::MAX
        }
    }
}
