//! One request as rules see it: its variables, and where they come from.

use std::borrow::Cow;

use crate::wsgi::Head;
use crate::wsgi::environ::{Peer, ServerFacts};

/// See the file's header.
pub(super) struct Request<'a> {
    pub(super) head: &'a mut Head,
    /// The client.
    pub(super) peer: &'a Peer,
    /// Whether the client uses https.
    pub(super) is_https: bool,
    /// The listener.
    pub(super) server: &'a ServerFacts,
    /// Bytes of the body.
    pub(super) body_bytes: u64,
}

impl Request<'_> {
    /// A variable by its name; empty where there is none.
    pub(super) fn get(&self, name: &[u8]) -> Cow<'_, [u8]> {
        self.find(name).unwrap_or(Cow::Borrowed(b""))
    }

    fn find(&self, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        if let Some(value) = self.head.variable(name, self.peer) {
            return Some(value);
        }
        let value: &[u8] = match name {
            b"SERVER_NAME" => self.server.name.as_bytes(),
            b"SERVER_PORT" => self.server.port.as_bytes(),
            b"HTTPS" if self.is_https && !self.server.takes_variables => b"on",
            b"UWSGI_SCHEME" if self.server.takes_variables => return None,
            b"UWSGI_SCHEME" if self.is_https => b"https",
            b"UWSGI_SCHEME" => b"http",
            name => {
                let mut added = self.server.added.iter().rev();
                let found = added.find(|(added, _)| added.as_bytes() == name);
                return found.map(|(_, value)| value.as_bytes().into());
            }
        };
        Some(value.into())
    }

    /// Sets a variable; the application gets it.
    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) {
        self.head
            .set_variable(name, value, self.peer, self.body_bytes);
    }
}
