//! The rules for what an application may say in a head: statuses, names, values, and the fields
//! that are the server's.
//!
//! Pure functions over bytes. They refuse whatever could split a response or make two readers of it
//! disagree; the check comes before a byte is written anywhere.

use super::error::{Quoted, ResponseError};
use crate::protocol::http::response::is_hop_by_hop;

/// A header that means something to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderKind {
    /// Sent as it is.
    Plain,
    /// Checked, and sent by the server with the framing.
    ContentLength,
    /// Sent as it is, in place of the server's own.
    Date,
    /// Likewise.
    Server,
    /// `close` is honoured; anything else is dropped.
    Connection,
    /// Its chunks are the server's to make; see `app_chunks`.
    TransferEncoding,
    /// Belongs to one connection, which is the server's (PEP 3333, "Other HTTP Features"; RFC 9110,
    /// 7.6.1): dropped.
    HopByHop,
}

pub(super) fn header_kind(name: &[u8]) -> HeaderKind {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    // By length first: most names are compared with nothing at all.
    match name.len() {
        4 if is("date") => HeaderKind::Date,
        6 if is("server") => HeaderKind::Server,
        14 if is("content-length") => HeaderKind::ContentLength,
        10 if is("connection") => HeaderKind::Connection,
        17 if is("transfer-encoding") => HeaderKind::TransferEncoding,
        _ if is_hop_by_hop(name) => HeaderKind::HopByHop,
        _ => HeaderKind::Plain,
    }
}

/// Checks a status (`200 OK`) and gives its number: three digits from 200 on, then nothing or a
/// space and any reason without controls. PEP 3333 wants a reason; RFC 9112 (4) does without, and
/// so do applications.
pub(super) fn check_status(status: &[u8]) -> Result<u16, ResponseError> {
    if let Some((byte, at)) = find_control(status) {
        return Err(ResponseError::StatusControl {
            status: Quoted::new(status),
            byte,
            at,
        });
    }
    match status {
        [b'1', b'0'..=b'9', b'0'..=b'9'] | [b'1', b'0'..=b'9', b'0'..=b'9', b' ', ..] => {
            Err(ResponseError::StatusInterim {
                status: Quoted::new(status),
            })
        }
        [
            first @ b'1'..=b'9',
            second @ b'0'..=b'9',
            third @ b'0'..=b'9',
        ]
        | [
            first @ b'1'..=b'9',
            second @ b'0'..=b'9',
            third @ b'0'..=b'9',
            b' ',
            ..,
        ] => Ok([first, second, third]
            .iter()
            .fold(0, |number, digit| number * 10 + u16::from(**digit - b'0'))),
        _ => Err(ResponseError::StatusForm {
            status: Quoted::new(status),
        }),
    }
}

/// Checks that a header name is a token (RFC 9110, 5.6.2).
pub(super) fn check_name(name: &[u8]) -> Result<(), ResponseError> {
    let is_token = |byte: &u8| TOKEN[usize::from(*byte)];
    // Two passes, for the one that always runs has no exit in it.
    if !name.is_empty() && name.iter().fold(true, |all, byte| all & is_token(byte)) {
        return Ok(());
    }
    let at = name.iter().position(|byte| !is_token(byte));
    Err(ResponseError::HeaderName {
        name: Quoted::new(name),
        found: at.map(|at| (name[at], at)),
    })
}

/// Checks that a header's value has no control character but the tab (RFC 9110, 5.5). Bytes over
/// 0x7f are latin-1, and pass.
pub(super) fn check_value(name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
    match find_control(value) {
        None => Ok(()),
        Some((byte, at)) => Err(ResponseError::HeaderControl {
            name: Quoted::new(name),
            byte,
            at,
        }),
    }
}

/// The number of a `Content-Length`: decimal digits, whitespace around them at most.
pub(super) fn content_length(value: &[u8]) -> Result<u64, ResponseError> {
    let digits = value.trim_ascii();
    let number = digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(*digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    number
        .filter(|_| !digits.is_empty())
        .ok_or_else(|| ResponseError::ContentLengthForm {
            value: Quoted::new(value),
        })
}

/// Checks that a `Transfer-Encoding` names nothing but `chunked` (or `identity`, which was once a
/// coding), and says whether it does: any other coding was done to the body and would go untold.
pub(super) fn is_chunked(value: &[u8]) -> Result<bool, ResponseError> {
    let coding = value.trim_ascii();
    let is = |word: &[u8]| coding.eq_ignore_ascii_case(word);
    if is(b"chunked") || is(b"identity") || is(b"") {
        return Ok(is(b"chunked"));
    }
    Err(ResponseError::TransferCoding {
        value: Quoted::new(value),
    })
}

/// Whether a `Connection` value asks to close.
pub(super) fn asks_to_close(value: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// The first control character that is not a tab, and its place.
fn find_control(text: &[u8]) -> Option<(u8, usize)> {
    const fn is_control(byte: u8) -> bool {
        (byte < 0x20 && byte != b'\t') || byte == 0x7f
    }
    // Two passes, so that the one that runs always has no exit in it and goes sixteen bytes at a
    // time.
    if !text
        .iter()
        .fold(false, |found, byte| found | is_control(*byte))
    {
        return None;
    }
    text.iter()
        .position(|byte| is_control(*byte))
        .map(|at| (text[at], at))
}

/// The characters of a token: RFC 9110, 5.6.2.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z');
        byte += 1;
    }
    table
};
