//! One connection: its socket, the state of its request, and its pending output.
//!
//! Exactly one thread owns a connection at a time (see `slots`).

use std::time::{Duration, Instant};

use crate::protocol::http::Version;
use crate::wsgi::environ::Peer;
use crate::wsgi::{Head, LogNotes, RequestBody, RequestFacts, Routed, Summary};

use super::client::{Forwarded, requester};
use super::output::Io;
use super::reader::Reader;
use super::settings::Settings;
use super::slots::SlotId;
use super::stream::Stream;
use crate::protocol::listen::Protocol;
use crate::protocol::proxy::ProxyRules;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The PROXY preamble is expected, before TLS and the protocol.
    Preamble,
    /// Between requests, or a head has begun to arrive.
    Head,
    /// The head is complete, the body is arriving.
    Body,
    Working,
    /// The response is complete but the kernel has not taken all of it.
    Flushing,
    /// Everything was sent and the sending side is closed. Further input is discarded, so that the
    /// client can read the answer (RFC 9112, 9.6).
    Lingering,
}

/// The last response, logged when its last byte was sent.
#[derive(Clone, Debug)]
pub struct Answered {
    pub summary: Summary,
    /// From the request's last byte to a worker taking it.
    pub queued: Duration,
    /// From a worker taking it to the application's end.
    pub app: Duration,
    pub at: Instant,
    /// Which interpreter answered, from 1; 0 for an answer made without the application.
    pub worker: usize,
    pub core: usize,
    /// The number of the application; `None` for an answer made without one.
    pub application: Option<usize>,
    /// How many requests this interpreter has answered.
    pub requests: u64,
    /// The version of the application; 0 for an answer made without one.
    pub generation: u64,
    /// From the worker's wake to its hold of the GIL.
    pub gil: Duration,
    /// What the application and rules said about the log line, if they said anything.
    pub notes: Option<Box<LogNotes>>,
}

pub struct Connection {
    pub(super) listener: usize,
    pub(super) slot: Option<SlotId>,
    /// Whether the poll also reports that it is writable.
    pub(super) wants_writable: bool,
    pub(super) phase: Phase,
    /// The poll reported that the client sends no more: one more read returns the end.
    pub(super) peer_finished: bool,
    /// Milliseconds since the server's start; 0 for none. Its meaning depends on the phase.
    pub(super) deadline_ms: u64,
    /// When the request's first byte (in `Head`) or the end of its head (in `Body`) arrived.
    pub(super) since_ms: u64,
    /// The end of the last response, or the beginning of the connection.
    pub(super) idle_since_ms: u64,
    /// Body bytes received, for the rate limit.
    pub(super) body_bytes_seen: u64,
    pub(super) io: Io,
    /// Bytes that were read and not consumed yet.
    pub(super) unread: Vec<u8>,
    pub(super) reader: Reader,
    pub(super) head: Head,
    pub(super) body: RequestBody,
    pub(super) peer: Peer,
    pub(super) received_at: Instant,
    pub(super) answered: Option<Answered>,
    pub(super) close_after: bool,
    /// The last read filled its buffer: there may be more, and no event will report it.
    pub(super) may_have_more: bool,
    pub(super) is_trusted: bool,
    /// What a trusted proxy said about this request.
    pub(super) forwarded: Option<Box<Forwarded>>,
    /// What rules have decided; `None`: they have not looked at the request, or there are none.
    pub(super) routed: Option<Box<Routed>>,
}

impl Connection {
    pub(super) fn new(
        stream: Stream,
        peer: Peer,
        listener: usize,
        protocol: Protocol,
        now: Instant,
    ) -> Box<Self> {
        Box::new(Self {
            listener,
            slot: None,
            wants_writable: false,
            phase: Phase::Head,
            peer_finished: false,
            deadline_ms: 0,
            since_ms: 0,
            idle_since_ms: 0,
            body_bytes_seen: 0,
            io: Io::new(stream),
            unread: Vec::new(),
            reader: Reader::new(protocol),
            head: Head::default(),
            body: RequestBody::default(),
            peer,
            received_at: now,
            answered: None,
            close_after: false,
            may_have_more: false,
            is_trusted: false,
            forwarded: None,
            routed: None,
        })
    }
}

impl Connection {
    /// Reads the fields in which a trusted proxy names the client.
    pub(super) fn read_forwarded(&mut self, proxies: &ProxyRules) {
        self.forwarded = Forwarded::read(&mut self.head, proxies, self.is_trusted);
    }

    /// The client, for the log.
    pub(super) fn client(&self) -> &Peer {
        requester(&self.peer, self.forwarded.as_deref())
    }
}

/// A complete request and its connection: an entry of the request queue.
pub struct Exchange(pub(super) Box<Connection>);

impl Exchange {
    /// When the last byte of the request had arrived.
    pub fn received_at(&self) -> Instant {
        self.0.received_at
    }

    /// The request's head, for logs.
    pub fn head(&self) -> &Head {
        &self.0.head
    }

    /// Whether the client closed its side since the request arrived. Costs a system call.
    pub fn is_client_gone(&self) -> bool {
        self.0.io.stream.is_peer_gone()
    }

    /// Another thread answered the client: discards the rest of the application's response.
    /// `was_answered`: the client got a complete answer and may still be reading it.
    pub fn taken_over(&mut self, was_answered: bool) {
        self.0.io.output.clear();
        self.0.io.broken = !was_answered;
    }
}

/// The facts of a request that decide how its response is framed.
pub(super) fn facts(head: &Head, reader: &Reader, settings: &Settings) -> RequestFacts {
    RequestFacts {
        form: reader.form(),
        version: match head {
            Head::Http(head) => head.version(),
            Head::Rewritten(rewritten) => rewritten.received().version(),
            Head::Variables(_) => Version::Http11,
        },
        is_head: head.is_head(),
        keep_alive: reader.keep_alive(head) && !settings.deadlines.keep_alive.is_zero(),
    }
}
