//! The type of the `uwsgi` module: a kind of module that knows its interpreter, and notices when a
//! hook is assigned. Runs attached, on any thread of its interpreter.

use std::ffi::{CStr, c_int};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3_ffi as ffi;

use crate::python::interpreter::Interpreter;
use crate::python::namespace;
use crate::python::object::{Object, Raised, Token};
use crate::python::trampoline;

/// The module's key in the interpreter's dict, which the app cannot change as it can `sys.modules`.
pub(super) const KEY: &CStr = c"singlemalt.uwsgi";

/// An app has been loaded: `uwsgi.applications`, by its mountpoint in uWSGI's spelling.
pub(crate) fn note_application(mountpoint: &str, app: &Object<'_>) -> Result<(), Raised> {
    let token = app.token();
    let Some(module) = module(token)? else {
        return Ok(());
    };
    // The app may have replaced it.
    match module.attribute_if_any(c"applications")? {
        // SAFETY: the object is alive; only its type is looked at.
        Some(all) if unsafe { ffi::PyDict_CheckExact(all.as_ptr()) } != 0 => {
            all.set(&Object::text(token, mountpoint)?, app)
        }
        _ => Ok(()),
    }
}

/// The interpreter that the calling thread is attached to.
pub(crate) fn own_interpreter(token: Token<'_>) -> Result<Option<Arc<Interpreter>>, Raised> {
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

pub(super) fn module(token: Token<'_>) -> Result<Option<Object<'_>>, Raised> {
    namespace::kept(token, KEY)
}

pub(super) fn module_type(token: Token<'_>) -> Result<Object<'_>, Raised> {
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
pub(super) unsafe fn place<'a>(module: *mut ffi::PyObject) -> &'a AtomicPtr<Interpreter> {
    // SAFETY: instances are as large as the spec says, and zeroed when made: a null pointer.
    unsafe { &*module.cast::<u8>().add(offset()).cast() }
}

/// # Safety
/// As [`place`]; the module must not be finalized while the result is used.
pub(super) unsafe fn interpreter_of<'a>(module: *mut ffi::PyObject) -> Option<&'a Interpreter> {
    // SAFETY: the pointer is null, or what `install` took out of an Arc and `finalize` has not
    // given back.
    unsafe { place(module).load(Ordering::Acquire).as_ref() }
}

unsafe extern "C" fn finalize(module: *mut ffi::PyObject) {
    // SAFETY: CPython finalizes an instance of the type once; its functions hold a reference to it,
    // so none of them can be called any more.
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
