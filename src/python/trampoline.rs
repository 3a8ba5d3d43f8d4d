//! The only way from C into Rust: every `extern "C"` function that CPython calls goes through
//! [`enter`], so no panic unwinds into C. Runs on the thread that Python calls from, attached.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3_ffi as ffi;

use super::object::{Object, Raised, Token};

/// The return value that tells C about an exception.
pub(super) trait FromRaised {
    /// Null, -1, or another error value of the slot.
    fn raised() -> Self;
}

impl FromRaised for *mut ffi::PyObject {
    fn raised() -> Self {
        std::ptr::null_mut()
    }
}

impl FromRaised for std::ffi::c_int {
    fn raised() -> Self {
        -1
    }
}

/// Runs `work` for C: a panic becomes a RuntimeError of the app's request.
///
/// # Safety
/// Called by CPython, so: this thread is attached.
pub(super) unsafe fn enter<R: FromRaised>(work: impl FnOnce(Token<'_>) -> Result<R, Raised>) -> R {
    // SAFETY: CPython calls its callables attached; the token does not outlive this call (work's
    // lifetime is any).
    let token = unsafe { Token::assume() };
    caught(token, || work(token)).unwrap_or_else(|Raised| R::raised())
}

/// Runs `work`; a panic in it becomes a RuntimeError.
pub(super) fn caught<R>(
    token: Token<'_>,
    work: impl FnOnce() -> Result<R, Raised>,
) -> Result<R, Raised> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(raise_panic(token, panic.as_ref())))
}

/// The same for functions that give an object.
///
/// # Safety
/// Called by CPython, so: this thread is attached.
pub(super) unsafe fn object<F>(work: F) -> *mut ffi::PyObject
where
    F: for<'py> FnOnce(Token<'py>) -> Result<Object<'py>, Raised>,
{
    // SAFETY: the caller's promise, handed on.
    unsafe { enter(|token| work(token).map(Object::into_ptr)) }
}

fn raise_panic(token: Token<'_>, panic: &(dyn std::any::Any + Send)) -> Raised {
    let why = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message");
    let text = format!("singlemalt panicked: {why}");
    raise(token, Exception::Runtime, &text)
}

/// The built-in exceptions that this room raises.
#[derive(Debug, Clone, Copy)]
pub(super) enum Exception {
    /// AssertionError
    Assertion,
    /// BrokenPipeError
    BrokenPipe,
    /// OSError
    Os,
    /// OverflowError
    Overflow,
    /// RuntimeError
    Runtime,
    /// SystemError
    System,
    /// TypeError
    Type,
    /// ValueError
    Value,
}

pub(super) fn raise(token: Token<'_>, exception: Exception, text: &str) -> Raised {
    // SAFETY: the built-in exception types are immortal and the same in all interpreters; attached
    // (token), and the text becomes an object of this interpreter.
    unsafe {
        let kind = match exception {
            Exception::Assertion => ffi::PyExc_AssertionError,
            Exception::BrokenPipe => ffi::PyExc_BrokenPipeError,
            Exception::Os => ffi::PyExc_OSError,
            Exception::Overflow => ffi::PyExc_OverflowError,
            Exception::Runtime => ffi::PyExc_RuntimeError,
            Exception::System => ffi::PyExc_SystemError,
            Exception::Type => ffi::PyExc_TypeError,
            Exception::Value => ffi::PyExc_ValueError,
        };
        if let Ok(text) = Object::text(token, text) {
            ffi::PyErr_SetObject(kind, text.as_ptr());
        }
    }
    Raised
}

/// A table of one method for C. It is plain data: no object, nothing to write, the same for all
/// interpreters.
#[repr(transparent)]
pub(super) struct Method(ffi::PyMethodDef);

// SAFETY: CPython only reads a method table; its pointers are to static strings and functions.
unsafe impl Sync for Method {}

impl Method {
    pub(super) const fn one(name: &'static std::ffi::CStr, function: ffi::PyCFunction) -> Self {
        Self(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunction: function,
            },
            ml_flags: ffi::METH_O,
            ml_doc: std::ptr::null(),
        })
    }

    pub(super) const fn none(name: &'static std::ffi::CStr, function: ffi::PyCFunction) -> Self {
        Self(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunction: function,
            },
            ml_flags: ffi::METH_NOARGS,
            ml_doc: std::ptr::null(),
        })
    }

    /// A function of any positional arguments.
    pub(super) const fn positional(
        name: &'static std::ffi::CStr,
        function: ffi::PyCFunctionFast,
    ) -> Self {
        Self(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunctionFast: function,
            },
            ml_flags: ffi::METH_FASTCALL,
            ml_doc: std::ptr::null(),
        })
    }

    /// A function of any positional and keyword arguments.
    pub(super) const fn keywords(
        name: &'static std::ffi::CStr,
        function: ffi::PyCFunctionFastWithKeywords,
    ) -> Self {
        Self(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunctionFastWithKeywords: function,
            },
            ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            ml_doc: std::ptr::null(),
        })
    }

    pub(super) const fn end() -> Self {
        Self(ffi::PyMethodDef::zeroed())
    }

    /// For PyType_Slot and PyCFunction_New, which take it as mutable and do not write.
    pub(super) const fn as_ptr(&'static self) -> *mut ffi::PyMethodDef {
        (&raw const self.0).cast_mut()
    }
}

/// A function object over `method`, with `this` as its self (null: a plain function, printed as
/// `<built-in function x>`).
///
/// # Safety
/// `this` is null or a live object of the attached interpreter.
pub(super) unsafe fn function<'py>(
    token: Token<'py>,
    method: &'static Method,
    this: *mut ffi::PyObject,
) -> Result<Object<'py>, Raised> {
    // SAFETY: the table is static; `this` is the caller's promise; attached (token).
    unsafe { Object::from_new(token, ffi::PyCFunction_New(method.as_ptr(), this)) }
}
