//! The Python source that prepares an interpreter, and the calls into it.
//!
//! Sources are embedded, executed once per interpreter into a private dict that hangs in the
//! interpreter's own dict (`PyInterpreterState_GetDict`): so it is found again by every thread of
//! that interpreter, by no other one, and it goes when the interpreter goes. Runs on workers,
//! attached.

use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3_ffi as ffi;

use super::interpreter::{Interpreter, Isolation};
use super::object::{Object, Raised, Token};
use super::runtime::code;
use super::stacks;
use super::thread_state::{Attached, detached};
use super::trampoline::{self, Method};

static EMBEDDED_CODE: Method = Method::one(c"embedded_code", embedded_code);
static EMIT: Method = Method::one(c"emit", emit);
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

/// A line that the app wrote to `wsgi.errors`.
unsafe extern "C" fn emit(
    _self: *mut ffi::PyObject,
    line: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython with a live argument.
    unsafe {
        trampoline::object(|token| {
            let line = Object::from_borrowed(token, line)?.to_text();
            // Whoever reads the log may be slow; the other threads need not wait for him.
            detached(token, || tracing::info!(target: "app.stderr", "{line}"));
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

/// The dict of the attached interpreter, in which everything of ours hangs.
fn interpreter_dict(token: Token<'_>) -> Result<Object<'_>, Raised> {
    // SAFETY: attached (token); the dict is borrowed from the interpreter and a reference is taken
    // at once.
    unsafe {
        let dict = ffi::PyInterpreterState_GetDict(ffi::PyInterpreterState_Get());
        Object::from_borrowed(token, dict).map_err(|Raised| {
            trampoline::raise(
                token,
                trampoline::Exception::Runtime,
                "the interpreter has no dict",
            )
        })
    }
}

/// The namespace of the bootstrap in the attached interpreter.
pub(super) fn namespace(token: Token<'_>) -> Result<Object<'_>, Raised> {
    interpreter_dict(token)?
        .item(c"singlemalt")?
        .ok_or_else(|| {
            trampoline::raise(
                token,
                trampoline::Exception::Runtime,
                "this interpreter was not made by singlemalt",
            )
        })
}

/// One of its functions or classes.
pub(super) fn find<'py>(namespace: &Object<'py>, name: &CStr) -> Result<Object<'py>, Raised> {
    namespace.item(name)?.ok_or_else(|| {
        let text = format!("the bootstrap has no {}", name.to_string_lossy());
        trampoline::raise(namespace.token(), trampoline::Exception::Runtime, &text)
    })
}

/// Prepares a new interpreter, or the main one once more, on the thread that made it.
pub(super) fn prepare(token: Token<'_>, interpreter: &Arc<Interpreter>) -> Result<(), Raised> {
    let dict = interpreter_dict(token)?;
    let namespace = match dict.item(c"singlemalt")? {
        Some(namespace) => namespace,
        None => {
            let namespace = execute(token)?;
            dict.set_item(c"singlemalt", &namespace)?;
            namespace
        }
    };
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
    super::uwsgi::install(token, interpreter)?;
    adopt_thread(token, interpreter, 0)
}

/// Executes the compiled sources into a new namespace.
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
        (c"embedded_code", &EMBEDDED_CODE),
        (c"own_frames", &stacks::OWN_FRAMES),
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
    // SAFETY: `compile` is alive, and what it is replaced by calls it.
    let compile = unsafe { trampoline::function(token, &code::COMPILE, compile.as_ptr())? };
    namespace.set_item(c"compile_module", &compile)?;
    for (name, kind) in super::request::caches::types(token)? {
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

/// Makes the calling thread known to Python's `threading` as one that is no daemon.
pub(super) fn adopt_thread(
    token: Token<'_>,
    interpreter: &Interpreter,
    core: usize,
) -> Result<(), Raised> {
    let name = Object::text(
        token,
        &format!("uWSGIWorker{}Core{core}", interpreter.spec.worker_id),
    )?;
    let state = Object::int(token, stacks::own_state(token))?;
    find(&namespace(token)?, c"adopt_thread")?
        .call([&name, &state])
        .map(drop)
}

/// Keeps something of ours in the attached interpreter.
pub(super) fn keep(name: &CStr, object: &Object<'_>) -> Result<(), Raised> {
    interpreter_dict(object.token())?.set_item(name, object)
}

/// What [`keep`] has kept under this name in the attached interpreter.
pub(super) fn kept<'py>(token: Token<'py>, name: &CStr) -> Result<Option<Object<'py>>, Raised> {
    interpreter_dict(token)?.item(name)
}

/// Makes room for the apps that the calling creator is about to load.
pub(super) fn begin_apps(token: Token<'_>, interpreter: &Interpreter) -> Result<(), Raised> {
    interpreter_dict(token)?.set_item(&apps_key(interpreter), &Object::dict(token)?)
}

/// Keeps an app where the siblings of this thread find it by its number.
pub(super) fn keep_app(
    interpreter: &Interpreter,
    at: usize,
    app: &Object<'_>,
) -> Result<(), Raised> {
    match interpreter_dict(app.token())?.item(&apps_key(interpreter))? {
        Some(apps) => apps.set_item(&number_key(at), app),
        None => Ok(()),
    }
}

/// The app of this number in this interpreter, if it has been loaded.
pub(super) fn app<'py>(
    token: Token<'py>,
    interpreter: &Interpreter,
    at: usize,
) -> Result<Option<Object<'py>>, Raised> {
    match interpreter_dict(token)?.item(&apps_key(interpreter))? {
        Some(apps) => apps.item(&number_key(at)),
        None => Ok(None),
    }
}

/// Lets go of the apps. What still uses them has references of its own.
pub(super) fn forget_apps(attached: &Attached<'_>) {
    let token = attached.token;
    let forgotten = interpreter_dict(token).and_then(|dict| {
        let key = apps_key(attached.interpreter);
        if dict.item(&key)?.is_none() {
            return Ok(());
        }
        // SAFETY: the dict is alive; attached (token).
        match unsafe { ffi::PyDict_DelItemString(dict.as_ptr(), key.as_ptr()) } {
            0 => Ok(()),
            _ => Err(Raised),
        }
    });
    if forgotten.is_err() {
        drop(super::object::take_exception(token));
    }
}

/// The apps of one creator, in the interpreter's dict: the main interpreter can be created into
/// more than once.
fn apps_key(interpreter: &Interpreter) -> CString {
    number_key_of("singlemalt.apps.", interpreter.serial)
}

fn number_key(at: usize) -> CString {
    number_key_of("", at as u64)
}

fn number_key_of(prefix: &str, number: u64) -> CString {
    // Words and digits only: there is no NUL in it.
    CString::new(format!("{prefix}{number}")).unwrap_or_default()
}

/// Asks the interpreter's own threads to finish, runs its exit hooks, flushes its streams. Daemon
/// threads, which get SystemExit, are waited for no longer than `daemon_grace`. Returns how many
/// threads that Python knows of are left.
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
            let error = super::failure::start_error(token);
            tracing::error!(target: "python", "asking an interpreter's threads to finish failed: {error}");
            usize::MAX
        }
    }
}
