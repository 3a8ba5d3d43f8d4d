//! What the application says about the log line of its request: `set_logvar` and the like.
//!
//! The notes are plain data of the calling worker thread, from the request's beginning to its end.

use std::cell::RefCell;

use super::arguments::Called;
use crate::python::object::{Object, Raised};
use crate::python::trampoline::{Exception, raise};
use crate::wsgi::LogNotes;

#[derive(Default)]
struct Request {
    is_running: bool,
    notes: Option<Box<LogNotes>>,
}

thread_local! {
    static REQUEST: RefCell<Request> = const {
        RefCell::new(Request { is_running: false, notes: None })
    };
}

/// This thread begins a request.
pub(in crate::python) fn begin_request() {
    REQUEST.with_borrow_mut(|request| request.is_running = true);
}

/// This thread's request has ended: the notes of the application, if it made any.
pub(in crate::python) fn end_request() -> Option<Box<LogNotes>> {
    REQUEST.with_borrow_mut(std::mem::take).notes
}

/// Changes the notes of this thread's request.
fn note(called: &Called<'_>, change: impl FnOnce(&mut LogNotes)) -> Result<(), Raised> {
    REQUEST.with_borrow_mut(|request| {
        if !request.is_running {
            let text = "you can call uwsgi api function only from the main callable";
            return Err(raise(called.token, Exception::System, text));
        }
        change(request.notes.get_or_insert_default());
        Ok(())
    })
}

/// `log_this_request()`: the request has a line, whatever the rules are.
pub(super) fn log_this_request<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    note(called, |notes| notes.is_wanted = true)?;
    Ok(Object::none(called.token))
}

/// `set_logvar(name, value)`: a variable of the log line.
pub(super) fn set_logvar<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(2, 2)?;
    let (name, value) = (called.arguments.bytes(0)?, called.arguments.bytes(1)?);
    note(called, |notes| notes.set(&name, &value))?;
    Ok(Object::none(called.token))
}

/// `get_logvar(name)`: its value, or `None`.
pub(super) fn get_logvar<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(1, 1)?;
    let name = called.arguments.bytes(0)?;
    let mut value = None;
    note(called, |notes| value = notes.get(&name).map(<[u8]>::to_vec))?;
    match value {
        Some(value) => Object::bytes(called.token, &value),
        None => Ok(Object::none(called.token)),
    }
}

/// `add_var(name, value)`: a request variable, for `%(var.NAME)`. The environ that the application
/// has stays as it is, as in uWSGI.
pub(super) fn add_var<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(2, 2)?;
    let (name, value) = (called.arguments.bytes(0)?, called.arguments.bytes(1)?);
    note(called, |notes| notes.set_variable(&name, &value))?;
    Object::boolean(called.token, true)
}

/// `logsize()`: bytes of the log file.
pub(super) fn logsize<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let backend = &called.interpreter.spec.backend.0;
    Object::int(called.token, backend.log_bytes())
}
