//! The state of a response, and the interface by which a file replaces its body: the types that
//! `response`, `delivery` and `file_piece` work on. Plain data; runs on workers.

use std::fmt::Debug;
use std::sync::Arc;

use super::added_fields::AddedFields;
use super::app_chunks::AppChunks;
use super::log_notes::LogNotes;
use super::sink::Sink;
use crate::protocol::http::Version;
use crate::protocol::http::response::{BodyFraming, DATE_BYTES, Form};

pub use crate::protocol::http::response::Exchange as RequestFacts;

/// The value of a `Date` field, ready: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub type HttpDate = [u8; DATE_BYTES];

/// One response; see `response`. Owned by one worker at a time.
#[derive(Debug)]
pub struct Response {
    pub(super) request: RequestFacts,
    pub(super) date: HttpDate,
    pub(super) phase: Phase,
    /// The head while it grows, then the frame of the piece that is being sent. Empty between two
    /// pieces.
    pub(super) buffer: Vec<u8>,
    pub(super) said: Said,
    /// Who finds files that the application names, where that was configured.
    pub(super) delivery: Option<Box<dyn Delivery>>,
    pub(super) instead: Instead,
    /// Takes off the chunks of an application that said `Transfer-Encoding: chunked`.
    pub(super) app_chunks: Option<Box<AppChunks>>,
    pub(super) keep_alive: bool,
    pub(super) header_bytes: usize,
    pub(super) pieces: usize,
    pub(super) body_bytes: u64,
    pub(super) dropped_bytes: u64,
    pub(super) is_file: bool,
    pub(super) added: Option<Arc<AddedFields>>,
    /// Rules that look at the head.
    pub(super) filter: Option<Box<dyn HeadFilter>>,
    pub(super) notes: Option<Box<LogNotes>>,
}

/// Where the response is. Each fact about the body lives in the phase that has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// `start_response` has not been called, or only in vain.
    Waiting,
    /// Status and headers are known and nothing has left.
    Begun,
    /// The head has left. `Length` counts what is still owed.
    Body(BodyFraming),
    /// Everything has been given to the sink.
    Complete,
    /// Broken off behind the head: the client must not take what it has for the whole.
    Aborted(Abort),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abort {
    /// By us or the application.
    Failed,
    /// By the client, or by the deadline for its reading.
    ClientGone,
}

/// What the application has said in `start_response`, beyond the bytes in the buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) header_count: usize,
    pub(super) content_length: Option<u64>,
    pub(super) date: bool,
    pub(super) server: bool,
    pub(super) close: bool,
    pub(super) transfer_encoding: bool,
}

/// What became of a response: for the connection, the request log and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The status that was sent, or is about to be; 0 if there has been none.
    pub status: u16,
    /// Bytes of the head, status line and empty line included; 0 until it is complete.
    pub header_bytes: usize,
    /// Header lines in it, the server's own included.
    pub header_count: usize,
    /// Pieces of the body that the application gave.
    pub pieces: usize,
    /// Bytes of the body that were given to the sink, without chunk framing.
    pub body_bytes: u64,
    /// Bytes that the application produced and that were not sent: past its own `Content-Length`,
    /// or for a response that has no body.
    pub dropped_bytes: u64,
    /// The response is complete and the connection may carry another request. False while it is not
    /// complete.
    pub keep_alive: bool,
    /// The head has left and the rest will not: close the connection at once, so that the client
    /// notices.
    pub aborted: bool,
    /// A file was sent, or a part of one.
    pub is_file: bool,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            request: UNREAD,
            date: *b"Thu, 01 Jan 1970 00:00:00 GMT",
            phase: Phase::Waiting,
            buffer: Vec::new(),
            said: Said::default(),
            delivery: None,
            instead: Instead::Nothing,
            app_chunks: None,
            keep_alive: false,
            header_bytes: 0,
            pieces: 0,
            body_bytes: 0,
            dropped_bytes: 0,
            is_file: false,
            added: None,
            filter: None,
            notes: None,
        }
    }
}

/// The facts of a request that was refused before they were known: the answer closes the
/// connection.
pub const UNREAD: RequestFacts = RequestFacts {
    form: Form::Http,
    version: Version::Http11,
    is_head: false,
    keep_alive: false,
};

/// Finds files that the application names in its response to one request, and sends them.
pub trait Delivery: Debug + Send {
    /// The header by which a file is named, if this name (any case) is one.
    fn header(&self, name: &[u8]) -> Option<&'static str>;

    /// Completes the response with the file that `header` named: head, bytes and end. A file that
    /// cannot be had is a response too ([`Response::fail`]).
    fn deliver(
        &self,
        header: &'static str,
        value: &[u8],
        response: &mut Response,
        sink: &mut dyn Sink,
    );
}

/// Looks at one response when its status and headers are known and nothing has left.
pub trait HeadFilter: Debug + Send {
    /// Changes the head, or completes the response in place of the application.
    fn filter(&mut self, response: &mut Response, sink: &mut dyn Sink);
}

/// What goes out in place of the application's body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Instead {
    /// Nothing: its own.
    #[default]
    Nothing,
    /// The file that this header names by this value, once the head would leave.
    Named(&'static str, Vec<u8>),
    /// A file; it has been given to the sink, and what the application yields is dropped.
    Sent,
}
