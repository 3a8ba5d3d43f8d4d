//! One response, from `start_response` to its last byte: the checks of PEP 3333, the framing of RFC
//! 9112, and the bytes.
//!
//! The Python layer calls it; a [`Sink`] takes the bytes. It knows neither Python nor sockets, it
//! never blocks, and it decides alone whether the connection may carry another request
//! ([`Summary::keep_alive`]).
//!
//! # The life of a response
//! ```text
//! Waiting --begin, header*--> Begun --write, send_file--> Body --finish--> Complete
//!    ^                          |  \------finish, finish_with--------------^
//!    +---a refused begin/header-+        Body --fail, short, client gone--> Aborted
//! ```
//! - Nothing leaves before the first non-empty piece (PEP 3333): until then a second `begin`
//!   replaces the first.
//! - A refused status or header puts it back to `Waiting`, and nothing of it leaves.
//! - The application's `Content-Length` decides the body's length. More than that is dropped; less
//!   aborts the connection, so that the client can tell. Without one, a single piece sets it, and
//!   several go in chunks (HTTP/1.1) or until the connection closes (HTTP/1.0).
//! - Behind a front end that speaks uwsgi, FastCGI or SCGI ([`Form`]) framing, `Date` and `Server`
//!   are the front end's; `Content-Length` is sent where it is known.
//! - HEAD, 204 and 304 have no body, whatever is written. 204 has no `Content-Length` either. 1xx is
//!   refused: it is no final answer.
//! - Headers of the connection are the server's: `Connection: close` is honoured, the others are
//!   dropped. Chunks of an application that says `Transfer-Encoding: chunked` are taken off.
//!
//! One per worker, reused: in the usual case (a few headers, one piece) it allocates nothing.

use std::sync::Arc;

use super::added_fields::AddedFields;
use super::canned;
use super::error::{ResponseError, WriteError};
use super::response_state::{
    Abort, HttpDate, Instead, Phase, RequestFacts, Response, Said, Summary,
};
use super::rules::{self, HeaderKind};
use super::sink::{ClientGone, Room, Sink};
use crate::protocol::http::Version;
use crate::protocol::http::response as wire;
use crate::protocol::http::response::{BodyFraming, CHUNK_END, Form, LAST_CHUNK};

/// Head and first piece leave as one slice, copied, up to this size together; past it as two
/// slices. Bytes.
const COALESCED_BYTES_MAX: usize = 16 * 1024;
/// A chunk up to this size is copied between its size line and its end, so that it leaves in one
/// send; a copy is cheaper than the second system call. Bytes.
const COPIED_CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Memory that a response keeps for the next one. Bytes.
const KEPT_BYTES_MAX: usize = 2 * COPIED_CHUNK_BYTES_MAX;
/// What `Server` says unless the application says otherwise: no version, which would only help an
/// attacker.
const SERVER: &[u8] = b"singlemalt";

impl Response {
    /// One that says `added` besides what the application says, every time.
    pub fn adding(added: Arc<AddedFields>) -> Self {
        Self {
            added: Some(added),
            ..Self::default()
        }
    }

    /// It says `added` from now on.
    pub fn set_added(&mut self, added: &Arc<AddedFields>) {
        if !self
            .added
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, added))
        {
            self.added = Some(Arc::clone(added));
        }
    }

    /// Resets it for another request; memory is kept up to a bound.
    pub fn reset(&mut self, request: RequestFacts, date: &HttpDate) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.shrink_to(KEPT_BYTES_MAX);
        *self = Self {
            request,
            date: *date,
            buffer,
            added: self.added.take(),
            ..Self::default()
        };
    }

    /// `start_response` with `status` (`200 OK`); the headers follow. Replaces what an earlier call
    /// said. Whether an earlier call allows this one is the caller's question
    /// ([`is_started`](Self::is_started), the `exc_info` rule).
    ///
    /// # Errors
    /// The status is malformed or has a control character, or the head has left. In the first two
    /// cases it is as if `start_response` had never been called.
    pub fn begin(&mut self, status: &[u8]) -> Result<(), ResponseError> {
        if self.is_head_sent() {
            return Err(ResponseError::TooLate);
        }
        self.phase = Phase::Waiting;
        self.said = Said {
            status: rules::check_status(status)?,
            ..Said::default()
        };
        self.buffer.clear();
        self.instead = Instead::Nothing;
        self.app_chunks = None;
        let form = self.request.form;
        match status {
            // RFC 9112, 4: the space behind the code is there also when the reason is not.
            [first, second, third] => {
                wire::status_line(form, &[*first, *second, *third, b' '], &mut self.buffer)
            }
            _ => wire::status_line(form, status, &mut self.buffer),
        }
        self.phase = Phase::Begun;
        Ok(())
    }

    /// One header, in order, as often as the application says it.
    ///
    /// # Errors
    /// The name is not a token, the value has a control character, or `Content-Length` is not a
    /// number or contradicts an earlier one. It is as if `start_response` had never been called
    /// then: nothing that it said leaves.
    pub fn header(&mut self, name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
        match self.phase {
            Phase::Begun => {}
            Phase::Waiting => return Err(ResponseError::NotBegun),
            Phase::Body(_) | Phase::Complete | Phase::Aborted(_) => {
                return Err(ResponseError::TooLate);
            }
        }
        let outcome = self.checked_header(name, value);
        if outcome.is_err() {
            self.phase = Phase::Waiting;
        }
        outcome
    }

    pub(super) fn checked_header(
        &mut self,
        name: &[u8],
        value: &[u8],
    ) -> Result<(), ResponseError> {
        rules::check_name(name)?;
        rules::check_value(name, value)?;
        match rules::header_kind(name) {
            HeaderKind::Plain if self.delivery.is_some() && self.notes_file(name, value) => {
                return Ok(());
            }
            HeaderKind::Plain => {}
            HeaderKind::Date => self.said.date = true,
            HeaderKind::Server => self.said.server = true,
            HeaderKind::ContentLength => {
                let second = rules::content_length(value)?;
                return match self.said.content_length.replace(second) {
                    Some(first) if first != second => {
                        Err(ResponseError::ContentLengthTwice { first, second })
                    }
                    _ => Ok(()),
                };
            }
            HeaderKind::TransferEncoding => {
                self.said.transfer_encoding |= rules::is_chunked(value)?;
                return Ok(());
            }
            HeaderKind::Connection if rules::asks_to_close(value) => {
                self.said.close = true;
                return Ok(());
            }
            HeaderKind::Connection | HeaderKind::HopByHop => {
                tracing::debug!(
                    target: "app",
                    header = %name.escape_ascii(),
                    "dropped a header that belongs to the connection, which is the server's (PEP 3333)"
                );
                return Ok(());
            }
        }
        if let Some(added) = &self.added
            && added.removes(name)
        {
            return Ok(());
        }
        wire::field(name, value, &mut self.buffer);
        self.said.header_count += 1;
        Ok(())
    }

    /// Takes `start_response` back: for a caller that finds its arguments wrong in a way that only
    /// Python can see, half-way through the headers. Does nothing once the head has left.
    pub fn withdraw(&mut self) {
        if self.phase == Phase::Begun {
            self.phase = Phase::Waiting;
        }
    }

    /// The application said `Transfer-Encoding: chunked`, which is not its to say.
    pub fn says_chunked(&self) -> bool {
        self.said.transfer_encoding
    }

    /// `start_response` has been called successfully.
    pub fn is_started(&self) -> bool {
        self.phase != Phase::Waiting
    }

    /// The head has left (or died with its client): nothing about it can be changed any more.
    pub fn is_head_sent(&self) -> bool {
        matches!(
            self.phase,
            Phase::Body(_) | Phase::Complete | Phase::Aborted(_)
        )
    }

    /// The application gave so many pieces, which come as one.
    pub fn join_pieces(&mut self, count: usize) {
        self.pieces += count.saturating_sub(1);
    }

    /// One piece of the body while the length of the whole is not known here: `write()` and all
    /// pieces of an iterable but a single one. The head leaves in front of the first byte. An empty
    /// piece sends nothing, not even the head.
    ///
    /// # Errors
    /// There is no status, the response is complete already, or the client is gone.
    pub fn write(&mut self, data: &[u8], sink: &mut dyn Sink) -> Result<Room, WriteError> {
        self.pieces += 1;
        if data.is_empty() && !matches!(self.phase, Phase::Aborted(Abort::ClientGone)) {
            return Ok(Room::Ready);
        }
        if self.instead != Instead::Nothing {
            return self.send_instead(sink);
        }
        if self.is_replaced(sink) {
            return Ok(Room::Ready);
        }
        if self.takes_chunks_off() {
            return self.write_app_chunks(data, sink);
        }
        self.write_piece(data, sink)
    }

    pub(super) fn write_piece(
        &mut self,
        data: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<Room, WriteError> {
        let framing = self.body_framing(None, sink)?;
        let sent = self.send_piece(framing, data, false, sink);
        self.note(sent)
    }

    /// The whole body in one piece, after which the response is complete. Gives it a
    /// `Content-Length` if the application did not, unless something was written before.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn finish_with(&mut self, only: &[u8], sink: &mut dyn Sink) -> Result<Room, WriteError> {
        self.pieces += 1;
        if only.is_empty() {
            return self.finish(sink);
        }
        if self.instead != Instead::Nothing {
            return self.send_instead(sink);
        }
        if self.is_replaced(sink) {
            return Ok(Room::Ready);
        }
        if self.takes_chunks_off() {
            return self.finish_app_chunks(only, sink);
        }
        let framing = self.body_framing(Some(only.len() as u64), sink)?;
        self.end_with(framing, only, sink)
    }

    /// The end of the body: sends the head if nothing has been sent (the body is empty), the last
    /// chunk of a chunked body, and nothing for a body that is as long as it said. One that is
    /// shorter is aborted. Calling it again does nothing.
    ///
    /// # Errors
    /// There is no status, or the client is gone.
    pub fn finish(&mut self, sink: &mut dyn Sink) -> Result<Room, WriteError> {
        if self.instead != Instead::Nothing {
            return self.send_instead(sink);
        }
        if self.is_replaced(sink) {
            return Ok(Room::Ready);
        }
        if self.takes_chunks_off() {
            return self.finish_app_chunks(b"", sink);
        }
        let framing = match self.phase {
            // A HEAD without a piece says nothing about the length that GET would have.
            Phase::Begun if self.request.is_head => self.body_framing(None, sink)?,
            Phase::Begun => self.body_framing(Some(0), sink)?,
            Phase::Body(framing) => framing,
            Phase::Complete | Phase::Aborted(Abort::Failed) => return Ok(Room::Ready),
            Phase::Waiting => return Err(WriteError::NotStarted),
            Phase::Aborted(Abort::ClientGone) => return Err(WriteError::ClientGone),
        };
        self.end_with(framing, b"", sink)
    }

    /// The application failed: a page with this status in place of its response if nothing has
    /// left, else the response is aborted. Never fails itself; a complete response stays as it is.
    pub fn fail(&mut self, status: u16, sink: &mut dyn Sink) {
        match self.phase {
            Phase::Waiting | Phase::Begun => {
                self.said = Said {
                    status,
                    header_count: 1,
                    ..Said::default()
                };
                self.buffer.clear();
                self.instead = Instead::Nothing;
                self.app_chunks = None;
                let added = self.added.clone();
                let html = added.as_deref().and_then(|added| added.page(status));
                canned::begin_page(self.request.form, status, html.is_some(), &mut self.buffer);
                self.phase = Phase::Begun;
                let own = canned::page(status);
                match self.finish_with(html.unwrap_or(own.as_bytes()), sink) {
                    // Whether it arrives is no longer anybody's question.
                    Ok(_) | Err(_) => {}
                }
            }
            Phase::Body(_) => self.phase = Phase::Aborted(Abort::Failed),
            Phase::Complete | Phase::Aborted(_) => {}
        }
    }

    pub(super) fn is_client_gone(&self) -> bool {
        self.phase == Phase::Aborted(Abort::ClientGone)
    }

    /// What became of it.
    pub fn summary(&self) -> Summary {
        Summary {
            status: if self.is_started() {
                self.said.status
            } else {
                0
            },
            header_bytes: self.header_bytes,
            header_count: self.said.header_count,
            pieces: self.pieces,
            body_bytes: self.body_bytes,
            dropped_bytes: self.dropped_bytes,
            is_file: self.is_file,
            keep_alive: self.keep_alive && self.phase == Phase::Complete,
            aborted: matches!(self.phase, Phase::Aborted(_)),
        }
    }

    /// How the body is delimited; the first call completes the head in the buffer. `known` is the
    /// length of the whole body, where the caller has all of it.
    pub(super) fn body_framing(
        &mut self,
        known: Option<u64>,
        sink: &mut dyn Sink,
    ) -> Result<BodyFraming, WriteError> {
        match self.phase {
            Phase::Body(framing) => Ok(framing),
            Phase::Begun => {
                let framing = self.end_head(known, sink.is_last());
                if framing == BodyFraming::Unframed {
                    sink.ends_with_connection();
                }
                self.phase = Phase::Body(framing);
                Ok(framing)
            }
            Phase::Waiting => Err(WriteError::NotStarted),
            Phase::Complete | Phase::Aborted(Abort::Failed) => Err(WriteError::Finished),
            Phase::Aborted(Abort::ClientGone) => Err(WriteError::ClientGone),
        }
    }

    /// The server's own headers and the empty line.
    fn end_head(&mut self, known: Option<u64>, is_last: bool) -> BodyFraming {
        let Said {
            status,
            content_length,
            ..
        } = self.said;
        let length = match status {
            // RFC 9110, 8.6: never with 204; with 304 it would be that of the 200, which only the
            // application knows.
            204 => None,
            304 => content_length,
            _ => content_length.or(known),
        };
        let added = self.added.as_deref();
        let closes = added.is_some_and(AddedFields::closes);
        let exchange = RequestFacts {
            keep_alive: self.request.keep_alive && !self.said.close && !closes && !is_last,
            ..self.request
        };
        let plan = wire::choose(exchange, status, length);
        let head = &mut self.buffer;
        let mut own = added.map_or(0, |added| added.write(head));
        let (has_server, has_date) = added.map_or((false, false), AddedFields::replaces);
        // Behind a front end both are its own business, as under uWSGI.
        let is_http = exchange.form == Form::Http;
        if is_http && !self.said.server && !has_server {
            wire::field(b"Server", SERVER, head);
            own += 1;
        }
        if is_http && !self.said.date && !has_date {
            wire::date(&self.date, head);
            own += 1;
        }
        if let Some(length) = length {
            wire::content_length(length, head);
            own += 1;
        }
        if is_http {
            own += usize::from(plan.body == BodyFraming::Chunked);
            own += usize::from(!plan.keep_alive || exchange.version == Version::Http10);
        }
        wire::end_head(plan, exchange.form, exchange.version, head);
        self.said.header_count += own;
        self.header_bytes = head.len();
        self.keep_alive = plan.keep_alive;
        plan.body
    }

    /// The last piece, and the end of the body behind it.
    pub(super) fn end_with(
        &mut self,
        framing: BodyFraming,
        data: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<Room, WriteError> {
        // A response that is cut short has no end: its reader must be able to tell.
        let is_short = matches!(framing, BodyFraming::Length(owed) if owed > data.len() as u64);
        let sent = self.send_piece(framing, data, !is_short, sink);
        let room = self.note(sent)?;
        self.phase = match self.phase {
            Phase::Body(BodyFraming::Length(owed)) if owed > 0 => {
                tracing::warn!(
                    target: "app",
                    missing_bytes = owed,
                    "the application sent less than its Content-Length: the connection is closed"
                );
                Phase::Aborted(Abort::Failed)
            }
            _ => Phase::Complete,
        };
        Ok(room)
    }

    /// Sends what is in the buffer and `data` behind it, as the framing has it; and the end of the
    /// framing, if this is the `last` piece. One send wherever a copy is cheaper than a second.
    fn send_piece(
        &mut self,
        framing: BodyFraming,
        data: &[u8],
        last: bool,
        sink: &mut dyn Sink,
    ) -> Result<Room, ClientGone> {
        let data = &data[..self.admit(framing, data.len() as u64) as usize];
        let chunked = framing == BodyFraming::Chunked;
        if chunked && !data.is_empty() {
            wire::chunk_prefix(data.len(), &mut self.buffer);
        }
        let copied_max = match framing {
            BodyFraming::Chunked => COPIED_CHUNK_BYTES_MAX,
            _ => COALESCED_BYTES_MAX.saturating_sub(self.buffer.len()),
        };
        let mut room = Room::Ready;
        match (self.buffer.is_empty(), data.len()) {
            (_, 0) => {}
            (true, _) => room = sink.send(data, b"")?,
            (false, count) if count <= copied_max => self.buffer.extend_from_slice(data),
            (false, _) => {
                room = sink.send(&self.buffer, data)?;
                self.buffer.clear();
            }
        }
        if chunked && !data.is_empty() {
            self.buffer.extend_from_slice(CHUNK_END);
        }
        if chunked && last {
            self.buffer.extend_from_slice(LAST_CHUNK);
        }
        let room = room.and(if last {
            let ended = sink.end(&self.buffer);
            self.buffer.clear();
            ended?
        } else {
            self.flush_buffer(sink)?
        });
        self.body_bytes += data.len() as u64;
        Ok(room)
    }

    /// How many of `count` further bytes the body takes. The others are dropped: counted, and
    /// reported once.
    pub(super) fn admit(&mut self, framing: BodyFraming, count: u64) -> u64 {
        let taken = match framing {
            BodyFraming::None => 0,
            BodyFraming::Length(owed) => {
                let taken = count.min(owed);
                self.phase = Phase::Body(BodyFraming::Length(owed - taken));
                taken
            }
            BodyFraming::Chunked | BodyFraming::Unframed => count,
        };
        let dropped = count - taken;
        // A body in answer to HEAD is what most applications give, and right.
        if dropped > 0 && self.dropped_bytes == 0 && !self.request.is_head {
            let why = match framing {
                BodyFraming::None => "its status allows no body",
                _ => "its Content-Length says less",
            };
            tracing::warn!(
                target: "app",
                status = self.said.status,
                content_length = self.said.content_length,
                "the application sent more than its response can have ({why}): the rest is dropped"
            );
        }
        self.dropped_bytes += dropped;
        taken
    }

    pub(super) fn flush_buffer(&mut self, sink: &mut dyn Sink) -> Result<Room, ClientGone> {
        if self.buffer.is_empty() {
            return Ok(Room::Ready);
        }
        let sent = sink.send(&self.buffer, b"");
        self.buffer.clear();
        sent
    }

    pub(super) fn note(&mut self, sent: Result<Room, ClientGone>) -> Result<Room, WriteError> {
        if sent.is_err() {
            self.phase = Phase::Aborted(Abort::ClientGone);
        }
        Ok(sent?)
    }
}

#[cfg(test)]
mod tests;
