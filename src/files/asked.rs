//! A request as this room sees it, whatever its protocol.

use std::borrow::Cow;

use crate::wsgi::{Head, environ};

pub trait Asked {
    /// As received.
    fn method(&self) -> &[u8];

    /// The path, percent-decoded (`PATH_INFO`).
    fn path(&self) -> Cow<'_, [u8]>;

    /// The target as received, with its query (`REQUEST_URI`).
    fn target(&self) -> &[u8];

    /// The values of all fields of this name, joined by commas.
    fn field(&self, name: &'static str) -> Option<Cow<'_, [u8]>>;
}

impl Asked for Head {
    fn method(&self) -> &[u8] {
        Head::method(self)
    }

    fn path(&self) -> Cow<'_, [u8]> {
        match self {
            Head::Http(head) => environ::decoded(head.path()),
            Head::Variables(variables) => match (variables.path(), variables.uri()) {
                // A front end has decoded it.
                (Some(path), _) => Cow::Borrowed(path),
                (None, Some(target)) => {
                    let path = target.split(|byte| *byte == b'?').next();
                    environ::decoded(path.unwrap_or_default())
                }
                (None, None) => Cow::Borrowed(b""),
            },
        }
    }

    fn target(&self) -> &[u8] {
        Head::target(self)
    }

    fn field(&self, name: &'static str) -> Option<Cow<'_, [u8]>> {
        let head = match self {
            Head::Http(head) => head,
            Head::Variables(variables) => {
                let upper = |byte: u8| match byte {
                    b'-' => b'_',
                    other => other.to_ascii_uppercase(),
                };
                let name: Vec<u8> = b"HTTP_"
                    .iter()
                    .copied()
                    .chain(name.bytes().map(upper))
                    .collect();
                return variables.value(&name).map(Cow::Borrowed);
            }
        };
        let mut values = head.values(name.as_bytes());
        let mut joined = Cow::Borrowed(values.next()?);
        for value in values {
            let joined = joined.to_mut();
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(value);
        }
        Some(joined)
    }
}
