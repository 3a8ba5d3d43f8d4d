//! Functions that the app assigned: `post_fork_hook`, `after_req_hook`, `atexit`; and the work
//! after a job.

use std::ffi::CStr;

use super::module::module;
use crate::python::attached::Attached;
use crate::python::bootstrap;
use crate::python::failure;
use crate::python::fork;
use crate::python::interpreter::Interpreter;
use crate::python::object::{self, Raised, Token};
use crate::python::thread_id;

/// Calls an attribute of the module, if it is set. An exception is logged.
fn call(token: Token<'_>, name: &CStr) {
    let outcome = (|| {
        let Some(module) = module(token)? else {
            return Ok(());
        };
        let Some(hook) = module.attribute_if_any(name)? else {
            return Ok(());
        };
        if hook.is_none() {
            return Ok(());
        }
        let called = hook.call([]).map(drop);
        fork::leave_if_child(token);
        called
    })();
    if outcome == Err(Raised)
        && let Some(error) = object::take_exception(token)
    {
        let traceback = failure::describe(&error);
        let name = name.to_string_lossy();
        tracing::error!(target: "app", "uwsgi.{name} failed\n{traceback}");
    }
}

/// The app of this interpreter has been loaded: uWSGI would have forked now.
pub(in crate::python) fn post_fork(attached: &mut Attached<'_>) {
    call(attached.token, c"post_fork_hook");
}

/// The interpreter is about to end; its locks are opened.
pub(in crate::python) fn at_exit(attached: &mut Attached<'_>) {
    call(attached.token, c"atexit");
    let interpreter = attached.interpreter;
    let backend = &interpreter.spec.backend.0;
    for number in backend.release_locks(interpreter.serial, None) {
        tracing::warn!(
            worker = interpreter.spec.worker_id,
            "lock {number} was held by an interpreter that ends; it is open now"
        );
    }
}

/// A request or a signal was served by this thread. Call it if [`Interpreter::wants_after_job`]
/// says so.
pub(in crate::python) fn after_job(token: Token<'_>, interpreter: &Interpreter, is_request: bool) {
    if is_request && interpreter.has_request_hook() {
        call(token, c"after_req_hook");
    }
    bootstrap::judge_refusals(token, interpreter);
    if interpreter.has_locks() {
        let backend = &interpreter.spec.backend.0;
        let left = backend.release_locks(interpreter.serial, Some(thread_id::ident()));
        interpreter.uncount_locks(left.len());
        for number in left {
            tracing::warn!(
                target: "app",
                worker = interpreter.spec.worker_id,
                "lock {number} was left locked at the end of a {}; it is open now",
                if is_request { "request" } else { "signal handler" }
            );
        }
    }
}
