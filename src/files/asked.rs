//! A request as this room sees it, whatever its protocol.

use std::borrow::Cow;

use crate::wsgi::{Head, environ, field_of, path_of};

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
            Head::Variables(variables) => path_of(variables),
            Head::Rewritten(rewritten) => path_of(rewritten.variables()),
        }
    }

    fn target(&self) -> &[u8] {
        Head::target(self)
    }

    fn field(&self, name: &'static str) -> Option<Cow<'_, [u8]>> {
        let head = match self {
            Head::Http(head) => head,
            Head::Variables(variables) => return field_of(variables, name),
            Head::Rewritten(rewritten) => return field_of(rewritten.variables(), name),
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
