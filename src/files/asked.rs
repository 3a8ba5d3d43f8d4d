//! What this room asks a request, whatever protocol it came by.

use std::borrow::Cow;

use crate::http::RequestHead;
use crate::wsgi::environ;

/// A request, as far as files are concerned.
pub trait Asked {
    /// `GET`, as received.
    fn method(&self) -> &[u8];

    /// The path, percent-decoded (`PATH_INFO`).
    fn path(&self) -> Cow<'_, [u8]>;

    /// The target as received, with its query (`REQUEST_URI`).
    fn target(&self) -> &[u8];

    /// The values of all fields of this name, joined by commas.
    fn field(&self, name: &'static str) -> Option<Cow<'_, [u8]>>;
}

impl Asked for RequestHead {
    fn method(&self) -> &[u8] {
        RequestHead::method(self)
    }

    fn path(&self) -> Cow<'_, [u8]> {
        environ::decoded(RequestHead::path(self))
    }

    fn target(&self) -> &[u8] {
        RequestHead::target(self)
    }

    fn field(&self, name: &'static str) -> Option<Cow<'_, [u8]>> {
        let mut values = self.values(name.as_bytes());
        let first = values.next()?;
        let mut joined = Cow::Borrowed(first);
        for value in values {
            let joined = joined.to_mut();
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(value);
        }
        Some(joined)
    }
}
