//! The spooler: tasks are added from any thread, and the spooler's threads run the handler
//! `uwsgi.spooler` with them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pyo3_ffi as ffi;

use super::arguments::{Arguments, Called};
use super::module::{interpreter_of, module};
use super::signals;
use crate::python::attached::Attached;
use crate::python::failure;
use crate::python::fork;
use crate::python::interpreter::Interpreter;
use crate::python::interpreter::Role;
use crate::python::object::{self, Object, Raised, Token, detached};
use crate::python::thread_id;
use crate::python::trampoline::{self, Exception, Method, caught, raise};
use crate::python::uwsgi::backend::SpoolTask;

static SPOOL: Method = Method::keywords(c"spool", spool);
static SEND_TO_SPOOLER: Method = Method::keywords(c"send_to_spooler", spool);

/// Only there with a spooler, as in uWSGI.
static FUNCTIONS: [(&std::ffi::CStr, Method); 5] = [
    (
        c"spooler_jobs",
        Method::positional(c"spooler_jobs", entry::spooler_jobs),
    ),
    (
        c"spooler_pid",
        Method::positional(c"spooler_pid", entry::spooler_pid),
    ),
    (
        c"spooler_pids",
        Method::positional(c"spooler_pids", entry::spooler_pids),
    ),
    (
        c"spooler_get_task",
        Method::positional(c"spooler_get_task", entry::spooler_get_task),
    ),
    (
        c"set_spooler_frequency",
        Method::positional(c"set_spooler_frequency", entry::set_spooler_frequency),
    ),
];

/// What CPython calls.
mod entry {
    use super::ffi;

    macro_rules! entries {
        ($($name:ident),*) => {$(
            /// # Safety
            /// Called by CPython with the module and `count` arguments.
            pub(super) unsafe extern "C" fn $name(
                this: *mut ffi::PyObject,
                arguments: *mut *mut ffi::PyObject,
                count: ffi::Py_ssize_t,
            ) -> *mut ffi::PyObject {
                // SAFETY: the caller's promise, handed on.
                unsafe {
                    super::super::called(this, arguments, count, stringify!($name), super::$name)
                }
            }
        )*};
    }

    entries!(
        spooler_jobs,
        spooler_pid,
        spooler_pids,
        spooler_get_task,
        set_spooler_frequency
    );
}

/// Adds the functions to the module.
pub(super) fn install(
    module: &Object<'_>,
    dict: &Object<'_>,
    interpreter: &Interpreter,
) -> Result<(), Raised> {
    if interpreter.spec.backend.0.facts().spoolers.is_empty() {
        return Ok(());
    }
    let both = [(c"spool", &SPOOL), (c"send_to_spooler", &SEND_TO_SPOOLER)];
    let others = FUNCTIONS.iter().map(|(name, method)| (*name, method));
    for (name, method) in both.into_iter().chain(others) {
        // SAFETY: the module is alive; each function takes a reference to it.
        let function = unsafe { trampoline::function(module.token(), method, module.as_ptr())? };
        dict.set_item(name, &function)?;
    }
    Ok(())
}

/// `spool(dict)`, `spool(key=value, ...)`: adds a task. Returns its path.
unsafe extern "C" fn spool(
    this: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython with the module, `count` positional arguments, and one behind them
    // for each of `names`, which is null or a tuple; all of them live for the call.
    unsafe {
        trampoline::object(|token| {
            let Some(interpreter) = interpreter_of(this) else {
                let text = "the uwsgi module's interpreter has ended";
                return Err(raise(token, Exception::Runtime, text));
            };
            let positional = Arguments::new(token, "spool", arguments, count);
            positional.count(0, 1)?;
            let mut task = SpoolTask::default();
            let mut is_empty = true;
            if let Some(dict) = positional.get(0) {
                if ffi::PyDict_Check(dict.as_ptr()) == 0 {
                    return Err(no_dict(token));
                }
                is_empty = false;
                add_items(&mut task, &dict)?;
            }
            let named = if names.is_null() {
                0
            } else {
                ffi::PyTuple_GET_SIZE(names)
            };
            for at in 0..named {
                let key = Object::from_borrowed(token, ffi::PyTuple_GetItem(names, at))?;
                let value = *arguments.offset(count + at);
                let value = Object::from_borrowed(token, value)?;
                is_empty = false;
                add(&mut task, &key, &value)?;
            }
            if is_empty {
                return Err(no_dict(token));
            }
            if fork::is_child() {
                let text = "a process that was made by os.fork() cannot add tasks";
                return Err(raise(token, Exception::Runtime, text));
            }
            let backend = &interpreter.spec.backend.0;
            match detached(token, || backend.spool(task)) {
                Ok(path) => Object::bytes(token, &bytes_of_path(&path)),
                Err(why) => {
                    let text = format!("unable to spool job: {why}");
                    Err(raise(token, Exception::Value, &text))
                }
            }
        })
    }
}

fn no_dict(token: Token<'_>) -> Raised {
    let text = "The argument of spooler callable must be a dictionary";
    raise(token, Exception::Value, text)
}

fn add_items(task: &mut SpoolTask, dict: &Object<'_>) -> Result<(), Raised> {
    let token = dict.token();
    // SAFETY: the dict is alive, and so is the new list of its items; attached (token).
    unsafe {
        let items = Object::from_new(token, ffi::PyDict_Items(dict.as_ptr()))?;
        for at in 0..ffi::PyList_Size(items.as_ptr()) {
            let item = Object::from_new(token, ffi::compat::PyList_GetItemRef(items.as_ptr(), at))?;
            add(task, &item.element(0)?, &item.element(1)?)?;
        }
    }
    Ok(())
}

fn add(task: &mut SpoolTask, key: &Object<'_>, value: &Object<'_>) -> Result<(), Raised> {
    let key = bytes_of(key)?;
    let value = bytes_of(value)?;
    if key == b"body" {
        task.body = value;
    } else {
        task.pairs.push((key, value));
    }
    Ok(())
}

/// The bytes of `bytes` and the like, of a `str`, or of a number's text.
fn bytes_of(object: &Object<'_>) -> Result<Vec<u8>, Raised> {
    let token = object.token();
    // SAFETY: the object is alive; attached (token); the bytes are copied before anything else runs.
    unsafe {
        let pointer = object.as_ptr();
        let bytes = if ffi::PyBytes_Check(pointer) != 0 {
            Object::from_borrowed(token, pointer)?
        } else if ffi::PyUnicode_Check(pointer) != 0 {
            let handler = c"surrogateescape".as_ptr();
            let bytes = ffi::PyUnicode_AsEncodedString(pointer, c"utf-8".as_ptr(), handler);
            Object::from_new(token, bytes)?
        } else if ffi::PyLong_Check(pointer) != 0 || ffi::PyFloat_Check(pointer) != 0 {
            return Ok(object.to_text().into_bytes());
        } else if ffi::PyObject_CheckBuffer(pointer) != 0 {
            Object::from_new(token, ffi::PyObject_Bytes(pointer))?
        } else {
            let text = "spooler callable dictionary must contains only bytes";
            return Err(raise(token, Exception::Value, text));
        };
        let (mut data, mut length) = (std::ptr::null_mut(), 0);
        if ffi::PyBytes_AsStringAndSize(bytes.as_ptr(), &raw mut data, &raw mut length) != 0 {
            return Err(Raised);
        }
        let length = usize::try_from(length).unwrap_or(0);
        Ok(std::slice::from_raw_parts(data.cast::<u8>(), length).to_vec())
    }
}

#[cfg(unix)]
fn bytes_of_path(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(not(unix))]
fn bytes_of_path(path: &Path) -> Vec<u8> {
    path.to_string_lossy().into_owned().into_bytes()
}

/// `spooler_jobs()`: the tasks in the first directory.
pub(super) fn spooler_jobs<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(0, 0)?;
    let backend = &called.interpreter.spec.backend.0;
    let list = Object::list(called.token)?;
    for path in detached(called.token, || backend.spooled()) {
        list.push(&Object::bytes(called.token, &bytes_of_path(&path))?)?;
    }
    Ok(list)
}

/// `spooler_pid()`: this process, which has the spooler's threads.
pub(super) fn spooler_pid<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    Object::int(called.token, std::process::id().into())
}

/// `spooler_pids()`: the same for each directory.
pub(super) fn spooler_pids<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let list = Object::list(called.token)?;
    for _ in &called.interpreter.spec.backend.0.facts().spoolers {
        list.push(&spooler_pid(called)?)?;
    }
    Ok(list)
}

/// `spooler_get_task(path)`: the dict that the handler gets; `None` if there is no such task, or it
/// is being run.
pub(super) fn spooler_get_task<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(1, 1)?;
    let path: PathBuf = signals::path(called.arguments.bytes(0)?);
    let backend = &called.interpreter.spec.backend.0;
    match detached(called.token, || backend.spooled_task(&path)) {
        Some(task) => dict_of(called.token, &path, &task),
        None => Ok(Object::none(called.token)),
    }
}

/// `set_spooler_frequency(seconds)`
pub(super) fn set_spooler_frequency<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(1, 1)?;
    let seconds = called.arguments.seconds(0)?;
    let frequency = Duration::try_from_secs_f64(seconds);
    let frequency = frequency
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| {
            called
                .arguments
                .value_error("the frequency of the spooler is a number of seconds above 0")
        })?;
    let backend = &called.interpreter.spec.backend.0;
    backend.set_spooler_frequency(frequency);
    Object::boolean(called.token, true)
}

fn own_folder(called: &Called<'_>) -> Option<PathBuf> {
    let backend = &called.interpreter.spec.backend.0;
    backend.spooler_folder(thread_id::ident())
}

/// `spooler_dir()`: the directory of the tasks that this thread runs.
pub(super) fn spooler_dir<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    match own_folder(called) {
        Some(path) => Object::bytes(called.token, &bytes_of_path(&path)),
        None => Err(called
            .arguments
            .value_error("This process is not a spooler")),
    }
}

/// `i_am_the_spooler()`: `True`, or `None`.
pub(super) fn i_am_the_spooler<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let is_spooler = matches!(called.interpreter.spec.role, Role::Spooler(_));
    if is_spooler || own_folder(called).is_some() {
        return Object::boolean(called.token, true);
    }
    Ok(Object::none(called.token))
}

/// What the handler gets. As in uWSGI on Python 3, the task's own keys are `bytes`.
fn dict_of<'py>(token: Token<'py>, path: &Path, task: &SpoolTask) -> Result<Object<'py>, Raised> {
    let dict = Object::dict(token)?;
    let name = Object::bytes(token, &bytes_of_path(path))?;
    dict.set_item(c"spooler_task_name", &name)?;
    for (key, value) in &task.pairs {
        dict.set(&Object::bytes(token, key)?, &Object::bytes(token, value)?)?;
    }
    if !task.body.is_empty() {
        dict.set_item(c"body", &Object::bytes(token, &task.body)?)?;
    }
    Ok(dict)
}

/// How the handler ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEnd {
    /// `uwsgi.spooler` is not set in this interpreter.
    NoHandler,
    /// Its number; `None`: it returned something else.
    Returned(Option<i64>),
    /// Its traceback.
    Raised(String),
}

/// Calls the handler. An exception is logged with its traceback.
pub(in crate::python) fn run_task(
    attached: &mut Attached<'_>,
    path: &Path,
    task: &SpoolTask,
) -> TaskEnd {
    let token = attached.token;
    let outcome = caught(token, || {
        let Some(module) = module(token)? else {
            return Ok(TaskEnd::NoHandler);
        };
        let Some(handler) = module
            .attribute_if_any(c"spooler")?
            .filter(|one| !one.is_none())
        else {
            return Ok(TaskEnd::NoHandler);
        };
        let dict = dict_of(token, path, task)?;
        let called = handler.call([&dict]);
        fork::leave_if_child(token);
        called.map(|returned| TaskEnd::Returned(number_in(&returned)))
    });
    outcome.unwrap_or_else(|Raised| {
        let traceback = match object::take_exception(token) {
            Some(error) => failure::describe(&error),
            None => "an error without an exception".to_owned(),
        };
        let traceback = traceback.trim_end().to_owned();
        detached(token, || {
            tracing::error!(
                target: "app",
                "the task {} failed\n{traceback}",
                path.display()
            );
        });
        TaskEnd::Raised(traceback)
    })
}

fn number_in(returned: &Object<'_>) -> Option<i64> {
    // SAFETY: the object is alive; attached (its token). An overflow is cleared on the spot.
    unsafe {
        if ffi::PyLong_Check(returned.as_ptr()) == 0 {
            return None;
        }
        let number = ffi::PyLong_AsLongLong(returned.as_ptr());
        if number == -1 && !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(number)
    }
}
