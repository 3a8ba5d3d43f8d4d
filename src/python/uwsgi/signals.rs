//! Signals: their handlers, their sources, and the run of a handler between two requests.

use std::ffi::CStr;
use std::path::PathBuf;
use std::time::Duration;

use pyo3_ffi as ffi;

use super::arguments::Called;
use crate::python::attached::Attached;
use crate::python::failure;
use crate::python::fork;
use crate::python::object::detached;
use crate::python::object::{self, Object, Raised};
use crate::python::trampoline::{Exception, caught, raise};
use crate::python::uwsgi::backend::SignalSource;

/// The dict of handlers by number, in the interpreter's dict.
pub(super) const KEY: &CStr = c"singlemalt.signals";

/// Longer periods are taken for this one: a century.
const PERIOD_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

fn handlers<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    crate::python::namespace::kept(called.token, KEY)?.ok_or_else(|| {
        let text = "this interpreter is ending";
        raise(called.token, Exception::Runtime, text)
    })
}

/// `register_signal(number, target, handler)`
pub(super) fn register_signal<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let arguments = &called.arguments;
    arguments.count(3, 3)?;
    let number = arguments.signal(0)?;
    let target = arguments.text(1)?;
    let handler = arguments.object(2)?;
    // SAFETY: the handler is alive; attached.
    if unsafe { ffi::PyCallable_Check(handler.as_ptr()) } == 0 {
        let text = "the handler of a signal must be callable";
        return Err(raise(called.token, Exception::Type, text));
    }
    handlers(called)?.set(&Object::int(called.token, number.into())?, &handler)?;
    let interpreter = called.interpreter;
    let backend = &interpreter.spec.backend.0;
    backend
        .register_signal(interpreter.spec.worker_id, number, &target)
        .map_err(|why| arguments.value_error(&why))?;
    Ok(Object::none(called.token))
}

/// `signal(number)`
pub(super) fn signal<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let arguments = &called.arguments;
    arguments.count(1, 2)?;
    if fork::is_child() {
        let text = "a process that was made by os.fork() cannot raise signals of the server";
        return Err(raise(called.token, Exception::Runtime, text));
    }
    let number = arguments.signal(0)?;
    if arguments.get(1).is_some_and(|node| !node.is_none()) && !arguments.bytes(1)?.is_empty() {
        let text = "signals to other servers are not yet in this version: uwsgi.signal(NUMBER) \
                    raises one here";
        return Err(arguments.value_error(text));
    }
    let backend = &called.interpreter.spec.backend.0;
    detached(called.token, || backend.raise_signal(number));
    Ok(Object::none(called.token))
}

/// `signal_registered(number)`: `True`, or `None`. Of this interpreter, so that the same module
/// finds the same free numbers in all of them.
pub(super) fn signal_registered<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(1, 1)?;
    let number = called.arguments.signal(0)?;
    let key = Object::int(called.token, number.into())?;
    match handlers(called)?.get(&key)? {
        Some(_) => Object::boolean(called.token, true),
        None => Ok(Object::none(called.token)),
    }
}

fn period(called: &Called<'_>, seconds: f64) -> Result<Duration, Raised> {
    let period = Duration::try_from_secs_f64(seconds);
    match period {
        Ok(period) if period >= Duration::from_millis(1) => Ok(period.min(PERIOD_MAX)),
        Err(_) if seconds.is_finite() && seconds > 0.0 => Ok(PERIOD_MAX),
        _ => Err(called
            .arguments
            .value_error("a timer waits a millisecond at least")),
    }
}

fn add<'py>(called: &Called<'py>, number: u8, source: SignalSource) -> Result<Object<'py>, Raised> {
    let interpreter = called.interpreter;
    let backend = &interpreter.spec.backend.0;
    let (worker, is_loading) = (interpreter.spec.worker_id, interpreter.is_loading());
    backend
        .add_source(worker, is_loading, number, source)
        .map_err(|why| called.arguments.value_error(&why))?;
    Ok(Object::none(called.token))
}

/// `add_timer(number, seconds)`
pub(super) fn add_timer<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(2, 2)?;
    let number = called.arguments.signal(0)?;
    let period = period(called, called.arguments.seconds(1)?)?;
    let iterations = None;
    add(called, number, SignalSource::Timer { period, iterations })
}

/// `add_ms_timer(number, milliseconds)`
pub(super) fn add_ms_timer<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(2, 2)?;
    let number = called.arguments.signal(0)?;
    let period = period(called, called.arguments.seconds(1)? / 1000.0)?;
    let iterations = None;
    add(called, number, SignalSource::Timer { period, iterations })
}

/// `add_rb_timer(number, seconds[, iterations])`; 0 iterations, as none, are without end.
pub(super) fn add_rb_timer<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let arguments = &called.arguments;
    arguments.count(2, 3)?;
    let number = arguments.signal(0)?;
    let period = period(called, arguments.seconds(1)?)?;
    let iterations = match arguments.get(2) {
        None => 0,
        Some(_) => arguments.int(2)?,
    };
    let iterations = u32::try_from(iterations)
        .map_err(|_| arguments.value_error("a timer has no iterations below 0"))?;
    let iterations = Some(iterations).filter(|iterations| *iterations > 0);
    add(called, number, SignalSource::Timer { period, iterations })
}

/// `add_cron(number, minute, hour, day, month, weekday)`
pub(super) fn add_cron<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let arguments = &called.arguments;
    arguments.count(6, 6)?;
    let number = arguments.signal(0)?;
    let mut fields = [0; 5];
    for (at, field) in fields.iter_mut().enumerate() {
        *field = i32::try_from(arguments.int(at + 1)?)
            .map_err(|_| arguments.value_error("no clock shows such a number"))?;
    }
    add(called, number, SignalSource::Cron(fields))
}

/// `add_file_monitor(number, path)`
pub(super) fn add_file_monitor<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(2, 2)?;
    let number = called.arguments.signal(0)?;
    let path = path(called.arguments.bytes(1)?);
    add(called, number, SignalSource::File(path))
}

#[cfg(unix)]
pub(super) fn path(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
pub(super) fn path(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// Calls the handler of a signal in this interpreter. An exception is logged with its traceback.
/// `false`: it raised, or there is none.
pub(in crate::python) fn run_handler(attached: &mut Attached<'_>, number: u8) -> bool {
    let token = attached.token;
    let outcome = caught(token, || {
        let handlers = crate::python::namespace::kept(token, KEY)?;
        let key = Object::int(token, number.into())?;
        let Some(handler) = handlers.map(|all| all.get(&key)).transpose()?.flatten() else {
            return Ok(false);
        };
        let called = handler.call([&key]).map(|_ignored| true);
        fork::leave_if_child(token);
        called
    });
    match outcome {
        Ok(true) => true,
        Ok(false) => {
            tracing::warn!("signal {number} has no handler in this interpreter");
            false
        }
        Err(Raised) => {
            if let Some(error) = object::take_exception(token) {
                let traceback = failure::describe(&error);
                detached(
                    token,
                    || tracing::error!(target: "app", "the handler of signal {number} failed\n{traceback}"),
                );
            }
            false
        }
    }
}
