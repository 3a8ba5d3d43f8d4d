//! The namespace of our Python code in an interpreter, and the objects that all threads of the
//! interpreter share.
//!
//! Both hang in the interpreter's own dict (`PyInterpreterState_GetDict`): every thread of that
//! interpreter finds them, no other interpreter does, and they end with it. Runs on workers,
//! attached.

use std::ffi::{CStr, CString};

use pyo3_ffi as ffi;

use super::interpreter::Interpreter;
use super::object::{self, Object, Raised, Token};
use super::trampoline;

/// The dict of the attached interpreter; all our objects are reachable from it.
pub(super) fn interpreter_dict(token: Token<'_>) -> Result<Object<'_>, Raised> {
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

pub(super) fn find<'py>(namespace: &Object<'py>, name: &CStr) -> Result<Object<'py>, Raised> {
    namespace.item(name)?.ok_or_else(|| {
        let text = format!("the bootstrap has no {}", name.to_string_lossy());
        trampoline::raise(namespace.token(), trampoline::Exception::Runtime, &text)
    })
}

/// Stores an object in the attached interpreter.
pub(super) fn keep(name: &CStr, object: &Object<'_>) -> Result<(), Raised> {
    interpreter_dict(object.token())?.set_item(name, object)
}

/// The object that [`keep`] stored under this name in the attached interpreter.
pub(super) fn kept<'py>(token: Token<'py>, name: &CStr) -> Result<Option<Object<'py>>, Raised> {
    interpreter_dict(token)?.item(name)
}

/// Makes room for the apps that the calling creator is about to load.
pub(super) fn begin_apps(token: Token<'_>, interpreter: &Interpreter) -> Result<(), Raised> {
    interpreter_dict(token)?.set_item(&apps_key(interpreter), &Object::dict(token)?)
}

/// Stores an app where the siblings of this thread find it by its number.
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

pub(super) fn forget_apps(token: Token<'_>, interpreter: &Interpreter) {
    let forgotten = interpreter_dict(token).and_then(|dict| {
        let key = apps_key(interpreter);
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
        drop(object::take_exception(token));
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
    // Letters and digits only, so it has no NUL.
    CString::new(format!("{prefix}{number}")).unwrap_or_default()
}
