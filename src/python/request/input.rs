//! `wsgi.input`: the complete request body, as a Python object that behaves exactly as `io.BytesIO`
//! does when it is read.
//!
//! The object owns the body: there is no pointer to a request in it. When the request ends the body
//! is taken out, and an input that the app kept raises ValueError from then on. A body in a
//! temporary file is read detached; a second thread that reads meanwhile waits for the body's lock
//! detached too, so the lock and the GIL are never waited for in opposite orders. Runs on any
//! thread of the interpreter, attached.

use std::ffi::{c_int, c_uint, c_void};
use std::mem::size_of;

use parking_lot::Mutex;
use pyo3_ffi as ffi;

use super::start_response::type_name;
use crate::python::object::detached;
use crate::python::object::{Kept, Object, Raised, Token};
use crate::python::trampoline::{self, Exception, Method, raise};
use crate::wsgi::{RequestBody, Whence};

/// The object as C sees it.
#[repr(C)]
struct Input {
    base: ffi::PyObject,
    /// `None`: the request has ended.
    body: Mutex<Option<RequestBody>>,
}

/// Reads of a file larger than this release the GIL. Bytes. A small read mostly comes from the
/// body's own window.
const ATTACHED_BYTES_MAX: u64 = 4096;

static METHODS: [Method; 14] = [
    Method::positional(c"read", read),
    Method::positional(c"read1", read),
    Method::positional(c"readline", readline),
    Method::positional(c"readlines", readlines),
    Method::one(c"readinto", readinto),
    Method::positional(c"seek", seek),
    Method::none(c"tell", tell),
    Method::none(c"readable", yes),
    Method::none(c"seekable", yes),
    Method::none(c"writable", no),
    Method::none(c"isatty", no),
    Method::none(c"flush", nothing),
    Method::none(c"close", nothing),
    Method::end(),
];

/// Makes the type for the attached interpreter.
pub(crate) fn input_type(token: Token<'_>) -> Result<Object<'_>, Raised> {
    let slot = |slot: c_int, pfunc: *mut c_void| ffi::PyType_Slot { slot, pfunc };
    let mut slots = [
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_methods, METHODS.as_ptr().cast_mut().cast()),
        slot(ffi::Py_tp_getset, GETTERS.0.as_ptr().cast_mut().cast()),
        slot(ffi::Py_tp_iter, itself as *mut c_void),
        slot(ffi::Py_tp_iternext, next as *mut c_void),
        slot(0, std::ptr::null_mut()),
    ];
    let flags = ffi::Py_TPFLAGS_DEFAULT
        | ffi::Py_TPFLAGS_IMMUTABLETYPE
        | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
    let mut spec = ffi::PyType_Spec {
        name: c"singlemalt.Input".as_ptr(),
        basicsize: size_of::<Input>() as c_int,
        itemsize: 0,
        flags: flags as c_uint,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: attached (token); spec and slots are complete, name and tables are static.
    unsafe { Object::from_new(token, ffi::PyType_FromSpec(&raw mut spec)) }
}

/// A table of properties for C.
struct Getters([ffi::PyGetSetDef; 2]);

// SAFETY: CPython only reads the table; its pointers are to static strings and functions.
unsafe impl Sync for Getters {}

static GETTERS: Getters = Getters([
    ffi::PyGetSetDef {
        name: c"closed".as_ptr(),
        get: Some(closed),
        set: None,
        doc: std::ptr::null(),
        closure: std::ptr::null_mut(),
    },
    ffi::PyGetSetDef {
        name: std::ptr::null(),
        get: None,
        set: None,
        doc: std::ptr::null(),
        closure: std::ptr::null_mut(),
    },
]);

/// A new input around `body`.
///
/// # Safety
/// `kind` is the [`input_type`] of the attached interpreter.
pub(crate) unsafe fn new<'py>(
    token: Token<'py>,
    kind: *mut ffi::PyObject,
    body: RequestBody,
) -> Result<Object<'py>, Raised> {
    // SAFETY: the type is alive; memory of its size comes back zeroed, or null with MemoryError.
    // The body is written into it before other code has the object.
    unsafe {
        let object = Object::from_new(token, ffi::PyType_GenericAlloc(kind.cast(), 0))?;
        let input = object.as_ptr().cast::<Input>();
        (&raw mut (*input).body).write(Mutex::new(Some(body)));
        Ok(object)
    }
}

/// Ends the input's request: the body is dropped (unless another thread is in the middle of a read,
/// which may finish).
pub(crate) fn end(input: &Kept) {
    // SAFETY: callers keep inputs only; alive because kept.
    let body = unsafe { &(*input.as_ptr().cast::<Input>()).body };
    if let Some(mut body) = body.try_lock() {
        drop(body.take());
    }
}

/// Reuses an input, to which the app has no reference, for another request.
pub(crate) fn renew(input: &Kept, body: RequestBody) {
    // SAFETY: as in `end`.
    let slot = unsafe { &(*input.as_ptr().cast::<Input>()).body };
    *slot.lock() = Some(body);
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, when the last reference is gone; its type is a heap type, to
    // which each instance holds a reference, and its tp_free is that of the allocation in `new`.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        std::ptr::drop_in_place(&raw mut (*object.cast::<Input>()).body);
        if let Some(free) = (*kind).tp_free {
            free(object.cast());
        }
        ffi::Py_DECREF(kind.cast());
    }
}

/// Runs `work` on the body of `object`.
///
/// # Safety
/// `object` is a live input.
unsafe fn with<'py, R>(
    token: Token<'py>,
    object: *mut ffi::PyObject,
    work: impl FnOnce(&mut RequestBody) -> Result<R, Raised>,
) -> Result<R, Raised> {
    // SAFETY: the caller's promise; the mutex was written by `new`.
    let mutex = unsafe { &(*object.cast::<Input>()).body };
    // Another thread may read the same file, detached. Its lock must not be waited for with the
    // GIL held.
    let mut guard = match mutex.try_lock() {
        Some(guard) => guard,
        None => detached(token, || mutex.lock()),
    };
    match guard.as_mut() {
        Some(body) => work(body),
        None => Err(raise(
            token,
            Exception::Value,
            "wsgi.input was read after its request had ended",
        )),
    }
}

/// `size` as `io.BytesIO` takes it: None and negative numbers mean all, anything with `__index__`
/// is a number.
///
/// # Safety
/// `arguments` holds `count` live objects.
unsafe fn size(
    token: Token<'_>,
    name: &str,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> Result<Option<usize>, Raised> {
    if count == 0 {
        return Ok(None);
    }
    if count > 1 {
        let text = format!("{name} expected at most 1 argument, got {count}");
        return Err(raise(token, Exception::Type, &text));
    }
    // SAFETY: there is one argument.
    unsafe {
        let argument = *arguments;
        if argument == ffi::Py_None() {
            return Ok(None);
        }
        if ffi::PyIndex_Check(argument) == 0 {
            let text = format!(
                "argument should be integer or None, not '{}'",
                type_name(token, argument)
            );
            return Err(raise(token, Exception::Type, &text));
        }
        let number = number(argument)?;
        Ok(usize::try_from(number).ok())
    }
}

/// A number that fits a Py_ssize_t, else OverflowError.
///
/// # Safety
/// `argument` is a live object; attached.
unsafe fn number(argument: *mut ffi::PyObject) -> Result<ffi::Py_ssize_t, Raised> {
    // SAFETY: as above.
    unsafe {
        let number = ffi::PyNumber_AsSsize_t(argument, ffi::PyExc_OverflowError);
        if number == -1 && !ffi::PyErr_Occurred().is_null() {
            return Err(Raised);
        }
        Ok(number)
    }
}

fn disk_error(token: Token<'_>, error: &std::io::Error) -> Raised {
    raise(token, Exception::Os, &error.to_string())
}

unsafe extern "C" fn read(
    this: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython on an input, with `count` arguments.
    unsafe {
        trampoline::object(|token| {
            let size = size(token, "read", arguments, count)?;
            with(token, this, |body| {
                if let Some(bytes) = body.take_slice(size) {
                    return Object::bytes(token, bytes);
                }
                let length = body.readable(size);
                let room = ffi::Py_ssize_t::try_from(length).map_err(|_| {
                    raise(
                        token,
                        Exception::Overflow,
                        "the request body is too large for one read",
                    )
                })?;
                let bytes = Object::from_new(
                    token,
                    ffi::PyBytes_FromStringAndSize(std::ptr::null(), room),
                )?;
                let start = ffi::PyBytes_AsString(bytes.as_ptr()).cast::<u8>();
                let mut filled = 0;
                let is_filled = body.take_pieces(Some(room as usize), |piece| {
                    // All pieces together are as long as the object (`readable`); the bound makes
                    // that evident here.
                    let count = piece.len().min(room as usize - filled);
                    start
                        .add(filled)
                        .copy_from_nonoverlapping(piece.as_ptr(), count);
                    filled += count;
                });
                if is_filled {
                    return Ok(bytes);
                }
                // No other code has the new object yet, so its bytes may be written, also detached.
                // A slice must not be made of uninitialised bytes.
                start.write_bytes(0, room as usize);
                let out = std::slice::from_raw_parts_mut(start, room as usize);
                let read = if length > ATTACHED_BYTES_MAX {
                    detached(token, || body.read_into(out))
                } else {
                    body.read_into(out)
                };
                read.map_err(|error| disk_error(token, &error))?;
                Ok(bytes)
            })
        })
    }
}

/// One line, or `None` at the end.
fn line<'py>(
    token: Token<'py>,
    body: &mut RequestBody,
    size: Option<usize>,
) -> Result<Object<'py>, Raised> {
    if let Some(bytes) = body.take_line(size) {
        return Object::bytes(token, bytes);
    }
    let mut bytes = Vec::new();
    let read = if body.is_in_memory() {
        body.readline(size, &mut bytes)
    } else {
        detached(token, || body.readline(size, &mut bytes))
    };
    read.map_err(|error| disk_error(token, &error))?;
    Object::bytes(token, &bytes)
}

unsafe extern "C" fn readline(
    this: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython on an input, with `count` arguments.
    unsafe {
        trampoline::object(|token| {
            let size = size(token, "readline", arguments, count)?;
            with(token, this, |body| line(token, body, size))
        })
    }
}

unsafe extern "C" fn readlines(
    this: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython on an input, with `count` arguments; the list takes references of
    // its own.
    unsafe {
        trampoline::object(|token| {
            let enough = size(token, "readlines", arguments, count)?
                .filter(|hint| *hint > 0)
                .unwrap_or(usize::MAX);
            let list = Object::from_new(token, ffi::PyList_New(0))?;
            with(token, this, |body| {
                let mut given = 0_usize;
                while given < enough {
                    let line = line(token, body, None)?;
                    let length = ffi::PyBytes_Size(line.as_ptr()) as usize;
                    if length == 0 {
                        break;
                    }
                    given = given.saturating_add(length);
                    if ffi::PyList_Append(list.as_ptr(), line.as_ptr()) != 0 {
                        return Err(Raised);
                    }
                }
                Ok(())
            })?;
            Ok(list)
        })
    }
}

unsafe extern "C" fn next(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called by CPython on an input. Null without an exception ends an iteration.
    unsafe {
        trampoline::enter(|token| {
            with(token, this, |body| {
                let line = line(token, body, None)?;
                if ffi::PyBytes_Size(line.as_ptr()) == 0 {
                    return Ok(std::ptr::null_mut());
                }
                Ok(line.into_ptr())
            })
        })
    }
}

unsafe extern "C" fn readinto(
    this: *mut ffi::PyObject,
    target: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    struct Filled(ffi::Py_buffer);
    impl Drop for Filled {
        fn drop(&mut self) {
            // SAFETY: it was filled by PyObject_GetBuffer, and the thread that did is attached
            // still or again.
            unsafe { ffi::PyBuffer_Release(&raw mut self.0) }
        }
    }
    // SAFETY: called by CPython on an input with a live argument; a writable, contiguous buffer
    // stays in place until it is released. Attached all along: another thread could read the buffer
    // while we write otherwise.
    unsafe {
        trampoline::object(|token| {
            let mut buffer = Filled(ffi::Py_buffer::new());
            if ffi::PyObject_GetBuffer(target, &raw mut buffer.0, ffi::PyBUF_WRITABLE) != 0 {
                std::mem::forget(buffer);
                ffi::PyErr_Clear();
                let what = type_name(token, target);
                let text =
                    format!("readinto() argument must be read-write bytes-like object, not {what}");
                return Err(raise(token, Exception::Type, &text));
            }
            let out = if buffer.0.len == 0 {
                &mut []
            } else {
                std::slice::from_raw_parts_mut(buffer.0.buf.cast::<u8>(), buffer.0.len as usize)
            };
            let read = with(token, this, |body| {
                body.read_into(out)
                    .map_err(|error| disk_error(token, &error))
            })?;
            Object::int(token, read as u64)
        })
    }
}

unsafe extern "C" fn seek(
    this: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython on an input, with `count` arguments.
    unsafe {
        trampoline::object(|token| {
            if !(1..=2).contains(&count) {
                let text = format!("seek expected 1 or 2 arguments, got {count}");
                return Err(raise(token, Exception::Type, &text));
            }
            let offset = number(*arguments)?;
            let whence = if count == 2 {
                number(*arguments.add(1))?
            } else {
                0
            };
            let Some(from) = Whence::from_number(whence as i64) else {
                let text = format!("invalid whence ({whence}, should be 0, 1 or 2)");
                return Err(raise(token, Exception::Value, &text));
            };
            let position = with(token, this, |body| {
                body.seek(offset as i64, from).map_err(|error| {
                    let kind = match error {
                        crate::wsgi::SeekError::Negative(_) => Exception::Value,
                        crate::wsgi::SeekError::TooLarge => Exception::Overflow,
                    };
                    raise(token, kind, &error.to_string())
                })
            })?;
            Object::int(token, position)
        })
    }
}

unsafe extern "C" fn tell(this: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called by CPython on an input.
    unsafe {
        trampoline::object(|token| {
            let position = with(token, this, |body| Ok(body.tell()))?;
            Object::int(token, position)
        })
    }
}

unsafe extern "C" fn yes(_: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called by CPython.
    unsafe { trampoline::object(|token| Object::boolean(token, true)) }
}

unsafe extern "C" fn no(_: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called by CPython.
    unsafe { trampoline::object(|token| Object::boolean(token, false)) }
}

/// `close` and `flush` do nothing: the body is the server's, and it stays readable after an app (or
/// a wrapper that is collected) closes it.
unsafe extern "C" fn nothing(_: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called by CPython.
    unsafe { trampoline::object(|token| Ok(Object::none(token))) }
}

unsafe extern "C" fn closed(_: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: called by CPython.
    unsafe { trampoline::object(|token| Object::boolean(token, false)) }
}

unsafe extern "C" fn itself(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called by CPython on an input.
    unsafe { trampoline::object(|token| Object::from_borrowed(token, this)) }
}
