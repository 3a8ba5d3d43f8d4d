//! `os.environ` of an interpreter: each starts with the variables of its version of the
//! application, and not with what the code of others has left in the process. Runs on workers,
//! attached.

use std::ffi::{OsStr, OsString};

use super::attached::Attached;
use super::namespace::{find, namespace};
use super::object::{self, Object, Raised, Token};
use super::runtime::environment::{self, Environment};
use super::trampoline::{self, Method};

/// `assign_variable(text)` of our Python code: see [`environment::assign`].
pub(super) static ASSIGN_VARIABLE: Method = Method::one(c"assign_variable", assign_variable);

unsafe extern "C" fn assign_variable(
    _self: *mut pyo3_ffi::PyObject,
    text: *mut pyo3_ffi::PyObject,
) -> *mut pyo3_ffi::PyObject {
    // SAFETY: called by CPython with a live argument, which is a bytes object or refused; such an
    // object holds as many bytes as its size says, and lives during the call.
    unsafe {
        trampoline::object(|token| {
            let length = pyo3_ffi::PyBytes_Size(text);
            let start = pyo3_ffi::PyBytes_AsString(text);
            if start.is_null() {
                return Err(Raised);
            }
            let length = usize::try_from(length).unwrap_or_default();
            environment::assign(std::slice::from_raw_parts(start.cast(), length));
            Ok(Object::none(token))
        })
    }
}

/// A new interpreter's `os.environ` becomes `environment`. The process's variables stay.
pub(super) fn begin(token: Token<'_>, environment: &Environment) -> Result<(), Raised> {
    let texts: Vec<String> = environment
        .iter()
        .flat_map(|(name, value)| [name, value])
        .map(|text| latin1(text))
        .collect();
    let texts = Object::list_of_text(token, &texts)?;
    find(&namespace(token)?, c"begin_environment")?
        .call([&texts])
        .map(drop)
}

/// A letter for each byte: not all are UTF-8.
fn latin1(text: &OsStr) -> String {
    text.as_encoded_bytes()
        .iter()
        .copied()
        .map(char::from)
        .collect()
}

#[cfg(unix)]
fn from_latin1(text: &str) -> OsString {
    use std::os::unix::ffi::OsStringExt as _;

    let bytes = text
        .chars()
        .map(|letter| u8::try_from(letter).unwrap_or(b'?'));
    OsString::from_vec(bytes.collect())
}

#[cfg(not(unix))]
fn from_latin1(text: &str) -> OsString {
    OsString::from(text)
}

impl Attached<'_> {
    /// `os.environ` as it is now; empty if the interpreter cannot tell.
    pub fn environment(&mut self) -> Environment {
        let token = self.token;
        let found = namespace(token)
            .and_then(|namespace| find(&namespace, c"environment")?.call([]))
            .and_then(|found: Object<'_>| found.to_texts());
        let texts = found.unwrap_or_else(|Raised| {
            drop(object::take_exception(token));
            Vec::new()
        });
        let pairs = texts.chunks_exact(2);
        pairs
            .map(|pair| (from_latin1(&pair[0]), from_latin1(&pair[1])))
            .collect()
    }
}
