//! The environ of a request as a Python dict, made fast: a copy of a dict that exists, keys that
//! exist already, and values that exist already where the last request had the same. HTTP's are
//! made in `last_environ.rs`, those of front ends here.
//!
//! What varies and what it is called is the wsgi room's knowledge ([`environ::for_each_under`]);
//! here are only objects. Owned by one thread of one interpreter, attached.

use std::ffi::CString;

use pyo3_ffi as ffi;

use super::call::Request;
use super::last_environ::LastEnviron;
use crate::python::interpreter::Interpreter;
use crate::python::object::{Kept, Object, Raised, Token};
use crate::wsgi::Head;
use crate::wsgi::environ::{self, Key, Known, ServerFacts};

/// Places in the cache of header names. A request rarely has more than 20; a power of two.
pub(crate) const NAME_PLACES: usize = 128;
/// Places in the cache of names of variables: a front end sends some forty, always the same. A
/// power of two.
const VARIABLE_PLACES: usize = 256;
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

/// Makes environs for one thread.
pub(crate) struct Environs {
    /// One per listener, with all that does not vary.
    bases: Box<[Base]>,
    known: Box<[Entry; Known::COUNT]>,
    /// Empty until the first request comes as variables.
    variables: Box<[Option<NamedEntry>]>,
    scratch: Vec<u8>,
}

/// What the requests of one listener have in common, by the scheme that their clients use: a proxy
/// may have told.
struct Base {
    http: Begin,
    https: Begin,
    /// The listener's own scheme.
    is_https: bool,
}

/// What an environ begins as.
struct Begin {
    base: Kept,
    /// Made when it is first needed.
    last: Option<Box<LastEnviron>>,
}

/// A key and the value it had last.
struct Entry {
    key: Kept,
    /// Whether values may be kept: not those that say who somebody is.
    keeps: bool,
    last: Option<(Box<[u8]>, Kept)>,
}

/// The name of a front end's variable, and its entry.
struct NamedEntry {
    name: Box<[u8]>,
    entry: Entry,
}

impl Entry {
    fn new(key: Object<'_>, keeps: bool) -> Self {
        Self {
            key: key.keep(),
            keeps,
            last: None,
        }
    }

    /// `environ[key] = value`.
    #[inline]
    fn put(&mut self, environ: &Object<'_>, value: &[u8]) -> Result<(), Raised> {
        if let Some((bytes, object)) = &self.last
            && **bytes == *value
        {
            return set(environ, &self.key, object.as_ptr());
        }
        let object = Object::latin1(environ.token(), value)?;
        set(environ, &self.key, object.as_ptr())?;
        if self.keeps && value.len() <= VALUE_BYTES_MAX {
            match &mut self.last {
                // Of the same length, as a changing address or number often is: no new memory.
                Some((bytes, kept)) if bytes.len() == value.len() => {
                    bytes.copy_from_slice(value);
                    *kept = object.keep();
                }
                last => *last = Some((value.into(), object.keep())),
            }
        }
        Ok(())
    }
}

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

/// A str that other code finds by its address.
pub(crate) fn interned<'py>(token: Token<'py>, text: &str) -> Result<Object<'py>, Raised> {
    let text = CString::new(text).unwrap_or_default();
    // SAFETY: attached (token); the text is NUL-terminated and copied.
    unsafe { Object::from_new(token, ffi::PyUnicode_InternFromString(text.as_ptr())) }
}

impl Environs {
    /// Everything that the requests of one thread have in common. `constants` has what the
    /// interpreter knows.
    pub(crate) fn new(
        token: Token<'_>,
        interpreter: &Interpreter,
        constants: &[(Known, Object<'_>)],
    ) -> Result<Self, Raised> {
        let mut known = Vec::with_capacity(Known::COUNT);
        for key in Known::ALL {
            known.push(Entry::new(interned(token, key.name())?, !key.is_secret()));
        }
        let known: Box<[Entry; Known::COUNT]> = match known.into_boxed_slice().try_into() {
            Ok(known) => known,
            Err(_) => unreachable!("one entry was pushed for each"),
        };
        let placeholder = Object::none(token);
        let mut bases = Vec::with_capacity(interpreter.spec.listeners.len());
        let base = |facts: &ServerFacts| {
            let base = Object::dict(token)?;
            // Keys that every request puts stand in the base already, so that a copy has room for
            // them.
            let always: &[Known] = if facts.takes_variables {
                &[Known::Input]
            } else {
                &[
                    Known::RequestMethod,
                    Known::PathInfo,
                    Known::QueryString,
                    Known::RequestUri,
                    Known::ServerProtocol,
                    Known::RemoteAddr,
                    Known::RemotePort,
                    Known::Input,
                ]
            };
            for key in always {
                set(&base, &known[key.index()].key, placeholder.as_ptr())?;
            }
            environ::for_each_of_listener(facts, |key, value| {
                let value = Object::latin1(token, value)?;
                set(&base, &known[key.index()].key, value.as_ptr())
            })?;
            for (name, value) in facts.added.iter() {
                let value = Object::latin1(token, value.as_bytes())?;
                base.set(&interned(token, name)?, &value)?;
            }
            for (key, value) in constants {
                set(&base, &known[key.index()].key, value.as_ptr())?;
            }
            Ok(Begin {
                base: base.keep(),
                last: None,
            })
        };
        for facts in &interpreter.spec.listeners {
            let with = |scheme| ServerFacts {
                scheme,
                ..facts.clone()
            };
            bases.push(Base {
                http: base(&with("http"))?,
                https: base(&with("https"))?,
                is_https: facts.scheme == "https",
            });
        }
        Ok(Self {
            bases: bases.into(),
            known,
            variables: no_names(0),
            scratch: Vec::new(),
        })
    }

    /// The environ of one request.
    pub(crate) fn make<'py>(
        &mut self,
        token: Token<'py>,
        request: &Request<'_>,
        input: (&Kept, u64),
    ) -> Result<Object<'py>, Raised> {
        let Request {
            listener,
            head,
            peer,
            link,
            prefix_bytes,
        } = *request;
        let (input, content_length) = input;
        let Self {
            bases,
            known,
            variables,
            scratch,
        } = self;
        let at = if listener < bases.len() { listener } else { 0 };
        let Some(base) = bases.get_mut(at) else {
            let text = "this interpreter was made for no listener";
            return Err(crate::python::trampoline::raise(
                token,
                crate::python::trampoline::Exception::Runtime,
                text,
            ));
        };
        let begin = if link.is_https.unwrap_or(base.is_https) {
            &mut base.https
        } else {
            &mut base.http
        };
        let environ = match head {
            Head::Http(head) => {
                let last = match &mut begin.last {
                    Some(last) => last,
                    none => none.insert(Box::new(LastEnviron::new(token, &begin.base)?)),
                };
                last.next(token, (head, prefix_bytes), peer, content_length)?
            }
            Head::Variables(received) => {
                // SAFETY: the base is a dict and alive; attached (token).
                let environ =
                    unsafe { Object::from_new(token, ffi::PyDict_Copy(begin.base.as_ptr()))? };
                let put = |key: Key<'_>, value: &[u8]| match key {
                    Key::Known(key) => known[key.index()].put(&environ, value),
                    // There are no fields among the variables.
                    Key::Variable { name, hash } | Key::Field { name, hash } => {
                        put_variable(variables, &environ, (name, hash), value)
                    }
                };
                environ::for_each_variable(prefix_bytes, received, content_length, scratch, put)?;
                environ
            }
        };
        set(&environ, &known[Known::Input.index()].key, input.as_ptr())?;
        link.for_each(|key, value| known[key.index()].put(&environ, value))?;
        Ok(environ)
    }
}

fn no_names(places: usize) -> Box<[Option<NamedEntry>]> {
    (0..places).map(|_| None).collect()
}

/// `environ[name] = value` for a variable of a front end, whose name is the key. Two names that
/// share a place push each other out.
#[inline]
fn put_variable(
    variables: &mut Box<[Option<NamedEntry>]>,
    environ: &Object<'_>,
    (name, hash): (&[u8], u32),
    value: &[u8],
) -> Result<(), Raised> {
    if variables.is_empty() {
        *variables = no_names(VARIABLE_PLACES);
    }
    let place = &mut variables[hash as usize % VARIABLE_PLACES];
    if let Some(named) = place
        && *named.name == *name
    {
        return named.entry.put(environ, value);
    }
    let named = place.insert(NamedEntry {
        name: name.into(),
        entry: entry_for(name, environ)?,
    });
    named.entry.put(environ, value)
}

/// The entry of a key that is not in a cache yet.
fn entry_for(key: &[u8], environ: &Object<'_>) -> Result<Entry, Raised> {
    let object = match std::str::from_utf8(key) {
        Ok(text) if is_looked_up(key) => interned(environ.token(), text)?,
        _ => Object::latin1(environ.token(), key)?,
    };
    Ok(Entry::new(object, !is_secret(key)))
}

/// Whether applications look this key up.
pub(crate) fn is_looked_up(key: &[u8]) -> bool {
    let mut known = Known::ALL.iter();
    INTERNED.contains(&key) || known.any(|known| known.name().as_bytes() == key)
}

/// Whether values of this key say who somebody is, or what nobody else should know.
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
