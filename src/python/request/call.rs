//! One request through the app: environ, call, iteration, `close()`, and the handling of their
//! failures.
//!
//! Runs on workers, attached; it detaches only while it waits for a slow client.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use pyo3_ffi as ffi;

use super::environ::Request;
use super::file_wrapper;
use super::start_response::{self, Exchange, bytes_of, copied, is_buffer, settle, type_name};
use crate::python::attached::Attached;
use crate::python::failure;
use crate::python::fork;
use crate::python::interpreter::Interpreter;
use crate::python::object::detached;
use crate::python::object::{self, Object, Raised, Token};
use crate::python::sources;
use crate::python::trampoline::{Exception, caught, raise};
use crate::python::uwsgi;
use crate::python::uwsgi::backend::SpoolTask;
use crate::python::uwsgi::spooler::TaskEnd;
use crate::wsgi::environ::{Link, Peer};
use crate::wsgi::{Chosen, Head, LogNotes, RequestBody, Response, Room, Sink, WriteError};

/// A list or tuple of pieces that together are at most this large is sent as one, with its length.
/// Bytes.
const JOINED_BYTES_MAX: usize = 16 * 1024;

/// One request, complete, and where its response goes.
pub struct Call<'a> {
    /// Which of the listeners of [`InterpreterSpec`](crate::python::InterpreterSpec) took the
    /// connection.
    pub listener: usize,
    /// The head.
    pub head: &'a Head,
    /// The client.
    pub peer: &'a Peer,
    /// Further facts about the client.
    pub link: Link<'a>,
    /// Which of the interpreter's apps, and how much of the path is its prefix.
    pub chosen: Chosen,
    /// The complete body. It becomes `wsgi.input` and is gone with it.
    pub body: RequestBody,
    /// Reset for this request by the caller.
    pub response: &'a mut Response,
    /// Where the bytes go.
    pub sink: &'a mut dyn Sink,
}

/// The outcome of a request. The response's [`summary`](Response::summary) says what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// The app answered.
    Answered,
    /// The app raised, or returned no WSGI response: the client has a 500, or an aborted body.
    Failed,
    /// The client disconnected before the end.
    ClientGone,
    /// This app is not loaded in this interpreter: a 500.
    NoApp,
}

impl Attached<'_> {
    /// Calls the app and sends its response. An exception is logged with its traceback (target
    /// `app`) and answered with 500, or by aborting a response that has begun. `close()` of the
    /// app's iterable is always called.
    pub fn serve(&mut self, call: Call<'_>) -> Served {
        let Call {
            listener,
            head,
            peer,
            link,
            chosen,
            body,
            response,
            sink,
        } = call;
        let request = Request {
            listener,
            head,
            peer,
            link,
            prefix_bytes: chosen.prefix_bytes,
        };
        uwsgi::log::begin_request();
        let served = catch_unwind(AssertUnwindSafe(|| {
            self.answer(chosen.app, request, body, &mut *response, &mut *sink)
        }));
        // Objects that go with the request may run the app's code.
        fork::leave_if_child(self.token);
        self.interruption.calm(self.token);
        served.unwrap_or_else(|_panic| {
            // The panic hook has logged the place. A Python exception that may be set is dropped.
            drop(object::take_exception(self.token));
            response.fail(500, sink);
            Served::Failed
        })
    }

    /// What the app said about the log line of the request that this thread served last.
    pub fn take_log_notes(&self) -> Option<Box<LogNotes>> {
        uwsgi::log::end_request()
    }

    /// Withdraws an interruption that was meant for a request. [`serve`](Self::serve) does so by
    /// itself; call this for a request that did not reach it.
    pub fn calm(&self) {
        self.interruption.calm(self.token);
    }

    /// Runs the handler of a signal; an exception is logged. `false`: it failed, or there is none.
    pub fn run_signal(&mut self, number: u8) -> bool {
        let is_done = uwsgi::run_handler(self, number);
        if self.interpreter.wants_after_job() {
            uwsgi::after_job(self.token, self.interpreter, false);
        }
        is_done
    }

    /// Runs the spooler's handler with a task. An exception is logged.
    pub fn run_task(&mut self, path: &Path, task: &SpoolTask) -> TaskEnd {
        let end = uwsgi::run_task(self, path, task);
        self.interruption.calm(self.token);
        if self.interpreter.wants_after_job() {
            uwsgi::after_job(self.token, self.interpreter, false);
        }
        end
    }

    fn answer(
        &mut self,
        app: usize,
        request: Request<'_>,
        body: RequestBody,
        response: &mut Response,
        sink: &mut dyn Sink,
    ) -> Served {
        let token = self.token;
        let app = match self.caches.app(token, self.interpreter, app) {
            Ok(Some(app)) => app,
            Ok(None) => {
                response.fail(500, sink);
                return Served::NoApp;
            }
            Err(Raised) => return self.failed(&request, response, sink),
        };
        let content_length = body.len();
        let prepared = self.caches.take_input(token, body).and_then(|input| {
            let functions = self.caches.take_functions(token)?;
            let environ = self
                .caches
                .environs
                .make(token, &request, &input, content_length)?;
            Ok((input, functions, environ))
        });
        let Ok((input, functions, environ)) = prepared else {
            return self.failed(&request, response, sink);
        };

        let mut exchange = Exchange {
            response,
            sink,
            interpreter: self.interpreter,
            write: functions.write(),
            client_gone: false,
        };
        let exchange_pointer = &raw mut exchange;
        // SAFETY: `exchange` stays in this frame, and until `serving` is dropped it is used through
        // this pointer only.
        let serving = unsafe { functions.serve(exchange_pointer) };
        let job = Job {
            token,
            attached: self,
            exchange: exchange_pointer,
        };
        let outcome = job.run(&app, &environ, functions.start_response());
        // Our own code follows: an interruption must not reach it.
        job.attached.interruption.calm(token);
        let error = outcome
            .err()
            .and_then(|Raised| object::take_exception(token));
        drop(serving);

        let client_gone = exchange.client_gone;
        let served = match error {
            None if !client_gone => Served::Answered,
            None => Served::ClientGone,
            Some(error) if client_gone => {
                // Most likely a consequence of the disconnect, but the app may also have raised an
                // exception of its own.
                tracing::debug!(target: "app", "the client left: {}", error.to_text());
                Served::ClientGone
            }
            Some(error) => self.app_raised(&request, error, &mut exchange),
        };
        drop(environ);
        self.caches.give_functions(functions);
        self.caches.give_input(input);
        if self.interpreter.wants_after_job() {
            uwsgi::after_job(token, self.interpreter, true);
        }
        served
    }

    /// The app raised `error`: log it, and answer with 500.
    fn app_raised(
        &mut self,
        request: &Request<'_>,
        error: Object<'_>,
        exchange: &mut Exchange<'_>,
    ) -> Served {
        let traceback = self.log(request, &error);
        self.caches.raised = Some(sources::facts(&error));
        // Frames of the traceback hold the environ, and objects of the app.
        drop(error);
        if self.interpreter.spec.catch_exceptions && !exchange.response.is_head_sent() {
            show(&traceback, exchange.response, &mut *exchange.sink);
        }
        exchange.response.fail(500, &mut *exchange.sink);
        Served::Failed
    }

    /// An error of ours before the app was called.
    fn failed(
        &mut self,
        request: &Request<'_>,
        response: &mut Response,
        sink: &mut dyn Sink,
    ) -> Served {
        self.interruption.calm(self.token);
        if let Some(error) = object::take_exception(self.token) {
            let _not_the_apps = self.log(request, &error);
        }
        response.fail(500, sink);
        Served::Failed
    }

    /// Logs the app's exception with its traceback, and returns that.
    fn log(&mut self, request: &Request<'_>, error: &Object<'_>) -> String {
        let traceback = failure::describe(error);
        let (method, target) = (
            request.head.method().escape_ascii(),
            request.head.target().escape_ascii(),
        );
        detached(
            self.token,
            || tracing::error!(target: "app", "{method} {target}\n{traceback}"),
        );
        traceback
    }
}

/// Answers with the traceback, for the developer of the app (`--catch-exceptions`). A response that
/// was complete when the app raised stays as it is; if this page is refused, the usual one is sent.
fn show(traceback: &str, response: &mut Response, sink: &mut dyn Sink) {
    let begun = response
        .begin(b"500 Internal Server Error")
        .and_then(|()| response.header(b"Content-Type", b"text/plain; charset=utf-8"));
    if begun.is_ok() {
        // A client that is gone needs no page.
        let _is_sent = response.finish_with(traceback.as_bytes(), sink);
    }
}

/// The part of a request in which Python code runs.
struct Job<'a, 'py, 'e> {
    token: Token<'py>,
    attached: &'a Attached<'py>,
    /// Borrowed briefly, never while Python code runs: `start_response` and `write` use it then.
    exchange: *mut Exchange<'e>,
}

impl<'py> Job<'_, 'py, '_> {
    fn run(
        &self,
        app: &Object<'py>,
        environ: &Object<'py>,
        start_response: *mut ffi::PyObject,
    ) -> Result<(), Raised> {
        let arguments = [environ.as_ptr(), start_response];
        // SAFETY: app and arguments are alive for the call, and two in number; attached (token).
        let result = unsafe {
            Object::from_new(
                self.token,
                ffi::PyObject_Vectorcall(
                    app.as_ptr(),
                    arguments.as_ptr(),
                    arguments.len(),
                    std::ptr::null_mut(),
                ),
            )
        };
        fork::leave_if_child(self.token);
        let result = result?;
        // SAFETY: the result is alive; attached (token).
        let plain = unsafe {
            ffi::PyList_CheckExact(result.as_ptr()) != 0
                || ffi::PyTuple_CheckExact(result.as_ptr()) != 0
        };
        if plain {
            // Neither has a close().
            return self.send_sequence(&result);
        }
        // `close()` must be called even if our own code panics.
        let sent = caught(self.token, || self.send_iterable(&result));
        self.close(&result, sent)
    }

    /// A list or tuple is complete, so a small one is sent as one piece of known length.
    fn send_sequence(&self, pieces: &Object<'py>) -> Result<(), Raised> {
        if let [Some(only), None] = [self.piece(pieces, 0)?, self.piece(pieces, 1)?] {
            return if self.is_file(&only) {
                self.send_iterable(&only)
            } else {
                self.finish_with(&only)
            };
        }
        let mut joined = Vec::new();
        let mut at = 0;
        let mut whole = true;
        while let Some(piece) = self.piece(pieces, at)? {
            if self.is_file(&piece) {
                whole = false;
                break;
            }
            // SAFETY: `piece` is alive.
            let copy = unsafe { copied(self.token, self.interpreter(), piece.as_ptr())? };
            let piece = copy.as_ref().unwrap_or(&piece);
            // SAFETY: as above.
            let bytes = unsafe { bytes_of(self.token, self.interpreter(), piece.as_ptr())? };
            if joined.len() + bytes.len() > JOINED_BYTES_MAX {
                whole = false;
                break;
            }
            joined.extend_from_slice(bytes);
            at += 1;
        }
        if whole {
            return self.complete(|exchange| {
                if at == 0 {
                    return exchange.response.finish(&mut *exchange.sink);
                }
                exchange.response.join_pieces(at);
                exchange.response.finish_with(&joined, &mut *exchange.sink)
            });
        }
        self.send_pieces(pieces)
    }

    /// Item `at` of a list or tuple.
    fn piece(&self, pieces: &Object<'py>, at: usize) -> Result<Option<Object<'py>>, Raised> {
        let index = at as ffi::Py_ssize_t;
        // SAFETY: `pieces` is an exact list or tuple and alive; bounds are looked at first, and the
        // list's item comes as a reference of our own (another thread of a free-threaded build may
        // change the list in between: then it raises).
        unsafe {
            if ffi::PyTuple_CheckExact(pieces.as_ptr()) != 0 {
                if index >= ffi::PyTuple_Size(pieces.as_ptr()) {
                    return Ok(None);
                }
                return Object::from_borrowed(
                    self.token,
                    ffi::PyTuple_GetItem(pieces.as_ptr(), index),
                )
                .map(Some);
            }
            if index >= ffi::PyList_Size(pieces.as_ptr()) {
                return Ok(None);
            }
            Object::from_new(
                self.token,
                ffi::compat::PyList_GetItemRef(pieces.as_ptr(), index),
            )
            .map(Some)
        }
    }

    /// Anything else that the app returned.
    fn send_iterable(&self, result: &Object<'py>) -> Result<(), Raised> {
        // SAFETY: all are alive; attached (token). Only types are compared.
        let is_whole = unsafe {
            let is_text = ffi::PyBytes_Check(result.as_ptr()) != 0
                || ffi::PyUnicode_Check(result.as_ptr()) != 0;
            (is_text && !self.interpreter().spec.strict)
                || is_buffer(self.interpreter(), result.as_ptr())
        };
        if is_whole {
            // Formally an iterable of single characters; it is sent whole, as uWSGI does.
            return self.finish_with(result);
        }
        if self.is_file(result)
            && let Some(found) =
                file_wrapper::behind(result, &self.attached.caches.sendable.get(self.token))?
        {
            return self.complete(|exchange| {
                let file_wrapper::Sendable {
                    file,
                    offset,
                    length,
                } = found;
                let room =
                    exchange
                        .response
                        .send_file(file, offset, length, &mut *exchange.sink)?;
                let end = exchange.response.finish(&mut *exchange.sink)?;
                Ok(if room == Room::Full { room } else { end })
            });
        }
        self.send_pieces(result)
    }

    /// Whether this is a `wsgi.file_wrapper`.
    fn is_file(&self, object: &Object<'py>) -> bool {
        // SAFETY: both are alive; only the address of the type is compared.
        let kind = unsafe { ffi::Py_TYPE(object.as_ptr()) };
        kind.cast() == self.attached.caches.file_wrapper.as_ptr()
    }

    /// A file wrapper that the app yields among other pieces.
    fn send_file_piece(&self, wrapper: &Object<'py>) -> Result<(), Raised> {
        // SAFETY: the exchange is this request's, and no Python code runs while it is borrowed.
        let is_plain = unsafe { !(*(*self.exchange).response).says_chunked() };
        if is_plain
            && let Some(found) =
                file_wrapper::behind(wrapper, &self.attached.caches.sendable.get(self.token))?
        {
            let file_wrapper::Sendable {
                file,
                offset,
                length,
            } = found;
            // SAFETY: as above.
            let exchange = unsafe { &mut *self.exchange };
            let response = &mut *exchange.response;
            let sent = response.write_file(file, offset, length, &mut *exchange.sink);
            return settle(self.token, exchange, sent);
        }
        // SAFETY: `wrapper` is alive; attached (token). A new reference or null.
        let blocks =
            unsafe { Object::from_new(self.token, ffi::PyObject_GetIter(wrapper.as_ptr()))? };
        loop {
            // SAFETY: the iterator is alive; attached (token).
            let block = unsafe { Object::from_new(self.token, ffi::PyIter_Next(blocks.as_ptr())) };
            fork::leave_if_child(self.token);
            let Ok(block) = block else { break };
            // SAFETY: the exchange is this request's, and `block` is alive.
            unsafe { start_response::send_piece(self.token, self.exchange, block.as_ptr())? };
        }
        // SAFETY: attached (token).
        if unsafe { ffi::PyErr_Occurred() }.is_null() {
            Ok(())
        } else {
            Err(Raised)
        }
    }

    fn send_pieces(&self, iterable: &Object<'py>) -> Result<(), Raised> {
        // SAFETY: `iterable` is alive; attached (token).
        let iterator = unsafe { ffi::PyObject_GetIter(iterable.as_ptr()) };
        fork::leave_if_child(self.token);
        // SAFETY: a new reference or null.
        let Ok(iterator) = (unsafe { Object::from_new(self.token, iterator) }) else {
            return Err(self.not_iterable(iterable));
        };
        loop {
            // SAFETY: the iterator is alive; attached (token). Null without an exception is the
            // end.
            let piece =
                unsafe { Object::from_new(self.token, ffi::PyIter_Next(iterator.as_ptr())) };
            fork::leave_if_child(self.token);
            let Ok(piece) = piece else { break };
            if self.is_file(&piece) {
                self.send_file_piece(&piece)?;
                continue;
            }
            // SAFETY: the exchange is this request's, and `piece` is alive.
            unsafe { start_response::send_piece(self.token, self.exchange, piece.as_ptr())? };
        }
        // SAFETY: attached (token).
        if !unsafe { ffi::PyErr_Occurred() }.is_null() {
            return Err(Raised);
        }
        self.complete(|exchange| exchange.response.finish(&mut *exchange.sink))
    }

    /// Replaces Python's own message, which speaks of an iterator and not of the app's return
    /// value.
    fn not_iterable(&self, result: &Object<'py>) -> Raised {
        // SAFETY: attached (token); `result` is alive.
        unsafe {
            if ffi::PyErr_ExceptionMatches(ffi::PyExc_TypeError) == 0 {
                return Raised;
            }
            ffi::PyErr_Clear();
            let what = type_name(self.token, result.as_ptr());
            let text = format!("the app returned {what}, not an iterable of bytes (PEP 3333)");
            raise(self.token, Exception::Type, &text)
        }
    }

    fn finish_with(&self, only: &Object<'py>) -> Result<(), Raised> {
        // SAFETY: `only` is alive.
        let copy = unsafe { copied(self.token, self.interpreter(), only.as_ptr())? };
        let only = copy.as_ref().unwrap_or(only);
        // SAFETY: `only` is alive until the end of this call.
        let bytes = unsafe { bytes_of(self.token, self.interpreter(), only.as_ptr())? };
        self.complete(|exchange| exchange.response.finish_with(bytes, &mut *exchange.sink))
    }

    /// Completes the response. It need not wait for room, since nothing follows; but what waits may
    /// need another place.
    fn complete(
        &self,
        send: impl FnOnce(&mut Exchange<'_>) -> Result<Room, WriteError>,
    ) -> Result<(), Raised> {
        // SAFETY: the exchange is this request's, and no Python code runs while it is borrowed.
        let exchange = unsafe { &mut *self.exchange };
        let mut sent = send(exchange);
        if sent == Ok(Room::Full) {
            let settled = detached(self.token, || exchange.sink.settle());
            sent = settled.map_err(WriteError::from).map(|()| Room::Ready);
        }
        settle(self.token, exchange, sent)
    }

    /// Calls `close()` of the app's return value, if it has one, also after a failure; an earlier
    /// error takes precedence.
    fn close(&self, result: &Object<'py>, sent: Result<(), Raised>) -> Result<(), Raised> {
        let before = sent
            .err()
            .and_then(|Raised| object::take_exception(self.token));
        let closed = self.call_close(result);
        fork::leave_if_child(self.token);
        match before {
            None => closed,
            Some(error) => {
                if closed.is_err()
                    && let Some(second) = object::take_exception(self.token)
                {
                    let traceback = failure::describe(&second);
                    tracing::error!(target: "app", "close() failed as well\n{traceback}");
                }
                // SAFETY: attached (token); the exception is given away.
                unsafe { ffi::PyErr_SetRaisedException(error.into_ptr()) };
                Err(Raised)
            }
        }
    }

    fn call_close(&self, result: &Object<'py>) -> Result<(), Raised> {
        // SAFETY: both are alive; attached (token). The exchange is this request's, and no Python
        // code runs while it is borrowed.
        unsafe {
            let close = ffi::PyObject_GetAttr(result.as_ptr(), self.attached.caches.close.as_ptr());
            let Ok(close) = Object::from_new(self.token, close) else {
                if ffi::PyErr_ExceptionMatches(ffi::PyExc_AttributeError) != 0 {
                    ffi::PyErr_Clear();
                    return Ok(());
                }
                return Err(Raised);
            };
            close.call([]).map(drop)
        }
    }

    fn interpreter(&self) -> &Interpreter {
        self.attached.interpreter
    }
}
