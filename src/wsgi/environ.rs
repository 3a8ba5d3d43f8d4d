//! The environ of a request, as data: its keys, the source of each, and the bytes of those that
//! depend on a request or a listener. No Python: values are bytes, which the Python layer decodes
//! as latin-1 (PEP 3333, "A Note on String Types").
//!
//! Runs once per request on its worker, with the GIL held: no allocation in the usual case, no
//! second look at framing or at names (`protocol::http` has decided those).
//!
//! # The rules, in one place
//! - `PATH_INFO` is the target's path with every `%XX` decoded to its byte, `%2F` and `%00`
//!   included. A `%` without two hex digits behind it stays as it is; `+` stays a plus. Nothing is
//!   normalised: `//a/../b` arrives as sent.
//! - `SCRIPT_NAME` is empty, or the mount prefix that `PATH_INFO` was relieved of
//!   ([`Mounts`](super::Mounts)).
//! - `QUERY_STRING` is raw, without the `?`; empty if there is none. `REQUEST_URI` is the whole
//!   target, raw.
//! - `OPTIONS *` has the empty `PATH_INFO` (as CGI and `wsgiref.validate` require).
//! - An absolute-form target gives its path, query and authority to `PATH_INFO`, `QUERY_STRING` and
//!   `HTTP_HOST` (RFC 9112, 3.2.2); `REQUEST_URI` keeps all of it. `wsgi.url_scheme` stays the
//!   listener's.
//! - `CONTENT_TYPE` and `CONTENT_LENGTH` are absent when the request has no such field, as under
//!   uWSGI's own http parser: the empty string would break `int(environ.get('CONTENT_LENGTH', 0))`.
//! - A chunked body is complete and decoded before the application runs: `CONTENT_LENGTH` is its
//!   decoded length, and `HTTP_TRANSFER_ENCODING` is absent, else frameworks would decode twice.
//!   `wsgi.input_terminated` is true for every request.
//! - Repeated fields are joined in wire order by `,`, cookies by `; `.
//!
//! A request from a front end ([`for_each_variable`]) is what the front end says, to the letter:
//! see there.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use memchr::memchr;

use crate::protocol::cgi::{BodyLength, Variables};
use crate::protocol::http::{Field, FieldKind, Framing, Repeat, RequestHead};

/// Who knows the value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The request: [`for_each`].
    Request,
    /// The listener: [`for_each_of_listener`], once per base environ.
    Listener,
    /// The interpreter: an object, made by the Python layer.
    Interpreter,
}

macro_rules! known {
    ($($(#[$doc:meta])+ $variant:ident $name:literal $source:ident;)+) => {
        /// Every key of an environ but the `HTTP_*` ones. The discriminants count from 0: an index
        /// for interned keys.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known { $($(#[$doc])+ $variant,)+ }

        impl Known {
            /// All of them, in the order of their index.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = [$($name,)+].len();

            /// The key as the application sees it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Who knows its value.
            pub const fn source(self) -> Source {
                match self { $(Self::$variant => Source::$source,)+ }
            }

            /// Whether its values may identify a user or be confidential: they are not kept for the
            /// next request.
            pub const fn is_secret(self) -> bool {
                matches!(self, Self::QueryString | Self::HttpsDn | Self::HttpsCc)
            }

            /// Its place in [`ALL`](Self::ALL).
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

known! {
    /// The method as received, case kept.
    RequestMethod "REQUEST_METHOD" Request;
    /// The path, percent-decoded, behind the mount prefix.
    PathInfo "PATH_INFO" Request;
    /// What follows the first `?`, raw.
    QueryString "QUERY_STRING" Request;
    /// The request target, raw (uWSGI, Apache; not in PEP 3333).
    RequestUri "REQUEST_URI" Request;
    /// `HTTP/1.1` or `HTTP/1.0`, the request's.
    ServerProtocol "SERVER_PROTOCOL" Request;
    /// The client's address; empty behind a unix socket.
    RemoteAddr "REMOTE_ADDR" Request;
    /// The client's port; empty behind a unix socket.
    RemotePort "REMOTE_PORT" Request;
    /// The field's value; absent without the field.
    ContentType "CONTENT_TYPE" Request;
    /// Decimal length of the body in bytes; absent where the request does not speak of a body.
    ContentLength "CONTENT_LENGTH" Request;
    /// The mount prefix. The base environ has the empty one; a request puts its own only under a
    /// mount.
    ScriptName "SCRIPT_NAME" Listener;
    /// Never empty (PEP 3333).
    ServerName "SERVER_NAME" Listener;
    /// Never empty (PEP 3333).
    ServerPort "SERVER_PORT" Listener;
    /// `http` or `https`.
    UrlScheme "wsgi.url_scheme" Listener;
    /// `on` for a listener with TLS, else absent (uWSGI, Apache).
    Https "HTTPS" Listener;
    /// The subject of the client's certificate; absent without one (uWSGI).
    HttpsDn "HTTPS_DN" Request;
    /// The client's certificate in PEM, if it is handed on; else absent (uWSGI).
    HttpsCc "HTTPS_CC" Request;
    /// `(1, 0)`
    Version "wsgi.version" Interpreter;
    /// The body.
    Input "wsgi.input" Interpreter;
    /// `True`: reading to the end of the input is safe, whatever `CONTENT_LENGTH` says.
    InputTerminated "wsgi.input_terminated" Interpreter;
    /// The error stream.
    Errors "wsgi.errors" Interpreter;
    /// More than one thread in this interpreter.
    Multithread "wsgi.multithread" Interpreter;
    /// More than one interpreter: module state is not shared.
    Multiprocess "wsgi.multiprocess" Interpreter;
    /// `False`
    RunOnce "wsgi.run_once" Interpreter;
    /// Wraps a file for sending.
    FileWrapper "wsgi.file_wrapper" Interpreter;
    /// The server's version, as bytes (uWSGI).
    UwsgiVersion "uwsgi.version" Interpreter;
    /// The machine's name, as bytes (uWSGI).
    UwsgiNode "uwsgi.node" Interpreter;
    /// The number of the thread within its interpreter (uWSGI).
    UwsgiCore "uwsgi.core" Interpreter;
}

/// A key of the environ of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// One of the fixed keys.
    Known(Known),
    /// A field.
    Field {
        /// Its name as received: the key is what [`environ_key`] makes of it.
        name: &'a [u8],
        /// [`name_hash`](crate::protocol::http::name_hash) of the name, for caches of keys.
        hash: u32,
    },
    /// A variable of a front end.
    Variable {
        /// The key itself.
        name: &'a [u8],
        /// [`name_hash`](crate::protocol::http::name_hash) of the name.
        hash: u32,
    },
}

/// The other end of a connection, as text: made once per connection, without allocating.
#[derive(Clone, Copy)]
pub struct Peer {
    /// Address, then port.
    text: [u8; Self::ADDRESS_BYTES_MAX + Self::PORT_BYTES_MAX],
    address_bytes: u8,
    port_bytes: u8,
}

impl Peer {
    /// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`, the longest text of an IPv6 address.
    const ADDRESS_BYTES_MAX: usize = 45;
    const PORT_BYTES_MAX: usize = 5;

    /// `None` for a unix socket: both texts are empty then. An IPv4 client of a dual-stack listener
    /// has its IPv4 address, not `::ffff:192.0.2.1`.
    pub fn new(address: Option<SocketAddr>) -> Self {
        match address {
            Some(address) => Self::of(address.ip(), Some(address.port())),
            None => Self {
                text: [0; Self::ADDRESS_BYTES_MAX + Self::PORT_BYTES_MAX],
                address_bytes: 0,
                port_bytes: 0,
            },
        }
    }

    /// An address with a port that may be unknown: its text is empty then.
    pub fn of(address: IpAddr, port: Option<u16>) -> Self {
        let mut peer = Self::new(None);
        let (host_text, port_text) = peer.text.split_at_mut(Self::ADDRESS_BYTES_MAX);
        peer.address_bytes = written(host_text, format_args!("{}", address.to_canonical()));
        if let Some(port) = port {
            peer.port_bytes = written(port_text, format_args!("{port}"));
        }
        peer
    }

    /// `REMOTE_ADDR`
    pub fn address(&self) -> &[u8] {
        &self.text[..usize::from(self.address_bytes)]
    }

    /// `REMOTE_PORT`
    pub fn port(&self) -> &[u8] {
        &self.text[Self::ADDRESS_BYTES_MAX..][..usize::from(self.port_bytes)]
    }
}

/// Writes a text that fits into `room`; how many bytes it took. A text that did not fit would be
/// cut.
fn written(room: &mut [u8], text: fmt::Arguments<'_>) -> u8 {
    let size = room.len();
    let mut rest = room;
    match rest.write_fmt(text) {
        Ok(()) | Err(_) => (size - rest.len()) as u8,
    }
}

impl Default for Peer {
    fn default() -> Self {
        Self::new(None)
    }
}

impl From<Option<SocketAddr>> for Peer {
    fn from(address: Option<SocketAddr>) -> Self {
        Self::new(address)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Peer({} {})",
            self.address().escape_ascii(),
            self.port().escape_ascii()
        )
    }
}

/// Who a client is, by a certificate that was verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The subject in OpenSSL's one-line form: `/C=DE/O=Example/CN=alice`. `HTTPS_DN`.
    pub name: String,
    /// The certificate in PEM, if it is handed on; empty otherwise. `HTTPS_CC`.
    pub certificate: String,
}

/// What is known of a request beside its head: from its connection, and from a proxy that is
/// trusted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link<'a> {
    /// The client has shown a certificate.
    pub identity: Option<&'a Identity>,
    /// The client's own scheme is this one (`true`: https), whatever the listener's is.
    pub is_https: Option<bool>,
}

impl Link<'_> {
    /// Calls `put` once for every key that the identity decides.
    pub fn for_each<E>(&self, mut put: impl FnMut(Known, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let Some(identity) = self.identity else {
            return Ok(());
        };
        put(Known::HttpsDn, identity.name.as_bytes())?;
        if !identity.certificate.is_empty() {
            put(Known::HttpsCc, identity.certificate.as_bytes())?;
        }
        Ok(())
    }
}

/// What an environ says about the listener that took the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// `SERVER_NAME`
    pub name: String,
    /// `SERVER_PORT`
    pub port: String,
    /// `wsgi.url_scheme`: `http`, or `https` (then `HTTPS` is `on`).
    pub scheme: &'static str,
    /// Its requests come as variables of a front end, which has the say on everything that it
    /// mentions.
    pub takes_variables: bool,
    /// Variables that the operator adds to the environ; those of the request are stronger.
    pub added: Arc<[(String, String)]>,
}

impl ServerFacts {
    /// The facts of a listener at `local` (`None`: a unix socket) on a machine called `hostname`.
    /// Neither text is ever empty, as PEP 3333 demands: an unknown name is `localhost`, a port that
    /// does not exist is the scheme's own.
    pub fn new(local: Option<SocketAddr>, hostname: &str, scheme: &'static str) -> Self {
        let port = match (local, scheme) {
            (Some(address), _) => address.port().to_string(),
            (None, "https") => "443".to_owned(),
            (None, _) => "80".to_owned(),
        };
        let name = if hostname.is_empty() {
            "localhost"
        } else {
            hostname
        };
        Self {
            name: name.to_owned(),
            port,
            scheme,
            takes_variables: false,
            added: Arc::default(),
        }
    }

    /// The same with these variables in every environ.
    pub fn adding(self, added: Arc<[(String, String)]>) -> Self {
        Self { added, ..self }
    }

    /// The same for a listener of requests that come as variables.
    pub fn taking_variables(self) -> Self {
        Self {
            takes_variables: true,
            ..self
        }
    }
}

/// Calls `put` once for every key that depends on the request, each key at most once. The others
/// are in the base environ already ([`for_each_of_listener`] and the Python layer).
///
/// `content_length` is the decoded length of a chunked body, in bytes; for every other request the
/// field says it and this is not looked at. `scratch` is a reusable buffer for what has to be
/// decoded or joined.
#[inline]
pub fn for_each<E>(
    head: &RequestHead,
    peer: &Peer,
    content_length: Option<u64>,
    scratch: &mut Vec<u8>,
    put: impl FnMut(Key<'_>, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    for_each_under(0, head, peer, content_length, scratch, put)
}

/// [`for_each`] for an application that is mounted at a prefix of so many bytes of the decoded
/// path, which become `SCRIPT_NAME` ([`Chosen::prefix_bytes`](super::Chosen::prefix_bytes)).
pub fn for_each_under<E>(
    prefix_bytes: usize,
    head: &RequestHead,
    peer: &Peer,
    content_length: Option<u64>,
    scratch: &mut Vec<u8>,
    mut put: impl FnMut(Key<'_>, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    put(Key::Known(Known::RequestMethod), head.method())?;
    let path = path_info(head.path(), scratch);
    match path.split_at_checked(prefix_bytes) {
        Some((script, rest)) if prefix_bytes > 0 => {
            put(Key::Known(Known::ScriptName), script)?;
            put(Key::Known(Known::PathInfo), rest)?;
        }
        _ => put(Key::Known(Known::PathInfo), path)?,
    }
    put(
        Key::Known(Known::QueryString),
        head.query().unwrap_or_default(),
    )?;
    put(Key::Known(Known::RequestUri), head.target())?;
    put(
        Key::Known(Known::ServerProtocol),
        head.version().as_str().as_bytes(),
    )?;
    put(Key::Known(Known::RemoteAddr), peer.address())?;
    put(Key::Known(Known::RemotePort), peer.port())?;
    if let (Framing::Chunked, Some(length)) = (head.framing(), content_length) {
        put(Key::Known(Known::ContentLength), decimal(length, scratch))?;
    }
    for field in head.fields() {
        let key = match field.kind {
            FieldKind::ContentLength => Key::Known(Known::ContentLength),
            FieldKind::ContentType => Key::Known(Known::ContentType),
            // Undone already; see the rules above.
            FieldKind::TransferEncoding => continue,
            FieldKind::Other
            | FieldKind::Connection
            | FieldKind::Cookie
            | FieldKind::Expect
            | FieldKind::Host => Key::Field {
                name: field.name,
                hash: field.name_hash,
            },
        };
        match field.repeat {
            Repeat::Once => put(key, field.value)?,
            Repeat::First => put(key, joined(head, &field, scratch))?,
            Repeat::Later => {}
        }
    }
    Ok(())
}

/// Calls `put` for every variable of a request that a front end passes on, in its order: a name
/// that repeats is put again, so that the last one counts. For an application mounted at `mount`.
///
/// - Everything arrives as it was sent, `CONTENT_LENGTH=""` and unknown names included. A key that
///   it does not send comes from the listener (`SCRIPT_NAME`, `SERVER_NAME`, `SERVER_PORT`), or is
///   absent.
/// - `wsgi.url_scheme` follows `UWSGI_SCHEME`, else `HTTPS`, else the listener.
/// - A front end that sends no `PATH_INFO` gets it from `REQUEST_URI`, decoded, without
///   `SCRIPT_NAME` in front.
/// - `SERVER_PROTOCOL` is never missing (PEP 3333): `HTTP/1.0` where it was not sent.
/// - Under a mount `PATH_INFO` is split as for HTTP if it lies under it, and `SCRIPT_NAME` says the
///   mount, as under uWSGI's `manage-script-name`.
/// - A body of unknown length (FastCGI) has its length in `CONTENT_LENGTH`: `content_length`, in
///   bytes.
pub fn for_each_variable<E>(
    prefix_bytes: usize,
    variables: &Variables,
    content_length: u64,
    scratch: &mut Vec<u8>,
    mut put: impl FnMut(Key<'_>, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    for variable in variables.iter() {
        let (name, hash) = (variable.name, variable.hash);
        put(Key::Variable { name, hash }, variable.value)?;
    }
    if variables.protocol().is_none() {
        put(Key::Known(Known::ServerProtocol), b"HTTP/1.0")?;
    }
    if let Some(scheme) = variables.scheme() {
        put(Key::Known(Known::UrlScheme), scheme)?;
    }
    if variables.body() == BodyLength::Unsaid && content_length > 0 {
        let digits = decimal(content_length, scratch);
        put(Key::Known(Known::ContentLength), digits)?;
    }
    let script = variables.script().unwrap_or_default();
    let (path, is_new) = match variables.path() {
        Some(path) => (path, variables.is_path_changed()),
        None => {
            let target = variables.uri().unwrap_or_default();
            let end = memchr(b'?', target).unwrap_or(target.len());
            let path = path_info(target.get(..end).unwrap_or_default(), scratch);
            let under = path
                .strip_prefix(script)
                .filter(|rest| !script.is_empty() && (rest.is_empty() || rest.starts_with(b"/")));
            (under.unwrap_or(path), true)
        }
    };
    match path.split_at_checked(prefix_bytes) {
        Some((script, rest)) if prefix_bytes > 0 => {
            put(Key::Known(Known::ScriptName), script)?;
            put(Key::Known(Known::PathInfo), rest)
        }
        _ if is_new => put(Key::Known(Known::PathInfo), path),
        _ => Ok(()),
    }
}

/// Calls `put` once for every key that depends on the listener: what the Python layer makes a base
/// environ of.
pub fn for_each_of_listener<E>(
    facts: &ServerFacts,
    mut put: impl FnMut(Known, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    put(Known::ScriptName, b"")?;
    put(Known::ServerName, facts.name.as_bytes())?;
    put(Known::ServerPort, facts.port.as_bytes())?;
    put(Known::UrlScheme, facts.scheme.as_bytes())?;
    if facts.scheme == "https" {
        put(Known::Https, b"on")?;
    }
    Ok(())
}

/// Appends the key of a field: `X-Forwarded-For` gives `HTTP_X_FORWARDED_FOR`.
pub fn environ_key(name: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP_");
    out.extend(name.iter().map(|byte| match byte {
        b'-' => b'_',
        other => other.to_ascii_uppercase(),
    }));
}

/// The path as the application sees it, decoded in `scratch` only if something has to be.
fn path_info<'a>(path: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if path == b"*" {
        return b"";
    }
    let Some(first) = memchr(b'%', path) else {
        return path;
    };
    scratch.clear();
    percent_decode(path, first, scratch);
    scratch
}

/// A path with every `%XX` replaced by its byte, as `PATH_INFO` has it; empty for `*`.
pub fn decoded(path: &[u8]) -> Cow<'_, [u8]> {
    if path == b"*" {
        return Cow::Borrowed(b"");
    }
    let Some(first) = memchr(b'%', path) else {
        return Cow::Borrowed(path);
    };
    let mut decoded = Vec::with_capacity(path.len());
    percent_decode(path, first, &mut decoded);
    Cow::Owned(decoded)
}

/// Appends `text` with every `%XX` replaced by its byte. `percent` is the place of the first `%`.
fn percent_decode(text: &[u8], percent: usize, out: &mut Vec<u8>) {
    let mut rest = text;
    let mut next = Some(percent);
    while let Some(at) = next {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain);
        let encoded = match from {
            [b'%', high, low, after @ ..] => hex_byte(*high, *low).map(|byte| (byte, after)),
            _ => None,
        };
        // `%` at the end, or with something else behind it: not an encoding, so it means itself.
        let (byte, after) = encoded.unwrap_or((b'%', &from[1..]));
        out.push(byte);
        rest = after;
        next = memchr(b'%', rest);
    }
    out.extend_from_slice(rest);
}

/// The byte that two hex digits stand for.
pub(super) const fn hex_byte(high: u8, low: u8) -> Option<u8> {
    if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() {
        Some(hex(high) << 4 | hex(low))
    } else {
        None
    }
}

const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// All values of a repeated field, in wire order.
fn joined<'a>(head: &RequestHead, first: &Field<'_>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let separator: &[u8] = if first.kind == FieldKind::Cookie {
        b"; "
    } else {
        b","
    };
    scratch.clear();
    for (at, value) in head.values(first.name).enumerate() {
        if at > 0 {
            scratch.extend_from_slice(separator);
        }
        scratch.extend_from_slice(value);
    }
    scratch
}

fn decimal(number: u64, scratch: &mut Vec<u8>) -> &[u8] {
    scratch.clear();
    match write!(scratch, "{number}") {
        // Writing to a Vec never fails; the type says it could.
        Ok(()) | Err(_) => scratch,
    }
}

#[cfg(test)]
mod tests;
