//! Reload and stop, numbers and names, counters.

use std::time::Duration;

use pyo3_ffi as ffi;

use super::arguments::Called;
use crate::python::interpreter::Isolation;
use crate::python::interpreter::Role;
use crate::python::object::detached;
use crate::python::object::{Object, Raised};
use crate::python::thread_id;
use crate::python::trampoline::{Exception, raise};
use crate::python::uwsgi::backend::{AppFacts, WorkerFacts};

/// `reload()`: asks for a graceful reload.
pub(super) fn reload<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(0, 0)?;
    let backend = &called.interpreter.spec.backend.0;
    detached(called.token, || backend.reload());
    Object::boolean(called.token, true)
}

/// `stop()`: asks for a stop.
pub(super) fn stop<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(0, 0)?;
    let backend = &called.interpreter.spec.backend.0;
    detached(called.token, || backend.stop());
    Object::boolean(called.token, true)
}

/// `worker_id()`: the number of the interpreter, from 1; 0 in the spooler.
pub(super) fn worker_id<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let number = match called.interpreter.spec.role {
        Role::Worker => called.interpreter.spec.worker_id as u64,
        Role::Spooler(_) => 0,
    };
    Object::int(called.token, number)
}

/// `mule_id()`: 0, this is no mule.
pub(super) fn mule_id<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    Object::int(called.token, 0)
}

/// `masterpid()`: this process, for the first interpreter. A library that does something once in
/// a server does it where this is `os.getpid()`; others need a master that is not 0. So further
/// interpreters get the id of their thread, which differs and by which a signal reaches this
/// process, too, where the system has such ids (Linux).
pub(super) fn masterpid<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let interpreter = called.interpreter;
    let pid = match (interpreter.spec.worker_id, interpreter.creator_id) {
        (0 | 1, _) | (_, 0) => std::process::id(),
        (_, creator) => creator,
    };
    Object::int(called.token, pid.into())
}

fn all_workers(called: &Called<'_>) -> Vec<WorkerFacts> {
    called.interpreter.spec.backend.0.workers()
}

/// `total_requests()`: of all workers.
pub(super) fn total_requests<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let workers = all_workers(called);
    let total = workers.iter().map(|worker| worker.requests).sum();
    Object::int(called.token, total)
}

/// `request_id()`: how many requests this worker has had, the current one included.
pub(super) fn request_id<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let id = called.interpreter.spec.worker_id;
    let workers = all_workers(called);
    let mine = workers.iter().find(|worker| worker.id == id);
    Object::int(called.token, mine.map_or(0, |worker| worker.requests))
}

/// `listen_queue([socket])`: requests that wait.
pub(super) fn listen_queue<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(0, 1)?;
    let waiting = called.interpreter.spec.backend.0.queued_requests();
    Object::int(called.token, waiting as u64)
}

/// `mem()`: bytes resident, and of address space, of the process.
pub(super) fn mem<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let (resident, virtual_) = called.interpreter.spec.backend.0.memory();
    let list = Object::list(called.token)?;
    list.push(&Object::int(called.token, resident)?)?;
    list.push(&Object::int(called.token, virtual_)?)?;
    tuple(called, &list)
}

/// `micros()`: microseconds since 1970.
pub(super) fn micros<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let micros = since.map_or(0, |since| since.as_micros());
    Object::int(called.token, u64::try_from(micros).unwrap_or(u64::MAX))
}

/// `ready()`: whether the app has been loaded.
pub(super) fn ready<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    if called.interpreter.is_loading() {
        return Ok(Object::none(called.token));
    }
    Object::boolean(called.token, true)
}

/// `workers()`: a tuple of dicts.
pub(super) fn workers<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    let workers = all_workers(called);
    let (resident, virtual_) = called.interpreter.spec.backend.0.memory();
    let share = workers.len().max(1) as u64;
    let list = Object::list(called.token)?;
    for worker in &workers {
        list.push(&described(called, worker, resident / share, virtual_)?)?;
    }
    tuple(called, &list)
}

/// `rss`: each interpreter's equal share of the process, since its memory cannot be attributed;
/// `vsz` is the process's.
fn described<'py>(
    called: &Called<'py>,
    worker: &WorkerFacts,
    rss: u64,
    vsz: u64,
) -> Result<Object<'py>, Raised> {
    let token = called.token;
    let dict = Object::dict(token)?;
    for (name, value) in [
        (c"id", worker.id as u64),
        (c"pid", std::process::id().into()),
        (c"requests", worker.requests),
        (c"delta_requests", worker.delta_requests),
        (c"signals", worker.signals),
        (c"exceptions", worker.exceptions),
        (c"rss", rss),
        (c"vsz", vsz),
        (c"running_time", worker.running_time),
        (c"last_spawn", worker.last_spawn),
        (c"respawn_count", worker.respawns),
        (c"tx", worker.sent_bytes),
        (c"avg_rt", worker.average_time),
    ] {
        dict.set_item(name, &Object::int(token, value)?)?;
    }
    dict.set_item(c"status", &Object::bytes(token, worker.status.as_bytes())?)?;
    let apps = Object::list(token)?;
    for facts in &worker.apps {
        apps.push(&described_app(called, facts)?)?;
    }
    dict.set_item(c"apps", &apps)?;
    Ok(dict)
}

fn described_app<'py>(called: &Called<'py>, facts: &AppFacts) -> Result<Object<'py>, Raised> {
    let token = called.token;
    let app = Object::dict(token)?;
    for (name, value) in [
        (c"id", facts.id as u64),
        (c"modifier1", 0),
        (c"startup_time", facts.startup_time),
        (c"requests", facts.requests),
        (c"exceptions", facts.exceptions),
    ] {
        app.set_item(name, &Object::int(token, value)?)?;
    }
    let mountpoint = Object::bytes(token, facts.mountpoint.as_bytes())?;
    app.set_item(c"mountpoint", &mountpoint)?;
    app.set_item(c"chdir", &Object::bytes(token, b"")?)?;
    Ok(app)
}

fn tuple<'py>(called: &Called<'py>, list: &Object<'py>) -> Result<Object<'py>, Raised> {
    // SAFETY: the list is alive; attached.
    unsafe { Object::from_new(called.token, ffi::PyList_AsTuple(list.as_ptr())) }
}

/// `log(message)`: a line of the log.
pub(super) fn log<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(1, 1)?;
    let text = called.arguments.text(0)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    // The reader of the log may be slow.
    detached(called.token, || tracing::info!(target: "app.log", "{line}"));
    Object::boolean(called.token, true)
}

/// `alarm(name, message)`: raises an alarm of the configuration. One that does not exist is a line
/// in the log, no exception: in uWSGI it is nothing at all.
pub(super) fn alarm<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(2, 2)?;
    let (name, message) = (called.arguments.text(0)?, called.arguments.text(1)?);
    let backend = &called.interpreter.spec.backend.0;
    detached(called.token, || {
        if !backend.raise_alarm(&name, &message) {
            tracing::warn!("uwsgi.alarm(): there is no alarm {name}: declare it with --alarm");
        }
    });
    Ok(Object::none(called.token))
}

/// `setprocname(name)`
pub(super) fn setprocname<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(1, 1)?;
    let name = called.arguments.text(0)?;
    called.interpreter.spec.backend.0.set_process_name(&name);
    Ok(Object::none(called.token))
}

/// `set_user_harakiri(seconds)`: ends this request when they have passed; 0 takes it back.
pub(super) fn set_user_harakiri<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    called.arguments.count(1, 1)?;
    let seconds = u64::try_from(called.arguments.int(0)?).unwrap_or(0);
    let limit = (seconds > 0).then(|| Duration::from_secs(seconds));
    let interpreter = called.interpreter;
    // SAFETY: attached (token); the version is a constant of the library.
    let version = unsafe { std::ptr::read(&raw const ffi::Py_Version) };
    if version < 0x030d_0000 && interpreter.spec.isolation == Isolation::SharedGil {
        let text = "requests of shared-gil interpreters cannot be ended on CPython 3.12 \
                    (docs/harakiri.md)";
        return Err(raise(called.token, Exception::Runtime, text));
    }
    let backend = &interpreter.spec.backend.0;
    backend.limit_request(interpreter.serial, thread_id::ident(), limit);
    Ok(Object::none(called.token))
}

/// `i_am_the_lord(legion)`: there are no legions.
pub(super) fn i_am_the_lord<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    Object::boolean(called.token, false)
}

/// `accepting()`: workers take requests as soon as they can, so there is nothing to begin.
pub(super) fn accepting<'py>(called: &Called<'py>) -> Result<Object<'py>, Raised> {
    Ok(Object::none(called.token))
}
