//! The errors of a response, each with a sentence for the log.
//!
//! Only pieces of what the application said are quoted, escaped and cut, so that no log line can be
//! forged through them.

use std::fmt;

use super::sink::ClientGone;

/// What `start_response` was given and must not have been. The response is as if it had not been
/// called; nothing has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// Not three digits, a space and a reason (PEP 3333).
    StatusForm {
        /// What it was.
        status: Quoted,
    },
    /// An interim status (1xx): the client would go on waiting for the response.
    StatusInterim {
        /// What it was.
        status: Quoted,
    },
    /// A control character in the status: it could split the response.
    StatusControl {
        /// What it was.
        status: Quoted,
        /// The character.
        byte: u8,
        /// Its place, counted from 0.
        at: usize,
    },
    /// A header name that is empty or not a token (RFC 9110, 5.6.2).
    HeaderName {
        /// What it was.
        name: Quoted,
        /// The first character that may not be in it and its place; `None` for the empty name.
        found: Option<(u8, usize)>,
    },
    /// A control character in a header's value: it could split the response.
    HeaderControl {
        /// The header.
        name: Quoted,
        /// The character.
        byte: u8,
        /// Its place in the value, counted from 0.
        at: usize,
    },
    /// A `Content-Length` that is not one decimal number.
    ContentLengthForm {
        /// What it was.
        value: Quoted,
    },
    /// A transfer coding other than `chunked`.
    TransferCoding {
        /// What it was.
        value: Quoted,
    },
    /// Two `Content-Length` headers that disagree.
    ContentLengthTwice {
        /// The earlier.
        first: u64,
        /// The later.
        second: u64,
    },
    /// A status or header after the head had left.
    TooLate,
    /// A header before a status: the caller's mistake, or one that went on after an error.
    NotBegun,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StatusForm { status } => {
                write!(
                    f,
                    "status {status} is not three digits, a space and a reason, like '200 OK'"
                )
            }
            Self::StatusInterim { status } => write!(
                f,
                "status {status} is an interim one (1xx), which cannot be the answer to a request"
            ),
            Self::StatusControl { status, byte, at } => {
                write!(
                    f,
                    "status {status} has a control character (0x{byte:02x}) at byte {at}"
                )
            }
            Self::HeaderName { found: None, .. } => f.write_str("a header has an empty name"),
            Self::HeaderName {
                name,
                found: Some((byte, at)),
            } => {
                write!(
                    f,
                    "header name {name} has a character that no name may have (0x{byte:02x}) at byte {at}"
                )
            }
            Self::HeaderControl { name, byte, at } => {
                write!(
                    f,
                    "header {name} has a control character (0x{byte:02x}) at byte {at}"
                )
            }
            Self::ContentLengthForm { value } => {
                write!(
                    f,
                    "header 'Content-Length' is {value}, not a number of bytes"
                )
            }
            Self::TransferCoding { value } => {
                write!(
                    f,
                    "header 'Transfer-Encoding' is {value}: the framing of a response is the \
                     server's (PEP 3333), and it knows no coding but 'chunked'"
                )
            }
            Self::ContentLengthTwice { first, second } => {
                write!(
                    f,
                    "header 'Content-Length' is there twice and disagrees with itself: {first} and {second}"
                )
            }
            Self::TooLate => f.write_str(
                "start_response was called after the head of the response had been sent",
            ),
            Self::NotBegun => f.write_str("a header was given before a status"),
        }
    }
}

impl std::error::Error for ResponseError {}

/// Why a piece of the body could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// There is no status to send it under.
    NotStarted,
    /// The response is complete: [`finish`](super::Response::finish) or
    /// [`fail`](super::Response::fail) has been called.
    Finished,
    /// The connection is gone. Stop iterating; `close()` is still owed to the application.
    ClientGone,
}

impl From<ClientGone> for WriteError {
    fn from(_: ClientGone) -> Self {
        Self::ClientGone
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => f.write_str(
                "the application sent a body without having called start_response successfully",
            ),
            Self::Finished => {
                f.write_str("the application called write() after its response had ended")
            }
            Self::ClientGone => ClientGone.fmt(f),
        }
    }
}

impl std::error::Error for WriteError {}

/// Bytes of an application, as a person may read them in a log: in quotes, escaped, not too many.
#[derive(Clone, PartialEq, Eq)]
pub struct Quoted(Box<str>);

impl Quoted {
    const BYTES_MAX: usize = 64;

    pub(super) fn new(bytes: &[u8]) -> Self {
        let text = match bytes.get(..Self::BYTES_MAX) {
            Some(start) if bytes.len() > Self::BYTES_MAX => {
                format!("'{}...' ({} bytes)", start.escape_ascii(), bytes.len())
            }
            _ => format!("'{}'", bytes.escape_ascii()),
        };
        Self(text.into())
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
