//! The keys of an environ as `str` objects: which are interned, and which values are never kept.
//! Runs on workers, attached.

use std::ffi::CString;

use pyo3_ffi as ffi;

use crate::python::object::{Kept, Object, Raised, Token};
use crate::wsgi::environ::Known;

/// Values up to this size are kept to be compared with the next request's. Bytes.
pub(crate) const VALUE_BYTES_MAX: usize = 256;

/// Header keys that apps look up: interned, so that a lookup finds them by address. Only these,
/// because 3.12 never frees an interned str, and header names are the client's choice.
const INTERNED: [&[u8]; 30] = [
    b"HTTP_ACCEPT",
    b"HTTP_ACCEPT_ENCODING",
    b"HTTP_ACCEPT_LANGUAGE",
    b"HTTP_AUTHORIZATION",
    b"HTTP_CACHE_CONTROL",
    b"HTTP_CONNECTION",
    b"HTTP_COOKIE",
    b"HTTP_DNT",
    b"HTTP_EXPECT",
    b"HTTP_FORWARDED",
    b"HTTP_HOST",
    b"HTTP_IF_MODIFIED_SINCE",
    b"HTTP_IF_NONE_MATCH",
    b"HTTP_IF_RANGE",
    b"HTTP_ORIGIN",
    b"HTTP_PRAGMA",
    b"HTTP_RANGE",
    b"HTTP_REFERER",
    b"HTTP_SEC_FETCH_DEST",
    b"HTTP_SEC_FETCH_MODE",
    b"HTTP_SEC_FETCH_SITE",
    b"HTTP_UPGRADE_INSECURE_REQUESTS",
    b"HTTP_USER_AGENT",
    b"HTTP_X_CSRFTOKEN",
    b"HTTP_X_FORWARDED_FOR",
    b"HTTP_X_FORWARDED_HOST",
    b"HTTP_X_FORWARDED_PROTO",
    b"HTTP_X_REAL_IP",
    b"HTTP_X_REQUESTED_WITH",
    b"HTTP_X_REQUEST_ID",
];

pub(crate) fn set(
    environ: &Object<'_>,
    key: &Kept,
    value: *mut ffi::PyObject,
) -> Result<(), Raised> {
    // SAFETY: all three are alive, `environ` is a dict; it takes references of its own. Attached
    // (its token).
    match unsafe { ffi::PyDict_SetItem(environ.as_ptr(), key.as_ptr(), value) } {
        0 => Ok(()),
        _ => Err(Raised),
    }
}

/// An interned str, which a lookup compares by address.
pub(crate) fn interned<'py>(token: Token<'py>, text: &str) -> Result<Object<'py>, Raised> {
    let text = CString::new(text).unwrap_or_default();
    // SAFETY: attached (token); the text is NUL-terminated and copied.
    unsafe { Object::from_new(token, ffi::PyUnicode_InternFromString(text.as_ptr())) }
}

pub(crate) fn is_looked_up(key: &[u8]) -> bool {
    let mut known = Known::ALL.iter();
    INTERNED.contains(&key) || known.any(|known| known.name().as_bytes() == key)
}

/// Whether values of this key identify a user or are confidential.
pub(crate) fn is_secret(key: &[u8]) -> bool {
    matches!(
        key,
        b"HTTP_COOKIE"
            | b"HTTP_AUTHORIZATION"
            | b"HTTP_PROXY_AUTHORIZATION"
            | b"QUERY_STRING"
            | b"REMOTE_USER"
    ) || key.starts_with(b"SSL_")
}
