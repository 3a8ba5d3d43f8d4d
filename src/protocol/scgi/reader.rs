//! The machine: bytes of one connection in, events of its one request out.
//!
//! It does no I/O, reads no clock and keeps no bytes: what it has not consumed stays in the
//! caller's buffer. What it says depends on the bytes alone and never on how they were cut. Runs on
//! the thread that reads the connection.

use memchr::memchr;

use crate::protocol::cgi::{BodyLength, Progress, Step, Variables};
use crate::protocol::http::{Limits, Refusal};

/// Digits of a netstring's length: any bound of heads has fewer.
const DIGITS_MAX: usize = 8;

/// Reads the request of one connection.
#[derive(Debug, Default)]
pub struct HeaderReader {
    state: Progress,
}

const _: () = assert!(size_of::<HeaderReader>() <= 64, "every connection has one");

impl HeaderReader {
    /// Consumes from the front of `input` and says how many bytes, and what they were. Call until
    /// `NeedMore`, then get more bytes. The netstring is consumed when it is complete; until then
    /// the same bytes are wanted again with more behind them. `variables` are written only as
    /// `Head` is returned, or in vain when a refusal is.
    ///
    /// # Errors
    /// A [`Refusal`]. Answer with its status and close; every later call says the same.
    pub fn read<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        variables: &mut Variables,
    ) -> Result<(usize, Step<'i>), Refusal> {
        let told = self.advance(input, limits, variables);
        if let Err(refusal) = told {
            self.state = Progress::Refused(refusal);
        }
        told
    }

    /// No request is under way: none has begun, or the only one is over.
    pub fn is_idle(&self) -> bool {
        self.state.is_idle()
    }

    /// As of HTTP's machine (`RequestReader::body_left`).
    pub fn body_left(&self) -> u64 {
        self.state.body_left()
    }

    /// As of HTTP's machine (`RequestReader::body_came`).
    pub fn body_came(&mut self, count: u64) {
        self.state.body_came(count);
    }

    fn advance<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        variables: &mut Variables,
    ) -> Result<(usize, Step<'i>), Refusal> {
        if let Some(step) = self.state.advance(input) {
            return step;
        }
        if !input.is_empty() {
            self.state = Progress::Head;
        }
        let Some((headers, consumed)) = netstring(input, limits)? else {
            return Ok((0, Step::NeedMore));
        };
        self.state = Progress::behind_head(read_headers(headers, limits, variables)?);
        Ok((consumed, Step::Head))
    }
}

/// What is in the netstring at the front of `input`, and how long it is with all that belongs to
/// it; `None` while it is not complete.
fn netstring<'i>(input: &'i [u8], limits: &Limits) -> Result<Option<(&'i [u8], usize)>, Refusal> {
    let digits = input
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits > DIGITS_MAX {
        return Err(refuse(431, "the netstring is over the bound of heads"));
    }
    match (input.get(digits), input) {
        (None, _) => return Ok(None),
        (Some(b':'), _) if digits > 0 => {}
        (_, [b'A'..=b'Z', ..]) => return Err(refuse(400, "an HTTP request on an SCGI socket")),
        _ => return Err(refuse(400, "no netstring: a length and a colon come first")),
    }
    let (text, rest) = (&input[..digits], &input[digits + 1..]);
    if text.len() > 1 && text.starts_with(b"0") {
        return Err(refuse(400, "the length of the netstring begins with 0"));
    }
    let size = text
        .iter()
        .fold(0, |size, digit| size * 10 + usize::from(digit - b'0'));
    if size > limits.head_bytes_max {
        return Err(refuse(431, "the netstring is over the bound of heads"));
    }
    match (rest.get(..size), rest.get(size)) {
        (Some(headers), Some(b',')) => Ok(Some((headers, digits + 1 + size + 1))),
        (Some(_), Some(_)) => Err(refuse(400, "the netstring does not end in a comma")),
        _ => Ok(None),
    }
}

/// Names and values in turn, each ended by a NUL. The length of the body.
fn read_headers(
    headers: &[u8],
    limits: &Limits,
    variables: &mut Variables,
) -> Result<u64, Refusal> {
    if !headers.starts_with(b"CONTENT_LENGTH\0") {
        return Err(refuse(400, "CONTENT_LENGTH is not the first header"));
    }
    variables.clear();
    variables.extend(headers);
    let mut at = 0;
    while at < headers.len() {
        let name = text_at(headers, at).ok_or(refuse(400, "a name has no end"))?;
        let value = text_at(headers, name.end + 1).ok_or(refuse(400, "a value has no end"))?;
        at = value.end + 1;
        variables.add(name, value, limits)?;
    }
    if variables.value(b"SCGI") != Some(b"1") {
        return Err(refuse(400, "SCGI does not say 1"));
    }
    match variables.complete(limits)? {
        BodyLength::Known(length) => Ok(length),
        BodyLength::Unsaid => Err(refuse(400, "CONTENT_LENGTH is empty")),
    }
}

/// Where the text lies that begins at `at`; `None` if no NUL ends it.
fn text_at(headers: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let length = memchr(0, headers.get(at..)?)?;
    Some(at..at + length)
}

fn refuse(status: u16, why: &'static str) -> Refusal {
    Refusal { status, why }
}

#[cfg(test)]
mod tests;
