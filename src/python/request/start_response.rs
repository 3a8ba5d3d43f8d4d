//! `start_response` and the `write` it returns (PEP 3333), as builtin functions of Python.
//!
//! Both have one object as their self, the *carrier*: it points to the request that is being
//! served, on the worker's stack, and is null once that request has ended. A function that the app
//! keeps can only raise then. The carrier is a kind of module, because the self of a builtin that
//! prints as `<built-in function uwsgi_spit>`, uWSGI's name for it, has to be one.
//!
//! Only the thread that serves the request may call them: a call from another thread raises
//! RuntimeError, so no other thread dereferences the pointer. Runs on workers, attached.

use std::ffi::c_int;
use std::mem::size_of;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use pyo3_ffi as ffi;

use crate::python::fork;
use crate::python::interpreter::Interpreter;
use crate::python::object::detached;
use crate::python::object::{Kept, Object, Raised, Token};
use crate::python::stacks;
use crate::python::trampoline::{self, Exception, Method, raise};
use crate::wsgi::{Response, ResponseError, Room, Sink, WriteError};

/// The response of the request that is being served.
pub(crate) struct Exchange<'a> {
    pub(crate) response: &'a mut Response,
    pub(crate) sink: &'a mut dyn Sink,
    pub(crate) interpreter: &'a Interpreter,
    /// What `start_response` returns; borrowed from the functions that serve this exchange.
    pub(crate) write: *mut ffi::PyObject,
    /// The client disconnected during a send.
    pub(crate) client_gone: bool,
}

/// The part of a carrier behind the module's.
struct Live {
    /// The exchange, or null when its request has ended.
    exchange: AtomicPtr<Exchange<'static>>,
    /// The thread that may dereference it: the address of its thread state.
    owner: AtomicUsize,
}

static START_RESPONSE: Method = Method::keywords(c"uwsgi_spit", start_response);
static WRITE: Method = Method::one(c"write", write);

/// Makes the carriers' type for the attached interpreter.
pub(crate) fn carrier_type(token: Token<'_>) -> Result<Object<'_>, Raised> {
    let mut slots = [ffi::PyType_Slot {
        slot: 0,
        pfunc: std::ptr::null_mut(),
    }];
    let mut spec = ffi::PyType_Spec {
        name: c"singlemalt.Exchange".as_ptr(),
        basicsize: (live_offset() + size_of::<Live>()) as c_int,
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

/// Where [`Live`] begins in a carrier: behind what CPython keeps in a module.
fn live_offset() -> usize {
    // SAFETY: the size of a static type does not change.
    let module = unsafe { ffi::PyModule_Type.tp_basicsize } as usize;
    module.next_multiple_of(align_of::<Live>())
}

/// # Safety
/// `carrier` must be an instance of [`carrier_type`] that outlives the result.
unsafe fn live<'a>(carrier: *mut ffi::PyObject) -> &'a Live {
    // SAFETY: instances are as large as the spec says, zeroed when made, and `Live` is valid when
    // zero and never moved.
    unsafe { &*carrier.cast::<u8>().add(live_offset()).cast::<Live>() }
}

/// The functions of one thread, reused for the next request unless the app keeps one.
pub(crate) struct Functions {
    carrier: Kept,
    start_response: Kept,
    write: Kept,
}

impl Functions {
    /// A new set, for the attached thread.
    pub(crate) fn new(carrier_type: &Object<'_>) -> Result<Self, Raised> {
        let token = carrier_type.token();
        let carrier = carrier_type.call([&Object::text(token, "singlemalt")?])?;
        // SAFETY: the carrier is a new instance of its type, which `live` asks for.
        let live = unsafe { live(carrier.as_ptr()) };
        // SAFETY: attached (token); only the address is kept, and compared.
        live.owner.store(
            unsafe { ffi::PyThreadState_Get() } as usize,
            Ordering::Relaxed,
        );
        // SAFETY: the carrier is alive, and each function takes a reference to it.
        let (start_response, write) = unsafe {
            (
                trampoline::function(token, &START_RESPONSE, carrier.as_ptr())?,
                trampoline::function(token, &WRITE, carrier.as_ptr())?,
            )
        };
        Ok(Self {
            carrier: carrier.keep(),
            start_response: start_response.keep(),
            write: write.keep(),
        })
    }

    /// Whether the app has released all three, so that they can serve another request.
    pub(crate) fn are_free(&self, token: Token<'_>) -> bool {
        // Two functions and `self` hold the carrier.
        self.start_response.has_references(token, 1)
            && self.write.has_references(token, 1)
            && self.carrier.has_references(token, 3)
    }

    /// The function to call the app with.
    pub(crate) fn start_response(&self) -> *mut ffi::PyObject {
        self.start_response.as_ptr()
    }

    /// The function that `start_response` returns.
    pub(crate) fn write(&self) -> *mut ffi::PyObject {
        self.write.as_ptr()
    }

    /// Lets the functions work on `exchange` until the guard is dropped.
    ///
    /// # Safety
    /// `exchange` must stay where it is until then, and be used only through this pointer while
    /// Python code may run; its `write` must be [`write`](Self::write) of these functions.
    pub(crate) unsafe fn serve(&self, exchange: *mut Exchange<'_>) -> Serving<'_> {
        // SAFETY: `self.carrier` is a carrier, and alive as long as `self` is.
        let live = unsafe { live(self.carrier.as_ptr()) };
        // The lifetime is erased here; `Serving` ends the use in time.
        live.exchange.store(exchange.cast(), Ordering::Relaxed);
        Serving(live)
    }
}

/// While it lives, `start_response` and `write` work.
pub(crate) struct Serving<'a>(&'a Live);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0
            .exchange
            .store(std::ptr::null_mut(), Ordering::Relaxed);
    }
}

/// The exchange that a function of this thread may work on.
///
/// # Safety
/// `carrier` is a carrier; the result is used on this thread, before this call of C returns, and
/// never while Python code runs.
unsafe fn exchange<'a>(
    token: Token<'_>,
    carrier: *mut ffi::PyObject,
    name: &str,
) -> Result<*mut Exchange<'a>, Raised> {
    // SAFETY: the caller's promise; the carrier is the self of a builtin that is being called, so
    // it is alive.
    let live = unsafe { live(carrier) };
    // SAFETY: attached (token); only the address is compared.
    if unsafe { ffi::PyThreadState_Get() } as usize != live.owner.load(Ordering::Relaxed) {
        let text = format!("{name} was called from a thread that does not serve its request");
        return Err(raise(token, Exception::Runtime, &text));
    }
    let exchange = live.exchange.load(Ordering::Relaxed);
    if exchange.is_null() {
        let text = format!("{name} was called after its request had ended");
        return Err(raise(token, Exception::Runtime, &text));
    }
    Ok(exchange.cast())
}

unsafe extern "C" fn start_response(
    carrier: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython with `count` positional arguments, and one behind them for each of
    // `names`.
    unsafe {
        trampoline::object(|token| {
            let Arguments {
                status,
                headers,
                exc_info,
            } = Arguments::parse(token, arguments, count, names)?;
            let exchange = exchange(token, carrier, "start_response")?;
            let has_exc_info = !exc_info.is_null() && exc_info != ffi::Py_None();
            {
                let response = &mut *(*exchange).response;
                if has_exc_info && response.is_head_sent() {
                    return Err(raise_again(token, exc_info));
                }
                if !has_exc_info && response.is_started() {
                    let text =
                        "start_response was called a second time without exc_info (PEP 3333)";
                    return Err(raise(token, Exception::Assertion, text));
                }
            }
            answer(token, &mut *(*exchange).response, status, headers)?;
            if (*exchange).response.says_chunked() {
                let interpreter = (*exchange).interpreter;
                interpreter.warn_of_chunks(|| stacks::place_here(token));
            }
            Object::from_borrowed(token, (*exchange).write)
        })
    }
}

/// The arguments of `start_response`, borrowed from the caller. `exc_info` may be null.
struct Arguments {
    status: *mut ffi::PyObject,
    headers: *mut ffi::PyObject,
    exc_info: *mut ffi::PyObject,
}

impl Arguments {
    /// # Safety
    /// The arguments of a FASTCALL | KEYWORDS call.
    unsafe fn parse(
        token: Token<'_>,
        arguments: *const *mut ffi::PyObject,
        count: ffi::Py_ssize_t,
        names: *mut ffi::PyObject,
    ) -> Result<Self, Raised> {
        let count = count as usize;
        let mut given = [std::ptr::null_mut(); 3];
        if count > given.len() {
            let text = format!("start_response takes 2 or 3 arguments ({count} given)");
            return Err(raise(token, Exception::Type, &text));
        }
        // SAFETY: `arguments` holds `count` pointers.
        unsafe { std::ptr::copy_nonoverlapping(arguments, given.as_mut_ptr(), count) };
        if !names.is_null() {
            // SAFETY: `names` is a tuple of str.
            for at in 0..unsafe { ffi::PyTuple_Size(names) } {
                // SAFETY: `at` is in bounds.
                let name =
                    unsafe { Object::from_borrowed(token, ffi::PyTuple_GetItem(names, at))? }
                        .to_text();
                let place = match name.as_str() {
                    "status" => 0,
                    "headers" | "response_headers" => 1,
                    "exc_info" => 2,
                    _ => {
                        let text = format!("start_response has no argument '{name}'");
                        return Err(raise(token, Exception::Type, &text));
                    }
                };
                if !given[place].is_null() {
                    let text = format!("start_response got '{name}' twice");
                    return Err(raise(token, Exception::Type, &text));
                }
                // SAFETY: the values of the keywords lie behind the positional ones, in the order
                // of `names`.
                given[place] = unsafe { *arguments.add(count + at as usize) };
            }
        }
        let [status, headers, exc_info] = given;
        if status.is_null() || headers.is_null() {
            let text = "start_response takes at least 2 arguments: status and headers";
            return Err(raise(token, Exception::Type, text));
        }
        Ok(Self {
            status,
            headers,
            exc_info,
        })
    }
}

/// Puts status and headers into the response: all of them or, after an error, none.
///
/// # Safety
/// Both are live objects. No Python code runs in this function, so `response` is not borrowed
/// elsewhere.
unsafe fn answer(
    token: Token<'_>,
    response: &mut Response,
    status: *mut ffi::PyObject,
    headers: *mut ffi::PyObject,
) -> Result<(), Raised> {
    // SAFETY: `status` is alive while the call lasts.
    let status = unsafe { latin1(token, status, "status")? };
    response
        .begin(status)
        .map_err(|error| refused(token, &error))?;
    // SAFETY: `headers` is alive.
    let outcome = unsafe { all_headers(token, response, headers) };
    if outcome.is_err() {
        response.withdraw();
    }
    outcome
}

fn refused(token: Token<'_>, error: &ResponseError) -> Raised {
    raise(token, Exception::Value, &error.to_string())
}

/// # Safety
/// `headers` is a live object.
unsafe fn all_headers(
    token: Token<'_>,
    response: &mut Response,
    headers: *mut ffi::PyObject,
) -> Result<(), Raised> {
    // SAFETY: as above; attached (token). A list can be changed by another thread of a
    // free-threaded build only, for which the items are taken as references of our own.
    unsafe {
        if ffi::PyList_Check(headers) == 0 {
            let text = format!(
                "headers must be a list of (name, value) tuples, not {}",
                type_name(token, headers)
            );
            return Err(raise(token, Exception::Type, &text));
        }
        let mut at = 0;
        while at < ffi::PyList_Size(headers) {
            let pair = Object::from_new(token, ffi::compat::PyList_GetItemRef(headers, at))?;
            if ffi::PyTuple_Check(pair.as_ptr()) == 0 || ffi::PyTuple_Size(pair.as_ptr()) != 2 {
                let what = type_name(token, pair.as_ptr());
                let text = format!("header {at} must be a tuple of a name and a value, not {what}");
                return Err(raise(token, Exception::Type, &text));
            }
            let name = latin1(
                token,
                ffi::PyTuple_GetItem(pair.as_ptr(), 0),
                "a header name",
            )?;
            let value = latin1(
                token,
                ffi::PyTuple_GetItem(pair.as_ptr(), 1),
                "a header value",
            )?;
            response
                .header(name, value)
                .map_err(|error| refused(token, &error))?;
            at += 1;
        }
    }
    Ok(())
}

/// The bytes of a `str` that stands for latin-1 (PEP 3333, "Unicode Issues"), without a copy.
///
/// # Safety
/// `text` is a live object, and stays so while the result is used.
unsafe fn latin1<'a>(
    token: Token<'_>,
    text: *mut ffi::PyObject,
    what: &str,
) -> Result<&'a [u8], Raised> {
    // SAFETY: as above; a str of kind 1 holds one byte per character, as many as its length says.
    unsafe {
        if ffi::PyUnicode_Check(text) == 0 {
            let text = format!("{what} must be a str, not {}", type_name(token, text));
            return Err(raise(token, Exception::Type, &text));
        }
        if ffi::PyUnicode_KIND(text) != ffi::PyUnicode_1BYTE_KIND {
            let text =
                format!("{what} has a character that is not in latin-1; PEP 3333 wants it encoded");
            return Err(raise(token, Exception::Value, &text));
        }
        let length = ffi::PyUnicode_GetLength(text) as usize;
        Ok(std::slice::from_raw_parts(
            ffi::PyUnicode_1BYTE_DATA(text),
            length,
        ))
    }
}

/// Raises the exception in `exc_info`: the head has been sent, so the client cannot get an error
/// page any more (PEP 3333).
///
/// # Safety
/// `exc_info` is a live object.
unsafe fn raise_again(token: Token<'_>, exc_info: *mut ffi::PyObject) -> Raised {
    // SAFETY: as above; attached (token). The tuple keeps its items alive; PyErr_SetRaisedException
    // takes a reference.
    unsafe {
        let wrong = "exc_info must be the tuple that sys.exc_info() gives";
        if ffi::PyTuple_Check(exc_info) == 0 || ffi::PyTuple_Size(exc_info) != 3 {
            return raise(token, Exception::Type, wrong);
        }
        let (error, traceback) = (
            ffi::PyTuple_GetItem(exc_info, 1),
            ffi::PyTuple_GetItem(exc_info, 2),
        );
        if ffi::PyExceptionInstance_Check(error) == 0 {
            return raise(token, Exception::Type, wrong);
        }
        if traceback != ffi::Py_None() && ffi::PyException_SetTraceback(error, traceback) != 0 {
            return Raised;
        }
        ffi::Py_INCREF(error);
        ffi::PyErr_SetRaisedException(error);
        Raised
    }
}

unsafe extern "C" fn write(
    carrier: *mut ffi::PyObject,
    data: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by CPython with a live argument, which stays alive while it is sent.
    unsafe {
        trampoline::object(|token| {
            let exchange = exchange(token, carrier, "write")?;
            match send_piece(token, exchange, data) {
                Err(Raised)
                    if (*exchange).client_gone && (*exchange).interpreter.spec.quiet_writes =>
                {
                    ffi::PyErr_Clear();
                }
                sent => sent?,
            }
            Ok(Object::none(token))
        })
    }
}

/// Sends one piece of the body, from `write` or from the iterable, and waits for room afterwards if
/// there is none.
///
/// # Safety
/// `exchange` is the one of this thread's request, `piece` a live object.
pub(crate) unsafe fn send_piece(
    token: Token<'_>,
    exchange: *mut Exchange<'_>,
    piece: *mut ffi::PyObject,
) -> Result<(), Raised> {
    if fork::is_child() {
        let text = "this process was made by os.fork(): the client belongs to its parent";
        return Err(raise(token, Exception::Runtime, text));
    }
    // SAFETY: the exchange is alive, and its interpreter is not changed; `piece` is alive.
    let copy = unsafe { copied(token, (*exchange).interpreter, piece)? };
    let piece = copy.as_ref().map_or(piece, Object::as_ptr);
    // SAFETY: no Python code runs on this thread until the end of this call, and no other thread
    // dereferences the pointer, so nothing else borrows the exchange. `piece` is immutable and
    // alive.
    unsafe {
        let data = bytes_of(token, (*exchange).interpreter, piece)?;
        let exchange = &mut *exchange;
        let sent = exchange.response.write(data, &mut *exchange.sink);
        settle(token, exchange, sent)
    }
}

/// Handles the result of a send: nothing, a wait (detached), or an exception.
pub(crate) fn settle(
    token: Token<'_>,
    exchange: &mut Exchange<'_>,
    sent: Result<Room, WriteError>,
) -> Result<(), Raised> {
    let outcome = match sent {
        Ok(Room::Ready) => return Ok(()),
        Ok(Room::Full) => {
            detached(token, || exchange.sink.wait_for_room()).map_err(WriteError::from)
        }
        Err(error) => Err(error),
    };
    outcome.map_err(|error| match error {
        WriteError::ClientGone => {
            exchange.client_gone = true;
            raise(token, Exception::BrokenPipe, "the client is gone")
        }
        WriteError::NotStarted | WriteError::Finished => {
            raise(token, Exception::Assertion, &error.to_string())
        }
    })
}

/// A copy of the piece's buffer, if it is neither bytes nor str and any buffer is accepted
/// (`--wsgi-accept-buffer`).
///
/// # Safety
/// `piece` is a live object.
#[inline]
pub(crate) unsafe fn copied<'py>(
    token: Token<'py>,
    interpreter: &Interpreter,
    piece: *mut ffi::PyObject,
) -> Result<Option<Object<'py>>, Raised> {
    // SAFETY: as above; attached (token).
    unsafe {
        if !is_buffer(interpreter, piece) {
            return Ok(None);
        }
        Object::from_new(token, ffi::PyBytes_FromObject(piece)).map(Some)
    }
}

/// Whether this has a buffer, is not bytes, and is accepted all the same.
///
/// # Safety
/// `piece` is a live object.
pub(crate) unsafe fn is_buffer(interpreter: &Interpreter, piece: *mut ffi::PyObject) -> bool {
    // SAFETY: as above; only types are looked at.
    interpreter.spec.accept_buffer
        && unsafe { ffi::PyBytes_Check(piece) == 0 && ffi::PyObject_CheckBuffer(piece) != 0 }
}

/// The bytes of a piece: `bytes`, or UTF-8 of a `str` unless the server is strict (PEP 3333 allows
/// bytes only).
///
/// # Safety
/// `piece` is a live object, and stays so while the result is used.
pub(crate) unsafe fn bytes_of<'a>(
    token: Token<'_>,
    interpreter: &Interpreter,
    piece: *mut ffi::PyObject,
) -> Result<&'a [u8], Raised> {
    // SAFETY: as above; a bytes object holds as many bytes as its size says, and a str keeps its
    // UTF-8 form.
    unsafe {
        if ffi::PyBytes_Check(piece) != 0 {
            let length = ffi::PyBytes_Size(piece) as usize;
            return Ok(std::slice::from_raw_parts(
                ffi::PyBytes_AsString(piece).cast(),
                length,
            ));
        }
        if ffi::PyUnicode_Check(piece) == 0 || interpreter.spec.strict {
            let what = type_name(token, piece);
            let text = format!("the body must be bytes, not {what} (PEP 3333)");
            return Err(raise(token, Exception::Type, &text));
        }
        interpreter.warn_of_str();
        let mut length = 0;
        let data = ffi::PyUnicode_AsUTF8AndSize(piece, &raw mut length);
        if data.is_null() {
            Err(Raised)
        } else {
            Ok(std::slice::from_raw_parts(data.cast(), length as usize))
        }
    }
}

/// The name of an object's type, for messages.
///
/// # Safety
/// `object` is a live object.
pub(crate) unsafe fn type_name(token: Token<'_>, object: *mut ffi::PyObject) -> String {
    // SAFETY: as above; a type is alive as long as its instance.
    unsafe {
        let name = Object::from_new(token, ffi::PyType_GetName(ffi::Py_TYPE(object)));
        match name {
            Ok(name) => name.to_text(),
            Err(Raised) => {
                ffi::PyErr_Clear();
                String::from("an object")
            }
        }
    }
}
