//! The variables of a request by their names, however it came; and how rules change them.

use std::borrow::Cow;

use super::environ::{self, Key, Peer};
use super::head::Head;
use super::rewritten::Rewritten;
use crate::protocol::cgi::Variables;
use crate::protocol::http::{FieldKind, RequestHead};

/// The path of a request that came as variables, decoded.
pub fn path_of(variables: &Variables) -> Cow<'_, [u8]> {
    match (variables.path(), variables.uri()) {
        // A front end has decoded it.
        (Some(path), _) => Cow::Borrowed(path),
        (None, Some(target)) => {
            let path = target.split(|byte| *byte == b'?').next();
            environ::decoded(path.unwrap_or_default())
        }
        (None, None) => Cow::Borrowed(b""),
    }
}

/// The field of this name of a request that came as variables.
pub fn field_of<'v>(variables: &'v Variables, name: &str) -> Option<Cow<'v, [u8]>> {
    let mut key = Vec::with_capacity(b"HTTP_".len() + name.len());
    environ::environ_key(name.as_bytes(), &mut key);
    variables.value(&key).map(Cow::Borrowed)
}

impl Head {
    /// The variables, if the application gets these and not those of an HTTP head.
    pub fn as_variables(&self) -> Option<&Variables> {
        match self {
            Self::Http(_) => None,
            Self::Variables(variables) => Some(variables),
            Self::Rewritten(rewritten) => Some(&rewritten.variables),
        }
    }

    /// The head that came as HTTP.
    pub fn received(&self) -> Option<&RequestHead> {
        match self {
            Self::Http(head) => Some(head),
            Self::Rewritten(rewritten) => Some(&rewritten.received),
            Self::Variables(_) => None,
        }
    }

    /// Sets a variable of the request from `peer` with a body of so many bytes; a later value wins.
    pub fn set_variable(&mut self, name: &[u8], value: &[u8], peer: &Peer, body_bytes: u64) {
        match self {
            Self::Variables(variables) => variables.put(name, value),
            Self::Rewritten(rewritten) => {
                rewritten.variables.put(name, value);
                rewritten.added += 1;
            }
            Self::Http(head) => {
                let mut variables = Variables::default();
                put_all(head, peer, body_bytes, &mut variables);
                variables.put(name, value);
                *self = Self::Rewritten(Box::new(Rewritten {
                    received: std::mem::take(head),
                    variables,
                    added: 1,
                }));
            }
        }
    }

    /// All variables of the request, apart from it.
    pub fn variables(&self, peer: &Peer, body_bytes: u64) -> Variables {
        match self {
            Self::Variables(variables) => variables.clone(),
            Self::Rewritten(rewritten) => rewritten.variables.clone(),
            Self::Http(head) => {
                let mut variables = Variables::default();
                put_all(head, peer, body_bytes, &mut variables);
                variables
            }
        }
    }

    /// A variable by its name, as far as the request says it.
    pub fn variable(&self, name: &[u8], peer: &Peer) -> Option<Cow<'_, [u8]>> {
        let head = match self {
            Self::Variables(variables) => return of_variables(variables, name),
            Self::Rewritten(rewritten) => return of_variables(&rewritten.variables, name),
            Self::Http(head) => head,
        };
        let owned = |text: &[u8]| Some(Cow::Owned(text.to_vec()));
        match name {
            b"REQUEST_METHOD" => Some(head.method().into()),
            b"REQUEST_URI" => Some(head.target().into()),
            b"PATH_INFO" => Some(environ::decoded(head.path())),
            b"QUERY_STRING" => Some(head.query().unwrap_or_default().into()),
            b"SERVER_PROTOCOL" => Some(head.version().as_str().as_bytes().into()),
            b"REMOTE_ADDR" => owned(peer.address()),
            b"REMOTE_PORT" => owned(peer.port()),
            b"CONTENT_TYPE" => head.value_of(FieldKind::ContentType).map(Cow::Borrowed),
            b"CONTENT_LENGTH" => head.value_of(FieldKind::ContentLength).map(Cow::Borrowed),
            _ => of_fields(head, name.strip_prefix(b"HTTP_")?),
        }
    }
}

fn put_all(head: &RequestHead, peer: &Peer, body_bytes: u64, variables: &mut Variables) {
    let mut scratch = Vec::new();
    let mut key = Vec::new();
    let put = |name: Key<'_>, value: &[u8]| {
        match name {
            Key::Known(known) => variables.put(known.name().as_bytes(), value),
            Key::Field { name, .. } => {
                key.clear();
                environ::environ_key(name, &mut key);
                variables.put(&key, value);
            }
            Key::Variable { name, .. } => variables.put(name, value),
        }
        Ok::<(), std::convert::Infallible>(())
    };
    match environ::for_each(head, peer, Some(body_bytes), &mut scratch, put) {
        Ok(()) => {}
    }
}

fn of_variables<'v>(variables: &'v Variables, name: &[u8]) -> Option<Cow<'v, [u8]>> {
    match name {
        b"PATH_INFO" => Some(path_of(variables)),
        name => variables.value(name).map(Cow::Borrowed),
    }
}

/// The values of the fields that become `HTTP_` and `name`, joined as in the environ.
fn of_fields<'h>(head: &'h RequestHead, name: &[u8]) -> Option<Cow<'h, [u8]>> {
    let is_same = |field: &[u8]| {
        field.len() == name.len()
            && field.iter().zip(name).all(|(one, other)| match one {
                b'-' => *other == b'_',
                one => one.to_ascii_uppercase() == *other,
            })
    };
    let mut fields = head.fields().filter(|field| {
        is_same(field.name)
            && !matches!(
                field.kind,
                FieldKind::TransferEncoding | FieldKind::ContentLength | FieldKind::ContentType
            )
    });
    let first = fields.next()?;
    let separator: &[u8] = match first.kind {
        FieldKind::Cookie => b"; ",
        _ => b",",
    };
    let mut value = Cow::Borrowed(first.value);
    for other in fields {
        let joined = value.to_mut();
        joined.extend_from_slice(separator);
        joined.extend_from_slice(other.value);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http::{Limits, RequestReader, Step};

    fn head(text: &str) -> Head {
        let mut head = RequestHead::default();
        let read = RequestReader::default().read(text.as_bytes(), &Limits::default(), &mut head);
        assert!(matches!(read, Ok((_, Step::Head | Step::End))));
        head.into()
    }

    #[test]
    fn variables_are_those_of_the_environ_and_may_change() {
        let mut head = head(
            "GET /a%20b?x=1 HTTP/1.0\r\nHost: h\r\nCookie: a=1\r\nX-One: 1\r\nCookie: \
             b=2\r\nx-one: 2\r\n\r\n",
        );
        let peer = Peer::default();
        let names = [
            "PATH_INFO",
            "QUERY_STRING",
            "REQUEST_URI",
            "REQUEST_METHOD",
            "SERVER_PROTOCOL",
            "HTTP_HOST",
            "HTTP_COOKIE",
            "HTTP_X_ONE",
            "HTTP_ABSENT",
            "REMOTE_USER",
        ];
        let all = |head: &Head| -> Vec<Option<String>> {
            let value = |name: &&str| head.variable(name.as_bytes(), &peer);
            let text = |value: Cow<'_, [u8]>| String::from_utf8_lossy(&value).into_owned();
            names.iter().map(|name| value(name).map(text)).collect()
        };
        let before = all(&head);
        assert_eq!(before[0].as_deref(), Some("/a b"));
        assert_eq!(before[6].as_deref(), Some("a=1; b=2"));
        assert_eq!(before[7].as_deref(), Some("1,2"));
        head.set_variable(b"OTHER", b"1", &peer, 0);
        assert_eq!(all(&head), before);
        head.set_variable(b"PATH_INFO", b"/new", &peer, 0);
        head.set_variable(b"REMOTE_USER", b"ann", &peer, 0);
        assert_eq!(
            head.variable(b"PATH_INFO", &peer).as_deref(),
            Some(&b"/new"[..])
        );
        assert_eq!(head.remote_user(), Some(&b"ann"[..]));
        assert_eq!(head.target(), b"/a%20b?x=1");
        assert_eq!(head.received().map(RequestHead::path), Some(&b"/a%20b"[..]));
    }
}
