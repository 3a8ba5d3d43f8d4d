//! An answered request on its way to the log: its figures, and those of its bytes that the line
//! needs. The worker copies them; the thread that writes makes the line.

use std::time::{Duration, SystemTime};

/// The figures of a request and its response.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// When the last byte of the response had left.
    pub ended: SystemTime,
    /// Which interpreter answered, from 1; 0: the server itself.
    pub worker: usize,
    pub core: usize,
    /// The number of the application; `None`: the server answered by itself.
    pub application: Option<usize>,
    /// The version of the application.
    pub generation: u64,
    /// Requests that the interpreter has answered.
    pub worker_requests: u64,
    /// Requests that the server has answered.
    pub requests: u64,
    pub request_fields: usize,
    /// Names and values of the CGI variables that uWSGI makes of the request.
    pub request_variables: usize,
    pub request_head_bytes: usize,
    pub request_body_bytes: u64,
    pub status: u16,
    pub body_bytes: u64,
    pub header_count: usize,
    pub header_bytes: usize,
    /// Pieces of the body that the application gave.
    pub pieces: usize,
    pub queued: Duration,
    /// From the worker's wake to its hold of the GIL.
    pub gil: Duration,
    pub app: Duration,
    /// From the application's end to the last byte.
    pub sent: Duration,
    /// The client went away before the last byte.
    pub is_broken: bool,
    /// The body is a file.
    pub is_file: bool,
}

impl Figures {
    /// From the worker's beginning to the last byte.
    pub fn took(&self) -> Duration {
        self.app + self.sent
    }

    /// When the request was complete.
    pub fn began(&self) -> SystemTime {
        let before = self.queued + self.took();
        self.ended.checked_sub(before).unwrap_or(self.ended)
    }
}

/// Bytes of a request that a line can need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capture {
    /// The client's address; empty for a unix socket.
    Address,
    /// The user that the front end has authenticated.
    User,
    /// `GET`, ...; empty if the request was refused before it was known.
    Method,
    Target,
    /// `HTTP/1.1`; a front end may say anything.
    Protocol,
    Host,
    UserAgent,
    Referer,
    RequestId,
    TraceParent,
    /// The CGI variable of this name.
    Variable(String),
    /// What the application said under this name.
    Application(String),
}

/// One request for the log.
#[derive(Debug)]
pub struct Record {
    pub(super) figures: Figures,
    bytes: Vec<u8>,
    /// Where the captured bytes end, in the order of the captures.
    ends: Vec<usize>,
}

impl Record {
    pub(super) fn new(figures: Figures) -> Self {
        Self {
            figures,
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    pub(super) fn reset(&mut self, figures: Figures) {
        self.figures = figures;
        self.bytes.clear();
        self.ends.clear();
    }

    /// Appends the bytes of the next capture: the client's or the application's own, unescaped.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    /// The bytes of a capture by its place.
    pub(super) fn captured(&self, place: usize) -> &[u8] {
        let from = place
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        let from = from.copied().unwrap_or_default();
        let to = self.ends.get(place).copied().unwrap_or(from);
        self.bytes.get(from..to).unwrap_or_default()
    }

    /// Bytes of memory that it holds.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub const FIGURES: Figures = Figures {
        ended: SystemTime::UNIX_EPOCH,
        worker: 2,
        core: 1,
        application: Some(0),
        generation: 4,
        worker_requests: 3,
        requests: 12,
        request_fields: 3,
        request_variables: 24,
        request_head_bytes: 78,
        request_body_bytes: 9,
        status: 200,
        body_bytes: 5,
        header_count: 4,
        header_bytes: 120,
        pieces: 1,
        queued: Duration::from_micros(40),
        gil: Duration::from_micros(7),
        app: Duration::from_micros(1_260),
        sent: Duration::ZERO,
        is_broken: false,
        is_file: false,
    };

    /// A record of these captured bytes, which ended a billion seconds after 1970.
    pub fn record(figures: Figures, captured: &[&[u8]]) -> Record {
        let ended = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let mut record = Record::new(Figures { ended, ..figures });
        for bytes in captured {
            record.push(bytes);
        }
        record
    }

    #[test]
    fn captured_bytes_come_back_in_order() {
        let mut record = record(FIGURES, &[b"a", b"", b"bcd"]);
        let all = |record: &Record| [0, 1, 2, 3].map(|at| record.captured(at).to_vec());
        assert_eq!(
            all(&record),
            [&b"a"[..], b"", b"bcd", b""].map(<[u8]>::to_vec)
        );
        record.reset(FIGURES);
        record.push(b"new");
        assert_eq!(record.captured(0), b"new");
        assert_eq!(record.captured(1), b"");
    }
}
