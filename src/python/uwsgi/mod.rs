//! The `uwsgi` module, built into every interpreter before its app is loaded; outside of the server
//! it does not exist, which is how apps find out where they run.
//!
//! Its type is a kind of module that knows its interpreter, and notices when a hook is assigned.
//! Functions are C functions with the module as their self. Inputs are `str` or `bytes`, outputs
//! `bytes`, as uWSGI's are on Python 3. docs/python-api.md lists what there is; what there is not
//! is absent, so that `hasattr` tells the truth. Runs attached, on any thread of its interpreter.
//!
//! - `arguments`: what a function was called with
//! - `constants`: attributes
//! - `signals`: signals, timers, cron entries, monitors
//! - `control`: reload, stop, counters, names
//! - `locks`: locks
//! - `hooks`: what the app assigned to be called

mod arguments;
pub(crate) mod backend;
mod constants;
mod control;
mod hooks;
mod locks;
mod signals;

use std::ffi::{CStr, c_int};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3_ffi as ffi;

use super::interpreter::Interpreter;
use super::object::{Object, Raised, Token};
use super::trampoline::{self, Exception, Method, raise};

use arguments::Arguments;

pub(super) use hooks::{after_job, at_exit, post_fork};
pub(super) use signals::run_handler;

/// The name under which the module hangs in the interpreter's dict, whatever the app does to
/// sys.modules.
const KEY: &CStr = c"singlemalt.uwsgi";

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
    control::set_user_harakiri, control::i_am_the_spooler, control::i_am_the_lord, control::accepting,
    locks::lock, locks::unlock, locks::is_locked,
}

/// One call of a function of the module.
struct Called<'py> {
    token: Token<'py>,
    interpreter: &'py Interpreter,
    arguments: Arguments<'py>,
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
    constants::set(&dict, interpreter)?;
    let harakiri = super::bootstrap::find(&super::bootstrap::namespace(token)?, c"Harakiri")?;
    dict.set_item(c"Harakiri", &harakiri)?;
    let handlers = Object::dict(token)?;
    super::bootstrap::keep(signals::KEY, &handlers)?;
    super::bootstrap::keep(KEY, &module)?;
    // SAFETY: attached (token); sys.modules is borrowed from the interpreter and a reference is
    // taken at once.
    let modules = unsafe { Object::from_borrowed(token, ffi::PyImport_GetModuleDict())? };
    modules.set_item(c"uwsgi", &module)
}

/// An app has been loaded: `uwsgi.applications`, by its mountpoint in uWSGI's spelling.
pub(super) fn note_application(mountpoint: &str, app: &Object<'_>) -> Result<(), Raised> {
    let token = app.token();
    let Some(module) = module(token)? else {
        return Ok(());
    };
    // The app may have put something of its own there.
    match module.attribute_if_any(c"applications")? {
        // SAFETY: the object is alive; only its type is looked at.
        Some(all) if unsafe { ffi::PyDict_CheckExact(all.as_ptr()) } != 0 => {
            all.set(&Object::text(token, mountpoint)?, app)
        }
        _ => Ok(()),
    }
}

/// The interpreter that the calling thread is attached to.
pub(super) fn own_interpreter(token: Token<'_>) -> Result<Option<Arc<Interpreter>>, Raised> {
    let Some(module) = module(token)? else {
        return Ok(None);
    };
    // SAFETY: a live module of ours, so its pointer came out of an Arc, of which one more is
    // counted before the module can go.
    Ok(unsafe {
        interpreter_of(module.as_ptr()).map(|interpreter| {
            let interpreter = std::ptr::from_ref(interpreter);
            Arc::increment_strong_count(interpreter);
            Arc::from_raw(interpreter)
        })
    })
}

/// The module of the attached interpreter.
fn module(token: Token<'_>) -> Result<Option<Object<'_>>, Raised> {
    super::bootstrap::kept(token, KEY)
}

fn module_type(token: Token<'_>) -> Result<Object<'_>, Raised> {
    let mut slots = [
        ffi::PyType_Slot {
            slot: ffi::Py_tp_setattro,
            pfunc: set_attribute as *mut std::ffi::c_void,
        },
        ffi::PyType_Slot {
            slot: ffi::Py_tp_finalize,
            pfunc: finalize as *mut std::ffi::c_void,
        },
        ffi::PyType_Slot {
            slot: 0,
            pfunc: std::ptr::null_mut(),
        },
    ];
    let mut spec = ffi::PyType_Spec {
        name: c"singlemalt.UwsgiModule".as_ptr(),
        basicsize: (offset() + size_of::<AtomicPtr<Interpreter>>()) as c_int,
        itemsize: 0,
        flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_IMMUTABLETYPE) as std::ffi::c_uint,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: attached (token); spec and slots are complete, the name is static; the base is an
    // immortal static type.
    unsafe {
        Object::from_new(
            token,
            ffi::PyType_FromSpecWithBases(&raw mut spec, (&raw mut ffi::PyModule_Type).cast()),
        )
    }
}

/// Where our pointer stands in a module: behind what CPython keeps in one.
fn offset() -> usize {
    // SAFETY: the size of a static type does not change.
    let module = unsafe { ffi::PyModule_Type.tp_basicsize } as usize;
    module.next_multiple_of(align_of::<AtomicPtr<Interpreter>>())
}

/// # Safety
/// `module` is an instance of [`module_type`] that outlives the result.
unsafe fn place<'a>(module: *mut ffi::PyObject) -> &'a AtomicPtr<Interpreter> {
    // SAFETY: instances are as large as the spec says, and zeroed when made: a null pointer.
    unsafe { &*module.cast::<u8>().add(offset()).cast() }
}

/// # Safety
/// As [`place`]; the module must not be finalized while the result is used.
unsafe fn interpreter_of<'a>(module: *mut ffi::PyObject) -> Option<&'a Interpreter> {
    // SAFETY: the pointer is null, or what `install` took out of an Arc and `finalize` has not
    // given back.
    unsafe { place(module).load(Ordering::Acquire).as_ref() }
}

/// Lets go of the interpreter when the module goes.
unsafe extern "C" fn finalize(module: *mut ffi::PyObject) {
    // SAFETY: CPython finalizes an instance of the type once; nobody calls its functions any more,
    // since they hold it.
    unsafe {
        let interpreter = place(module).swap(std::ptr::null_mut(), Ordering::AcqRel);
        if !interpreter.is_null() {
            drop(Arc::from_raw(interpreter.cast_const()));
        }
    }
}

/// `uwsgi.name = value`: as in any module; and a hook that has to be called after each request is
/// noted, so that requests need not look for one.
unsafe extern "C" fn set_attribute(
    module: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: CPython calls attached, with a live module of ours and a live name; `value` is null
    // for `del`.
    unsafe {
        trampoline::enter(|token| {
            if ffi::PyObject_GenericSetAttr(module, name, value) != 0 {
                return Err(Raised);
            }
            let is_hook = Object::from_borrowed(token, name)?.to_text() == "after_req_hook";
            if is_hook && let Some(interpreter) = interpreter_of(module) {
                let is_set = !value.is_null() && value != ffi::Py_None();
                interpreter.set_request_hook(is_set);
            }
            Ok(0)
        })
    }
}
