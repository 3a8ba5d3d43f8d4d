//! The request line (RFC 9112, 3): method, target in one of its four forms, version. And the one
//! rule for the name of a host, wherever it stands. A pure function of one line; any thread.
//!
//! Not httparse: it refuses a target that is not UTF-8, and raw bytes over 0x7f do come (uWSGI
//! passes them, PEP 3333 has a place for them); and it cannot say which of 400, 414, 501 and 505 a
//! line has earned.

use std::net::Ipv6Addr;

use super::head::{Span, Version};
use super::name::is_token_byte;
use super::{Limits, Refusal};

/// A request line that passed. Spans count from its first byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestLine {
    pub(super) method: Span,
    pub(super) target: Span,
    pub(super) version: Version,
    pub(super) path: PathAt,
    pub(super) query: Option<Span>,
    /// The authority of an absolute-form target: host and port, checked.
    pub(super) authority: Option<Span>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum PathAt {
    /// In the target.
    Target(Span),
    /// Nowhere: `OPTIONS http://host` asks about the server as `OPTIONS *` does (RFC 9112, 3.2.4).
    Asterisk,
}

/// Reads a request line, given without its line end.
#[inline]
pub(super) fn request_line(line: &[u8], limits: &Limits) -> Result<RequestLine, Refusal> {
    let method = line
        .iter()
        .position(|&byte| !is_token_byte(byte))
        .unwrap_or(line.len());
    if method == 0 || line.get(method).is_some_and(|&byte| byte != b' ') {
        return Err(Refusal::bad("the method is not a token"));
    }
    let at = method + 1;
    let Target { length, query } = scan_target(line.get(at..).unwrap_or_default())?;
    let end = at + length;
    let version = match line.get(end..).unwrap_or_default() {
        b" HTTP/1.1" => Version::Http11,
        b" HTTP/1.0" => Version::Http10,
        other => return Err(refuse_version(other)),
    };
    if length == 0 {
        return Err(Refusal::bad("the request line has no target"));
    }
    if length > limits.target_bytes_max {
        return Err(Refusal::with(414, "the request target is over its bound"));
    }
    let name = &line[..method];
    let target = &line[at..end];
    let (path, authority) = match target {
        _ if name == b"CONNECT" => {
            return Err(Refusal::with(501, "CONNECT: this server is no proxy"));
        }
        [b'/', ..] => (PathAt::Target(Span::new(at, query.unwrap_or(length))), None),
        b"*" if name == b"OPTIONS" => (PathAt::Target(Span::new(at, 1)), None),
        b"*" => return Err(Refusal::bad("the target * is for OPTIONS only")),
        _ => {
            let (path, authority) = absolute(target, query, name == b"OPTIONS")?;
            let path = match path {
                PathAt::Target(span) => PathAt::Target(shift(span, at)),
                PathAt::Asterisk => PathAt::Asterisk,
            };
            (path, Some(shift(authority, at)))
        }
    };
    Ok(RequestLine {
        method: Span::new(0, method),
        target: Span::new(at, length),
        version,
        path,
        query: query.map(|mark| Span::new(at + mark + 1, length - mark - 1)),
        authority,
    })
}

struct Target {
    length: usize,
    /// Where the first `?` is.
    query: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    Query,
    Space,
    Fragment,
    Control,
}

static CLASSES: [Class; 256] = {
    let mut table = [Class::Plain; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = Class::Control;
        byte += 1;
    }
    table[0x7f] = Class::Control;
    table[b' ' as usize] = Class::Space;
    table[b'?' as usize] = Class::Query;
    table[b'#' as usize] = Class::Fragment;
    table
};

/// Finds the end of the target, which is a space or the end of the line.
#[inline]
fn scan_target(rest: &[u8]) -> Result<Target, Refusal> {
    let mut query = None;
    for (at, &byte) in rest.iter().enumerate() {
        match CLASSES[byte as usize] {
            Class::Plain => {}
            Class::Query => query = query.or(Some(at)),
            Class::Space => return Ok(Target { length: at, query }),
            Class::Fragment => return Err(Refusal::bad("the request target has a fragment")),
            Class::Control => return Err(Refusal::bad("a control byte in the request target")),
        }
    }
    Ok(Target {
        length: rest.len(),
        query,
    })
}

/// What is wrong with what stands where the version should.
#[cold]
fn refuse_version(rest: &[u8]) -> Refusal {
    match rest {
        [] => Refusal::bad("no version in the request line (HTTP/0.9)"),
        [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Refusal::with(505, "this server speaks HTTP/1.1 and HTTP/1.0")
        }
        _ => Refusal::bad("the request line is not method, target and version"),
    }
}

/// The absolute form (RFC 9112, 3.2.2): scheme, authority, path. Spans count from the target's
/// first byte.
fn absolute(target: &[u8], query: Option<usize>, options: bool) -> Result<(PathAt, Span), Refusal> {
    let scheme = [b"http://".as_slice(), b"https://"]
        .into_iter()
        .find(|scheme| {
            target
                .get(..scheme.len())
                .is_some_and(|front| front.eq_ignore_ascii_case(scheme))
        })
        .ok_or(Refusal::bad(
            "the request target is neither a path nor an http URI",
        ))?;
    let at = scheme.len();
    let end = target[at..]
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .map_or(target.len(), |length| at + length);
    let authority = &target[at..end];
    if authority.is_empty() || !is_host(authority) {
        return Err(Refusal::bad(
            "the authority of the request target is not a host and a port",
        ));
    }
    let path = match target.get(end) {
        Some(b'/') => PathAt::Target(Span::new(end, query.unwrap_or(target.len()) - end)),
        None if options => PathAt::Asterisk,
        // No path is `/` (RFC 9110, 4.2.3), and the scheme has one to point at.
        _ => PathAt::Target(Span::new(at - 1, 1)),
    };
    Ok((path, Span::new(at, authority.len())))
}

fn shift(span: Span, by: usize) -> Span {
    Span::new(span.at as usize + by, span.length as usize)
}

/// Whether this is a host and perhaps a port, as a `Host` field and an authority have them (RFC
/// 9110, 7.2; RFC 3986, 3.2.2), or empty. Stricter than the grammar in one thing: no comma, because
/// two values joined by a proxy have one.
pub(super) fn is_host(value: &[u8]) -> bool {
    let (host_is_good, port) = match value {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&byte| byte == b']') else {
                return false;
            };
            let address = std::str::from_utf8(&rest[..end])
                .ok()
                .and_then(|text| text.parse::<Ipv6Addr>().ok());
            (address.is_some(), &rest[end + 1..])
        }
        _ => {
            let end = value
                .iter()
                .position(|&byte| byte == b':')
                .unwrap_or(value.len());
            let (host, port) = value.split_at(end);
            (
                host.iter().all(|&byte| HOST_BYTES[byte as usize]) && (end > 0 || port.is_empty()),
                port,
            )
        }
    };
    host_is_good
        && match port {
            [] => true,
            // RFC 3986 allows an empty port.
            [b':', digits @ ..] => {
                digits.len() <= 5
                    && digits.iter().all(u8::is_ascii_digit)
                    && digits
                        .iter()
                        .fold(0, |port, &digit| port * 10 + u32::from(digit - b'0'))
                        <= 0xffff
            }
            _ => false,
        }
}

/// Bytes of a registered name: unreserved, `%` and sub-delimiters (RFC 3986, 2) but the comma.
static HOST_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"-._~%!$&'()*+;=";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};
