//! The module's attributes that never change, and those that begin empty.

use pyo3_ffi as ffi;

use crate::python::interpreter::Interpreter;
use crate::python::object::{Object, Raised, Token};
use crate::python::uwsgi::backend::OptionText;

/// `uwsgi.version`: the uWSGI that singlemalt behaves like. Applications compare it, so it has
/// uWSGI's form.
pub const UWSGI_VERSION: &str = "2.0.31";

/// uWSGI's version 2.0.31 as a tuple.
const VERSION_INFO: [&str; 5] = ["2", "0", "31", "0", ""];

/// Options that tell libraries what they may do (sentry-sdk and newrelic read them): always on
/// here, whatever the configuration says.
const ALWAYS_ON: [&str; 2] = ["lazy-apps", "enable-threads"];

/// The return values of a spooler's handler.
const SPOOL: [(&std::ffi::CStr, i64); 3] = [
    (c"SPOOL_OK", -2),
    (c"SPOOL_RETRY", -1),
    (c"SPOOL_IGNORE", 0),
];

/// Fills the module's dict.
pub(super) fn set(dict: &Object<'_>, interpreter: &Interpreter) -> Result<(), Raised> {
    let token = dict.token();
    let facts = interpreter.spec.backend.0.facts();
    let bytes = |text: &str| Object::bytes(token, text.as_bytes());
    let int = |value: usize| Object::int(token, value as u64);
    dict.set_item(c"version", &Object::bytes(token, UWSGI_VERSION.as_bytes())?)?;
    dict.set_item(c"version_info", &version_info(token)?)?;
    dict.set_item(c"singlemalt_version", &bytes(env!("CARGO_PKG_VERSION"))?)?;
    dict.set_item(c"hostname", &bytes(&facts.hostname)?)?;
    dict.set_item(c"numproc", &int(facts.processes)?)?;
    dict.set_item(c"cores", &int(facts.threads)?)?;
    // An app may always start threads. APScheduler does not start otherwise.
    dict.set_item(c"has_threads", &int(1)?)?;
    dict.set_item(c"buffer_size", &int(facts.buffer_size)?)?;
    dict.set_item(c"started_on", &Object::int(token, facts.started_on)?)?;
    dict.set_item(c"unbit", &Object::boolean(token, false)?)?;
    dict.set_item(c"loop", &Object::none(token))?;
    dict.set_item(c"is_a_reload", &Object::boolean(token, facts.is_reload)?)?;
    if let Some(pidfile) = &facts.pidfile {
        dict.set_item(c"pidfile", &bytes(pidfile)?)?;
    }
    for (name, value) in SPOOL {
        dict.set_item(name, &signed(token, value)?)?;
    }
    if !facts.spoolers.is_empty() {
        let spoolers = Object::list(token)?;
        for path in &facts.spoolers {
            spoolers.push(&bytes(path)?)?;
        }
        dict.set_item(c"spoolers", &tuple(&spoolers)?)?;
    }
    dict.set_item(c"opt", &options(token, &facts.options)?)?;
    let magic = Object::dict(token)?;
    for (letter, text) in &facts.magic_table {
        let key = bytes(letter.encode_utf8(&mut [0; 4]))?;
        magic.set(&key, &bytes(text)?)?;
    }
    dict.set_item(c"magic_table", &magic)?;
    let sockets = Object::list(token)?;
    for socket in &facts.sockets {
        sockets.push(&signed(token, *socket)?)?;
    }
    dict.set_item(c"sockets", &sockets)?;
    dict.set_item(c"applications", &Object::dict(token)?)
}

fn version_info(token: Token<'_>) -> Result<Object<'_>, Raised> {
    let list = Object::list(token)?;
    for (index, part) in VERSION_INFO.into_iter().enumerate() {
        // Four numbers, and a text that is empty in a release.
        let part = match part.parse() {
            Ok(number) => Object::int(token, number)?,
            Err(_) if index == 4 => Object::bytes(token, b"")?,
            Err(_) => Object::none(token),
        };
        list.push(&part)?;
    }
    tuple(&list)
}

fn tuple<'py>(list: &Object<'py>) -> Result<Object<'py>, Raised> {
    // SAFETY: the list is alive; attached (its token).
    unsafe { Object::from_new(list.token(), ffi::PyList_AsTuple(list.as_ptr())) }
}

fn signed(token: Token<'_>, value: i64) -> Result<Object<'_>, Raised> {
    // SAFETY: attached (token).
    unsafe { Object::from_new(token, ffi::PyLong_FromLongLong(value)) }
}

/// `uwsgi.opt`: keys are `str`, values `True`, `bytes`, or a list of them if there are several.
fn options<'py>(
    token: Token<'py>,
    options: &[(String, OptionText)],
) -> Result<Object<'py>, Raised> {
    let dict = Object::dict(token)?;
    let value = |text: &OptionText| match text {
        OptionText::On => Object::boolean(token, true),
        OptionText::Text(text) => Object::bytes(token, text.as_bytes()),
    };
    for (at, (name, _)) in options.iter().enumerate() {
        let is_first = !options[..at].iter().any(|(before, _)| before == name);
        if !is_first {
            continue;
        }
        let all: Vec<_> = options[at..]
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, text)| text)
            .collect();
        let found = match all[..] {
            [only] => value(only)?,
            _ => {
                let list = Object::list(token)?;
                for text in all {
                    list.push(&value(text)?)?;
                }
                list
            }
        };
        dict.set(&Object::text(token, name)?, &found)?;
    }
    for name in ALWAYS_ON {
        dict.set(&Object::text(token, name)?, &Object::boolean(token, true)?)?;
    }
    Ok(dict)
}
