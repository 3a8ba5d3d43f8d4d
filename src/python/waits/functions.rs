//! The functions that Python code in an interpreter calls for its waits. Runs on any thread of the
//! interpreter, attached.

#[cfg(all(Py_3_13, not(windows)))]
use std::ffi::c_char;
use std::ffi::c_int;
use std::time::{Duration, Instant};

use pyo3_ffi as ffi;

use super::system;
use crate::python::object::{self, Object, Raised, Token, detached};
use crate::python::trampoline::{self, Method};
use crate::python::uwsgi::module::own_interpreter;

pub(in crate::python) static INTERRUPTIBLE_SLEEP: Method =
    Method::one(c"interruptible_sleep", interruptible_sleep);
pub(in crate::python) static BUILT_IN: Method = Method::one(c"built_in", built_in);
pub(in crate::python) static WAKE_DESCRIPTOR: Method =
    Method::none(c"wake_descriptor", wake_descriptor);
pub(in crate::python) static END_WAITS: Method = Method::none(c"end_waits", end_waits);
pub(in crate::python) static END_READS: Method = Method::one(c"end_reads", end_reads);
pub(in crate::python) static NUDGE: Method = Method::one(c"nudge", nudge);
static SLEEP: Method = Method::one(c"sleep", sleep);
static SELECT: Method = Method::keywords(c"select", forward);
static POLL: Method = Method::keywords(c"poll", forward);
static START_NEW_THREAD: Method = Method::keywords(c"start_new_thread", forward);

/// A shorter sleep is Python's own: it ends by itself.
const SHORT: Duration = Duration::from_millis(100);

#[cfg(all(Py_3_13, not(windows)))]
unsafe extern "C" {
    /// pyo3 does not declare it, and its import library for Windows lacks it.
    fn PySys_Audit(event: *const c_char, format: *const c_char, ...) -> c_int;
}

/// A built-in function that calls this function of Python, and has its name: as an attribute of a
/// class it does not become a method, as the one that it replaces does not.
unsafe extern "C" fn built_in(
    _self: *mut ffi::PyObject,
    function: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython with a live argument, which the new function keeps.
    unsafe {
        trampoline::object(|token| {
            let name = Object::from_borrowed(token, function)?.attribute(c"__name__")?;
            let method = match name.to_text().as_str() {
                "select" => &SELECT,
                "poll" => &POLL,
                _ => &START_NEW_THREAD,
            };
            trampoline::function(token, method, function)
        })
    }
}

unsafe extern "C" fn forward(
    function: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython; `function` is what `built_in` was given, and the arguments are
    // handed on as they came.
    unsafe {
        trampoline::object(|token| {
            let count = usize::try_from(count).unwrap_or_default();
            Object::from_new(
                token,
                ffi::PyObject_Vectorcall(function, arguments, count, keywords),
            )
        })
    }
}

/// `sleep`, for this original.
unsafe extern "C" fn interruptible_sleep(
    _self: *mut ffi::PyObject,
    original: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython with a live argument, which the function keeps.
    unsafe { trampoline::object(|token| trampoline::function(token, &SLEEP, original)) }
}

/// `time.sleep`: an exception ends it when the interpreter ends. What is no plain number, and what
/// the original refuses, is left to the original.
unsafe extern "C" fn sleep(
    original: *mut ffi::PyObject,
    seconds: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython; the function was made with a live original, and has a live
    // argument.
    unsafe {
        trampoline::object(|token| {
            let seconds = Object::from_borrowed(token, seconds)?;
            let until =
                long_wait(token, &seconds).and_then(|time| Instant::now().checked_add(time));
            let (Some(until), Some(interpreter)) = (until, own_interpreter(token)?) else {
                return Object::from_borrowed(token, original)?.call([&seconds]);
            };
            #[cfg(all(Py_3_13, not(windows)))]
            if PySys_Audit(c"time.sleep".as_ptr(), c"O".as_ptr(), seconds.as_ptr()) < 0 {
                return Err(Raised);
            }
            if detached(token, || interpreter.waits.sleep(until)) {
                return Ok(Object::none(token));
            }
            ffi::PyErr_SetNone(ffi::PyExc_SystemExit);
            Err(Raised)
        })
    }
}

/// The time that a float or an int names, if it is a long one.
fn long_wait(token: Token<'_>, seconds: &Object<'_>) -> Option<Duration> {
    // SAFETY: a live object, and attached (token).
    let seconds = unsafe {
        if ffi::PyFloat_CheckExact(seconds.as_ptr()) == 0
            && ffi::PyLong_CheckExact(seconds.as_ptr()) == 0
        {
            return None;
        }
        let number = ffi::PyFloat_AsDouble(seconds.as_ptr());
        if !ffi::PyErr_Occurred().is_null() {
            drop(object::take_exception(token));
            return None;
        }
        number
    };
    let time = Duration::try_from_secs_f64(seconds).ok()?;
    (time >= SHORT).then_some(time)
}

/// A descriptor that becomes readable when the interpreter ends. None where there is none.
unsafe extern "C" fn wake_descriptor(
    _self: *mut ffi::PyObject,
    _none: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython, without arguments.
    unsafe {
        trampoline::object(|token| {
            let interpreter = own_interpreter(token)?;
            let descriptor = interpreter.and_then(|interpreter| interpreter.waits.descriptor());
            match descriptor.and_then(|number| u64::try_from(number).ok()) {
                Some(number) => Object::int(token, number),
                None => Ok(Object::none(token)),
            }
        })
    }
}

/// Interrupts the sleeps, and the waits for the descriptor. Called by the thread that ends the
/// interpreter.
unsafe extern "C" fn end_waits(
    _self: *mut ffi::PyObject,
    _none: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython, without arguments.
    unsafe {
        trampoline::object(|token| {
            if let Some(interpreter) = own_interpreter(token)? {
                interpreter.waits.end();
            }
            Ok(Object::none(token))
        })
    }
}

/// Puts a connection whose other end is closed in the place of a descriptor: reads return its end.
/// The connection or the pipe itself is closed only if no other descriptor has it.
unsafe extern "C" fn end_reads(
    _self: *mut ffi::PyObject,
    descriptor: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython with a live argument.
    unsafe {
        trampoline::object(|token| {
            let descriptor = Object::from_borrowed(token, descriptor)?.to_u64()?;
            if let Ok(descriptor) = c_int::try_from(descriptor) {
                system::end_reads(descriptor);
            }
            Ok(Object::none(token))
        })
    }
}

/// Interrupts the system call that a living thread of `threading` waits in; it begins it anew.
unsafe extern "C" fn nudge(
    _self: *mut ffi::PyObject,
    ident: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython with a live argument; waits.py calls it with the ident of a thread
    // that has a state in this interpreter, whose GIL we hold, so the thread has not ended.
    unsafe {
        trampoline::object(|token| {
            let ident = Object::from_borrowed(token, ident)?.to_u64()?;
            system::nudge(ident);
            Ok(Object::none(token))
        })
    }
}
