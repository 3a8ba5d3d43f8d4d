//! The machine: bytes of one connection in, events of its requests out. It lives across requests.
//!
//! It does no I/O, reads no clock and keeps no bytes: what it has not consumed stays in the
//! caller's buffer. Its results depend on the bytes alone and never on how they were cut. Runs on
//! the thread that reads the connection.

use memchr::memchr_iter;

use super::chunked::{ChunkedBody, Piece};
use super::head::{Framing, RequestHead};
use super::name::is_token_byte;
use super::parse::{BARE_LF, parse};
use super::target::request_line;
use super::{Limits, Refusal};

/// What the front of the input turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'i> {
    /// Nothing yet. Call again with the same bytes (less what was consumed) and more behind them.
    NeedMore,
    /// A head is complete and checked; it is in the `RequestHead` that was given.
    Head,
    /// A piece of the body, its transfer coding undone. Never empty.
    Data(&'i [u8]),
    /// The request is complete; the next call begins the next one.
    End,
}

/// Reads the requests of one connection. Small: every idle connection has one.
#[derive(Debug, Default)]
pub struct RequestReader {
    state: State,
}

const _: () = assert!(size_of::<RequestReader>() <= 64, "every connection has one");

/// Where in a request we are; each state owns what only it needs.
#[derive(Debug)]
enum State {
    /// Before or in a head.
    Head(HeadSearch),
    /// In a body of known length: what is left of it, never 0.
    Length(u64),
    /// In a chunked body.
    Chunked(ChunkedBody),
    /// Behind the last byte of the request; the end has yet to be told.
    Complete,
    /// For ever: nothing behind a refused request is read.
    Refused(Refusal),
}

impl Default for State {
    fn default() -> Self {
        Self::Head(HeadSearch::default())
    }
}

impl RequestReader {
    /// Consumes from the front of `input` and says how many bytes, and what they were. Call until
    /// `NeedMore`, then get more bytes; after `End` the next call begins the next request.
    ///
    /// - A head is consumed when it is complete; until then the same bytes are wanted again with
    ///   more behind them. How far it has looked is remembered, so a head that comes byte by byte
    ///   costs no more than its length. (The same goes for a line of a trailer section.)
    /// - Empty lines before a request line are consumed without a word (RFC 9112, 2.2), up to
    ///   [`Limits::EMPTY_LINES_MAX`].
    /// - `head` is written only as `Head` is returned, or in vain when a refusal is.
    /// - `End` costs no byte after a body of known length: an empty `input` is fine.
    ///
    /// # Errors
    /// A [`Refusal`]. Answer with its status and close; every later call says the same.
    pub fn read<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        head: &mut RequestHead,
    ) -> Result<(usize, Step<'i>), Refusal> {
        let told = self.advance(input, limits, head);
        if let Err(refusal) = told {
            self.state = State::Refused(refusal);
        }
        told
    }

    /// No byte of a request has been seen since the last one ended.
    pub fn is_idle(&self) -> bool {
        matches!(&self.state, State::Head(search) if search.looked == 0)
    }

    /// The head is not complete, so no byte of it was consumed.
    pub fn is_before_head_end(&self) -> bool {
        matches!(&self.state, State::Head(_))
    }

    /// What is left of a body of known length, in bytes; 0 outside of one. So many bytes of the
    /// connection may be taken past this machine, if it is told by [`body_came`](Self::body_came).
    pub fn body_left(&self) -> u64 {
        match self.state {
            State::Length(left) => left,
            _ => 0,
        }
    }

    /// The caller has read `count` bytes of the body, at most what was left, without this reader.
    pub fn body_came(&mut self, count: u64) {
        if let State::Length(left) = &mut self.state {
            *left = left.saturating_sub(count);
            if *left == 0 {
                self.state = State::Complete;
            }
        }
    }

    #[inline]
    fn advance<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        head: &mut RequestHead,
    ) -> Result<(usize, Step<'i>), Refusal> {
        match &mut self.state {
            State::Head(search) => {
                let (consumed, complete) = search.read(input, limits, head)?;
                if !complete {
                    return Ok((consumed, Step::NeedMore));
                }
                self.state = match head.framing() {
                    Framing::Empty => State::Complete,
                    Framing::Length(length) => State::Length(length),
                    Framing::Chunked => State::Chunked(ChunkedBody::default()),
                };
                Ok((consumed, Step::Head))
            }
            State::Length(_) if input.is_empty() => Ok((0, Step::NeedMore)),
            State::Length(left) => {
                let length = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                *left -= length as u64;
                if *left == 0 {
                    self.state = State::Complete;
                }
                Ok((length, Step::Data(&input[..length])))
            }
            State::Chunked(body) => {
                let (consumed, piece) = body.read(input, limits)?;
                let step = match piece {
                    Piece::NeedMore => Step::NeedMore,
                    Piece::Data(data) => Step::Data(data),
                    Piece::End => {
                        self.state = State::default();
                        Step::End
                    }
                };
                Ok((consumed, step))
            }
            State::Complete => {
                self.state = State::default();
                Ok((0, Step::End))
            }
            State::Refused(refusal) => Err(*refusal),
        }
    }
}

/// The search for the end of a head that did not come in one piece, or is not as it should be.
#[derive(Debug, Default)]
struct HeadSearch {
    /// Bytes of the head that were looked at.
    looked: u32,
    /// Where the line begins that was looked at last; 0 in the request line.
    line_at: u32,
    /// Empty lines that were skipped.
    empty_lines: u8,
}

impl HeadSearch {
    /// Skips empty lines, then reads a head. How many bytes are consumed, and whether there was a
    /// head in them.
    #[inline]
    fn read(
        &mut self,
        input: &[u8],
        limits: &Limits,
        head: &mut RequestHead,
    ) -> Result<(usize, bool), Refusal> {
        let skipped = if self.looked == 0 {
            self.skip_empty_lines(input)?
        } else {
            0
        };
        let rest = &input[skipped..];
        let Some(&first) = rest.first() else {
            return Ok((skipped, false));
        };
        if first == b'\r' {
            return Ok((skipped, false));
        }
        let window = &rest[..rest.len().min(limits.head_bytes())];
        if self.looked == 0 {
            // The usual case: the head came in one piece and is as it should be. One pass. Whatever
            // else it is, the search below has the word, because its verdict is the same for every
            // way to cut the bytes.
            if let Ok(Some(length)) = parse(window, limits, head) {
                return Ok((skipped + length, true));
            }
            refuse_strangers(first)?;
        }
        let length = self.search(window, limits)?;
        match length {
            Some(length) => match parse(&window[..length], limits, head)? {
                Some(length) => Ok((skipped + length, true)),
                None => Err(Refusal::bad("a malformed head")),
            },
            None if rest.len() < limits.head_bytes() => Ok((skipped, false)),
            None if self.line_at == 0 => Err(Refusal::with(
                414,
                "the request line is over the bound of heads",
            )),
            None => Err(Refusal::with(431, "the head is over its bound")),
        }
    }

    /// Empty lines before a request line: some clients send one behind a body (RFC 9112, 2.2). The
    /// rest may begin with a CR that still lacks its LF.
    fn skip_empty_lines(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let mut rest = input;
        loop {
            rest = match rest {
                [b'\r', b'\n', after @ ..] => after,
                [b'\r', _, ..] => return Err(Refusal::bad("a bare CR before the request line")),
                [b'\n', ..] => return Err(BARE_LF),
                _ => return Ok(input.len() - rest.len()),
            };
            self.empty_lines += 1;
            if self.empty_lines > Limits::EMPTY_LINES_MAX {
                return Err(Refusal::bad("too many empty lines before the request line"));
            }
        }
    }

    /// Looks on for the empty line; judges line ends, and the request line as soon as it is there,
    /// so that another protocol is refused at once. The length of the head, if it is complete.
    fn search(&mut self, window: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        let from = self.looked as usize;
        for line_feed in memchr_iter(b'\n', window.get(from..).unwrap_or_default()) {
            let line_feed = from + line_feed;
            let [line @ .., b'\r'] = &window[self.line_at as usize..line_feed] else {
                return Err(BARE_LF);
            };
            if self.line_at == 0 {
                request_line(line, limits)?;
            } else if line.is_empty() {
                return Ok(Some(line_feed + 1));
            }
            self.line_at = line_feed as u32 + 1;
        }
        self.looked = window.len() as u32;
        Ok(None)
    }
}

/// Tells by its first byte what can never become a request.
#[cold]
fn refuse_strangers(first: u8) -> Result<(), Refusal> {
    match first {
        0x16 => Err(Refusal::bad("a TLS handshake on a plain HTTP port")),
        _ if is_token_byte(first) => Ok(()),
        _ => Err(Refusal::bad("not HTTP: a request begins with a method")),
    }
}
