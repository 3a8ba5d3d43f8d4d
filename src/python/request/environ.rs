//! The environ of a request as a Python dict, made fast: a copy of an existing dict, with existing
//! keys, and with existing values where the last request had the same. `last_environ.rs` makes
//! those of HTTP requests, this file those of front ends.
//!
//! The wsgi room knows the keys and their values ([`environ::for_each_under`]); this file makes the
//! objects. Owned by one thread of one interpreter, attached.

use pyo3_ffi as ffi;

use super::environ_keys::{VALUE_BYTES_MAX, interned, is_looked_up, is_secret, set};
use super::last_environ::LastEnviron;
use crate::python::interpreter::Interpreter;
use crate::python::object::{Kept, Object, Raised, Token};
use crate::python::trampoline::{Exception, raise};
use crate::wsgi::Head;
use crate::wsgi::environ::{self, Key, Known, Link, Peer, ServerFacts};

/// Places in the cache of names of variables: a front end sends some forty, always the same. A
/// power of two.
const VARIABLE_PLACES: usize = 256;
/// The part of a call that the environ is made from.
pub(crate) struct Request<'a> {
    pub(crate) listener: usize,
    pub(crate) head: &'a Head,
    pub(crate) peer: &'a Peer,
    pub(crate) link: Link<'a>,
    pub(crate) prefix_bytes: usize,
}

pub(crate) struct Environs {
    /// One per listener, with the keys that do not vary.
    bases: Box<[Base]>,
    known: Box<[Entry; Known::COUNT]>,
    /// Empty until the first request comes as variables.
    variables: Box<[Option<NamedEntry>]>,
    scratch: Vec<u8>,
}

/// The common part of a listener's environs, one for each scheme, since a trusted proxy may say
/// which one the client uses.
struct Base {
    http: Begin,
    https: Begin,
    /// The listener's own scheme.
    is_https: bool,
}

struct Begin {
    base: Kept,
    /// Made when it is first needed.
    last: Option<Box<LastEnviron>>,
}

/// A key and the value it had last.
struct Entry {
    key: Kept,
    /// Whether values may be kept: not those that identify a user.
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
                // A changing address or number often has the same length: no new allocation.
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

impl Environs {
    /// The common part of a thread's environs. `constants` are the interpreter's values.
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
            // The base has the keys that every request sets, so that a copy has room for them.
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

    pub(crate) fn make<'py>(
        &mut self,
        token: Token<'py>,
        request: &Request<'_>,
        input: &Kept,
        content_length: u64,
    ) -> Result<Object<'py>, Raised> {
        let Request {
            listener,
            head,
            peer,
            link,
            prefix_bytes,
        } = *request;
        let Self {
            bases,
            known,
            variables,
            scratch,
        } = self;
        let at = if listener < bases.len() { listener } else { 0 };
        let Some(base) = bases.get_mut(at) else {
            let text = "this interpreter was made for no listener";
            return Err(raise(token, Exception::Runtime, text));
        };
        let begin = if link.is_https.unwrap_or(base.is_https) {
            &mut base.https
        } else {
            &mut base.http
        };
        let environ = match (head, head.as_variables()) {
            (Head::Http(head), _) => {
                let last = match &mut begin.last {
                    Some(last) => last,
                    none => none.insert(Box::new(LastEnviron::new(token, &begin.base)?)),
                };
                last.next(token, head, prefix_bytes, peer, content_length)?
            }
            (_, received) => {
                // SAFETY: the base is a dict and alive; attached (token).
                let environ =
                    unsafe { Object::from_new(token, ffi::PyDict_Copy(begin.base.as_ptr()))? };
                let put = |key: Key<'_>, value: &[u8]| match key {
                    Key::Known(key) => known[key.index()].put(&environ, value),
                    // Variables contain no fields.
                    Key::Variable { name, hash } | Key::Field { name, hash } => {
                        put_variable(variables, &environ, name, hash, value)
                    }
                };
                if let Some(received) = received {
                    environ::for_each_variable(
                        prefix_bytes,
                        received,
                        content_length,
                        scratch,
                        put,
                    )?;
                }
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

/// `environ[name] = value` for a variable of a front end; its name is the key. Names that share a
/// slot evict each other.
#[inline]
fn put_variable(
    variables: &mut Box<[Option<NamedEntry>]>,
    environ: &Object<'_>,
    name: &[u8],
    hash: u32,
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

fn entry_for(key: &[u8], environ: &Object<'_>) -> Result<Entry, Raised> {
    let object = match std::str::from_utf8(key) {
        Ok(text) if is_looked_up(key) => interned(environ.token(), text)?,
        _ => Object::latin1(environ.token(), key)?,
    };
    Ok(Entry::new(object, !is_secret(key)))
}
