//! The operator's changes to every response: fields that are added (`--add-header`) or left out
//! (`--del-header`), and the pages of the server's own errors. Made once at start, read by all
//! threads.

use super::rules::{self, HeaderKind};
use crate::protocol::http::response as wire;

/// Fields of every response, ready to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedFields {
    bytes: Vec<u8>,
    count: usize,
    has_server: bool,
    has_date: bool,
    closes: bool,
    removed: Vec<Box<[u8]>>,
    pages: Vec<(u16, Box<[u8]>)>,
}

impl AddedFields {
    /// Adds a field behind the others. `Server` and `Date` come in place of the server's own, and
    /// `Connection: close` closes every connection behind its response.
    ///
    /// # Errors
    /// The name is no token, the value has a control character, or the field is the server's
    /// business; in words.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        rules::check_name(name.as_bytes()).map_err(|error| error.to_string())?;
        rules::check_value(name.as_bytes(), value.as_bytes()).map_err(|error| error.to_string())?;
        match rules::header_kind(name.as_bytes()) {
            HeaderKind::Plain => {}
            HeaderKind::Server => self.has_server = true,
            HeaderKind::Date => self.has_date = true,
            HeaderKind::Connection if rules::asks_to_close(value.as_bytes()) => {
                self.closes = true;
                return Ok(());
            }
            HeaderKind::ContentLength
            | HeaderKind::Connection
            | HeaderKind::HopByHop
            | HeaderKind::TransferEncoding => {
                return Err(format!(
                    "{name} is about one response or one connection, so the server says it"
                ));
            }
        }
        wire::field(name.as_bytes(), value.as_bytes(), &mut self.bytes);
        self.count += 1;
        Ok(())
    }

    /// Leaves fields of this name out, except those of [`add`](Self::add).
    ///
    /// # Errors
    /// The name is no token, or the field is the server's business; in words.
    pub fn remove(&mut self, name: &str) -> Result<(), String> {
        rules::check_name(name.as_bytes()).map_err(|error| error.to_string())?;
        match rules::header_kind(name.as_bytes()) {
            HeaderKind::Plain => {}
            HeaderKind::Server => self.has_server = true,
            HeaderKind::Date => self.has_date = true,
            HeaderKind::ContentLength
            | HeaderKind::Connection
            | HeaderKind::HopByHop
            | HeaderKind::TransferEncoding => {
                return Err(format!(
                    "{name} is about one response or one connection, so the server says it"
                ));
            }
        }
        self.removed.push(name.as_bytes().into());
        Ok(())
    }

    /// The HTML page of answers with this status that the server makes itself. The last one counts.
    pub fn set_page(&mut self, status: u16, page: Vec<u8>) {
        self.pages.retain(|(other, _)| *other != status);
        self.pages.push((status, page.into()));
    }

    pub(super) fn removes(&self, name: &[u8]) -> bool {
        let mut removed = self.removed.iter();
        removed.any(|other| other.eq_ignore_ascii_case(name))
    }

    /// The page of this status, if it is not the server's own.
    pub(super) fn page(&self, status: u16) -> Option<&[u8]> {
        let mut pages = self.pages.iter();
        pages
            .find(|(other, _)| *other == status)
            .map(|(_, page)| &**page)
    }

    /// `Connection: close` is among them.
    pub(super) fn closes(&self) -> bool {
        self.closes
    }

    /// The server's own `Server` and `Date` have to stay away.
    pub(super) fn replaces(&self) -> (bool, bool) {
        (self.has_server, self.has_date)
    }

    pub(super) fn write(&self, head: &mut Vec<u8>) -> usize {
        head.extend_from_slice(&self.bytes);
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_split_a_response_or_is_the_servers_is_refused() {
        let mut added = AddedFields::default();
        for (name, value) in [
            ("X-A: b", ""),
            ("", "a"),
            ("X-A", "a\r\nX-B: b"),
            ("Content-Length", "5"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "keep-alive"),
        ] {
            assert!(added.add(name, value).is_err(), "{name}: {value}");
        }
        assert_eq!(added, AddedFields::default());
    }

    #[test]
    fn what_is_removed() {
        let mut added = AddedFields::default();
        added.remove("x-powered-by").expect("a name");
        assert!(added.removes(b"X-Powered-By"));
        assert!(!added.removes(b"X-Powered"));
        for name in [
            "Content-Length",
            "connection",
            "Transfer-Encoding",
            "a b",
            "",
        ] {
            assert!(added.remove(name).is_err(), "{name}");
        }
        added.remove("Server").expect("a name");
        assert_eq!(added.replaces(), (true, false));
    }
}
