//! Fields that go into every response, whoever makes it (`--add-header`). Made once at start, read by all threads.

use super::rules::{self, HeaderKind};
use crate::http::response as wire;

/// Fields of every response, ready to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedFields {
    bytes: Vec<u8>,
    count: usize,
    has_server: bool,
    has_date: bool,
    closes: bool,
}

impl AddedFields {
    /// Adds a field behind the others. `Server` and `Date` come in place of the server's own, and `Connection: close`
    /// closes every connection behind its response.
    ///
    /// # Errors
    /// The name is no token, the value has a control character, or the field is the server's business; in words.
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
            HeaderKind::ContentLength | HeaderKind::Connection | HeaderKind::HopByHop => {
                return Err(format!(
                    "{name} is about one response or one connection, so the server says it"
                ));
            }
        }
        wire::field(name.as_bytes(), value.as_bytes(), &mut self.bytes);
        self.count += 1;
        Ok(())
    }

    /// `Connection: close` is among them.
    pub(super) fn closes(&self) -> bool {
        self.closes
    }

    /// The server's own `Server` and `Date` have to stay away.
    pub(super) fn replaces(&self) -> (bool, bool) {
        (self.has_server, self.has_date)
    }

    /// Appends them to a head. Returns how many there are.
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
}
