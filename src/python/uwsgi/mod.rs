//! The `uwsgi` module, built into every interpreter before its app is loaded. It does not exist
//! outside of the server, so an app can tell where it runs.
//!
//! Called by the app, and at the ends of jobs by this room. Functions are C functions with the
//! module as their self. Inputs are `str` or `bytes`, outputs `bytes`, as uWSGI's are on Python 3.
//! docs/python-api.md lists them; a function that is not supported is absent, so `hasattr` is
//! reliable. Runs attached, on any thread of its interpreter; it reaches the process only through
//! the [`backend`]. Read `module` first, then one topic.
//!
//! - `module`: the module's type; `arguments`: the arguments of a call
//! - `backend`: what the module asks of the process
//! - `constants`: attributes
//! - `signals`: signals, timers, cron entries, monitors
//! - `control`: reload, stop, counters, names
//! - `locks`: locks
//! - `cache`: caches
//! - `log`: what the app says about the log line of its request
//! - `spooler`: tasks that are done later, and the run of one
//! - `hooks`: functions that the app assigned

mod arguments;
pub(crate) mod backend;
mod cache;
pub(crate) mod constants;
mod control;
mod hooks;
mod locks;
pub(super) mod log;
pub(crate) mod module;
mod signals;
pub(crate) mod spooler;

use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pyo3_ffi as ffi;

use super::interpreter::Interpreter;
use super::namespace;
use super::object::{Object, Raised, Token};
use super::trampoline::{self, Exception, Method, raise};

use arguments::{Arguments, Called};
use module::{KEY, interpreter_of, module_type, place};

pub(super) use hooks::{after_job, at_exit, post_fork};
pub(super) use signals::run_handler;
pub(super) use spooler::run_task;

/// Functions by their Python names. Each is called with its arguments and answers with an object.
macro_rules! functions {
    ($($room:ident :: $name:ident),* $(,)?) => {
        /// What CPython calls.
        mod entry {
            use super::ffi;
            $(
                /// # Safety
                /// Called by CPython with the module and `count` arguments.
                pub(super) unsafe extern "C" fn $name(
                    this: *mut ffi::PyObject,
                    arguments: *mut *mut ffi::PyObject,
                    count: ffi::Py_ssize_t,
                ) -> *mut ffi::PyObject {
                    // SAFETY: the caller's promise, handed on.
                    unsafe {
                        super::called(this, arguments, count, stringify!($name), super::$room::$name)
                    }
                }
            )*
        }

        static FUNCTIONS: &[(&CStr, Method)] = &[
            $({
                const NAME: &CStr = match CStr::from_bytes_with_nul(
                    concat!(stringify!($name), "\0").as_bytes(),
                ) {
                    Ok(name) => name,
                    Err(_) => panic!("an identifier has no NUL"),
                };
                (NAME, Method::positional(NAME, entry::$name))
            }),*
        ];
    };
}

functions! {
    signals::register_signal, signals::signal, signals::signal_registered,
    signals::add_timer, signals::add_ms_timer, signals::add_rb_timer, signals::add_cron,
    signals::add_file_monitor,
    control::reload, control::stop, control::worker_id, control::mule_id, control::masterpid,
    control::total_requests, control::request_id, control::listen_queue, control::mem,
    control::micros, control::ready, control::workers, control::log, control::alarm, control::setprocname,
    control::set_user_harakiri, control::i_am_the_lord, control::accepting,
    locks::lock, locks::unlock, locks::is_locked,
    cache::cache_get, cache::cache_set, cache::cache_update, cache::cache_del, cache::cache_exists,
    cache::cache_clear, cache::cache_keys, cache::cache_num, cache::cache_inc, cache::cache_dec,
    cache::cache_mul, cache::cache_div,
    log::log_this_request, log::set_logvar, log::get_logvar, log::add_var, log::logsize,
    spooler::i_am_the_spooler, spooler::spooler_dir,
}

/// # Safety
/// Called by CPython with the module as `this`, and `count` arguments.
unsafe fn called(
    this: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    name: &'static str,
    function: for<'py> fn(&Called<'py>) -> Result<Object<'py>, Raised>,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls attached; `this` is the self of the function, so a live module of ours,
    // which keeps its interpreter as long as it lives; `arguments` holds `count` pointers to live
    // objects for the call.
    unsafe {
        trampoline::object(|token| {
            let Some(interpreter) = interpreter_of(this) else {
                let text = "the uwsgi module's interpreter has ended";
                return Err(raise(token, Exception::Runtime, text));
            };
            let arguments = Arguments::new(token, name, arguments, count);
            function(&Called {
                token,
                interpreter,
                arguments,
            })
        })
    }
}

/// Makes the module for the attached interpreter and puts it into `sys.modules`.
pub(super) fn install(token: Token<'_>, interpreter: &Arc<Interpreter>) -> Result<(), Raised> {
    let module = module_type(token)?.call([&Object::text(token, "uwsgi")?])?;
    // SAFETY: `module` is a new instance of the type that has this place.
    unsafe { place(module.as_ptr()) }.store(
        Arc::into_raw(Arc::clone(interpreter)).cast_mut(),
        Ordering::Release,
    );
    // SAFETY: the module is alive, and its dict with it; a reference is taken at once. Attached
    // (token).
    let dict = unsafe { Object::from_borrowed(token, ffi::PyModule_GetDict(module.as_ptr()))? };
    for (name, method) in FUNCTIONS {
        // SAFETY: the module is alive; each function takes a reference to it.
        let function = unsafe { trampoline::function(token, method, module.as_ptr())? };
        dict.set_item(name, &function)?;
    }
    spooler::install(&module, &dict, interpreter)?;
    constants::set(&dict, interpreter)?;
    let missing = namespace::find(&namespace::namespace(token)?, c"missing_from_uwsgi")?;
    dict.set_item(c"__getattr__", &missing)?;
    let harakiri = namespace::find(&namespace::namespace(token)?, c"Harakiri")?;
    dict.set_item(c"Harakiri", &harakiri)?;
    let handlers = Object::dict(token)?;
    namespace::keep(signals::KEY, &handlers)?;
    namespace::keep(KEY, &module)?;
    if !interpreter.spec.has_uwsgi_module {
        return Ok(());
    }
    // SAFETY: attached (token); sys.modules is borrowed from the interpreter and a reference is
    // taken at once.
    let modules = unsafe { Object::from_borrowed(token, ffi::PyImport_GetModuleDict())? };
    modules.set_item(c"uwsgi", &module)
}
