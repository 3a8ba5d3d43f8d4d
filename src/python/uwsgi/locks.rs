//! `uwsgi.lock()` and the like: locks that all interpreters share, with an owner.

use super::arguments::Called;
use crate::python::object::detached;
use crate::python::object::{Object, Raised};
use crate::python::thread_id;
use crate::python::trampoline::{Exception, raise};
use crate::python::uwsgi::backend::LockRefused;

fn number(called: &Called<'_>) -> Result<usize, Raised> {
    called.arguments.count(0, 1)?;
    if called.arguments.get(0).is_none() {
        return Ok(0);
    }
    usize::try_from(called.arguments.int(0)?)
        .map_err(|_| called.arguments.value_error("Invalid lock number"))
}

fn refused(called: &Called<'_>, why: &LockRefused) -> Raised {
    match why {
        LockRefused::Unknown(text) => raise(called.token, Exception::Value, text),
        LockRefused::Impossible(text) => raise(called.token, Exception::Runtime, text),
    }
}

/// `lock([number])`: waits until the lock is free, and takes it.
pub(super) fn lock<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let number = number(called)?;
    let interpreter = called.interpreter;
    let backend = &interpreter.spec.backend.0;
    let thread = thread_id::ident();
    detached(called.token, || {
        backend.lock(number, interpreter.serial, thread)
    })
    .map_err(|why| refused(called, &why))?;
    interpreter.count_lock();
    Ok(Object::none(called.token))
}

/// `unlock([number])`: releases it. A lock that this thread does not hold stays as it is, with a
/// line in the log.
pub(super) fn unlock<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let number = number(called)?;
    let interpreter = called.interpreter;
    let backend = &interpreter.spec.backend.0;
    match backend.unlock(number, interpreter.serial, thread_id::ident()) {
        Ok(true) => interpreter.uncount_locks(1),
        Ok(false) => tracing::warn!(
            target: "app",
            worker = interpreter.spec.worker_id,
            "uwsgi.unlock({number}): this thread does not hold that lock"
        ),
        Err(why) => return Err(refused(called, &why)),
    }
    Ok(Object::none(called.token))
}

/// `is_locked([number])`
pub(super) fn is_locked<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let number = number(called)?;
    match called.interpreter.spec.backend.0.is_locked(number) {
        Ok(is_locked) => Object::boolean(called.token, is_locked),
        Err(why) => Err(refused(called, &why)),
    }
}
