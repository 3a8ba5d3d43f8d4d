//! One connection: its socket, where its request stands, and what it owes the client.
//!
//! A connection is owned by exactly one thread at a time (see `slots`). Nothing here blocks except
//! `ResponseSink::wait_for_room`, which a worker calls detached from Python.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::protocol::http::Version;
use crate::wsgi::environ::{Identity, Peer};
use crate::wsgi::{ClientGone, Head, RequestBody, RequestFacts, Room, Sink, Summary};

use super::asides::Ticket;
use super::client::{Forwarded, asking};
use super::output::{Flushed, Output};
use super::reader::{Protocol, Reader};
use super::records::Records;
use super::slots::SlotId;
use super::speaker::Speaker;
use super::stream::Stream;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The PROXY protocol is expected, in front of everything else.
    Greeting,
    /// Between requests, or a head has begun to arrive.
    Head,
    /// The head is in, the body is arriving.
    Body,
    /// A worker has the request.
    Working,
    /// The response is complete but the kernel has not taken all of it.
    Flushing,
    /// Everything was sent and the sending side is closed; what the client still sends is thrown away, so
    /// that it can read the answer (RFC 9112, 9.6).
    Lingering,
}

/// How the last response went: kept until its last byte has left, then logged.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What was sent.
    pub summary: Summary,
    /// From the request's last byte to a worker taking it.
    pub queued: Duration,
    /// From a worker taking it to the application's end.
    pub app: Duration,
    /// When the application was done with it.
    pub at: Instant,
    /// Which interpreter answered, from 1; 0 for an answer made without the application.
    pub worker: usize,
    /// Which of its threads.
    pub core: usize,
}

/// A client's connection.
pub struct Connection {
    /// Where it came in.
    pub(super) listener: usize,
    pub(super) slot: Option<SlotId>,
    /// Whether the poll also reports when it can be written.
    pub(super) wants_writable: bool,
    pub(super) phase: Phase,
    /// The poll said that the client sends no more: one more read finds the end.
    pub(super) peer_finished: bool,
    /// Milliseconds since the server's start; 0 for none. What it means depends on the phase.
    pub(super) deadline_ms: u64,
    /// When the request's first byte (in `Head`) or its head's end (in `Body`) came.
    pub(super) since_ms: u64,
    /// Body bytes received, as the client sent them: for its rate.
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
    /// The last read filled its buffer: there may be more, and no event will say so.
    pub(super) may_have_more: bool,
    /// The peer is a proxy whose fields count.
    pub(super) is_trusted: bool,
    /// What a trusted proxy said of this request.
    pub(super) forwarded: Option<Box<Forwarded>>,
}

/// The sending half: what the response machine writes into.
pub(super) struct Io {
    pub(super) stream: Stream,
    pub(super) output: Output,
    /// The connection broke while something was sent.
    pub(super) broken: bool,
    /// The whole answer lies in `output`, or aside, and has not been tried to be sent.
    pub(super) is_held: bool,
    /// It lies aside.
    pub(super) aside: Option<Ticket>,
    /// It began with a PROXY line, which will not be said again: no other process can go on with it.
    pub(super) is_greeted: bool,
}

impl Io {
    /// Whether another process can go on with it.
    pub(super) fn can_move(&self) -> bool {
        !self.is_greeted && self.stream.outlives_the_image()
    }

    /// Sends both pieces behind what is queued; the kernel takes what it can now.
    pub(super) fn send(&mut self, first: &[u8], second: &[u8]) -> Result<(), ClientGone> {
        if self.broken {
            return Err(ClientGone);
        }
        if !self.output.is_empty() {
            self.output.push(first);
            self.output.push(second);
            return self.flush().map(|_| ());
        }
        let written = if second.is_empty() {
            self.stream.write(first)
        } else {
            self.stream.write_both(first, second)
        };
        let sent = self.taken(written)?;
        if sent < first.len() {
            self.output.push(first.get(sent..).unwrap_or_default());
            self.output.push(second);
        } else {
            self.output
                .push(second.get(sent - first.len()..).unwrap_or_default());
        }
        Ok(())
    }

    /// Sends what more follows behind at once, if only the end.
    pub(super) fn send_ahead(&mut self, bytes: &[u8]) -> Result<(), ClientGone> {
        if self.broken {
            return Err(ClientGone);
        }
        let mut sent = 0;
        if self.output.is_empty() && !bytes.is_empty() {
            let written = self.stream.write_ahead(bytes);
            sent = self.taken(written)?;
        }
        self.output.push(bytes.get(sent..).unwrap_or_default());
        Ok(())
    }

    /// Sends a head, and then a part of a file; the kernel takes what it can now.
    fn send_file(
        &mut self,
        head: &[u8],
        file: File,
        offset: u64,
        length: u64,
    ) -> Result<(), ClientGone> {
        self.send_ahead(head)?;
        self.output.push_file(file, offset, length);
        self.flush().map(|_| ())
    }

    /// How much the kernel took.
    fn taken(&mut self, written: io::Result<usize>) -> Result<usize, ClientGone> {
        match written {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(_) => Err(self.fail()),
        }
    }

    pub(super) fn flush(&mut self) -> Result<Flushed, ClientGone> {
        match self.output.flush(&mut self.stream) {
            Ok(flushed) => Ok(flushed),
            Err(_) => Err(self.fail()),
        }
    }

    /// Whether something that was sent has not left yet.
    pub(super) fn owes(&self) -> bool {
        !self.output.is_empty() || self.stream.has_pending()
    }

    fn fail(&mut self) -> ClientGone {
        self.broken = true;
        self.output.clear();
        ClientGone
    }
}

impl Connection {
    pub(super) fn new(
        stream: Stream,
        peer: Peer,
        (listener, protocol): (usize, Protocol),
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
            body_bytes_seen: 0,
            io: Io {
                stream,
                output: Output::default(),
                broken: false,
                is_held: false,
                aside: None,
                is_greeted: false,
            },
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
        })
    }
}

/// A complete request and the connection to answer it on. This is what goes through the queue.
pub struct Exchange(pub(super) Box<Connection>);

/// What a worker needs of an exchange, borrowed apart.
pub struct Parts<'a> {
    /// Index of the listener it came in on.
    pub listener: usize,
    /// The request's head.
    pub head: &'a Head,
    /// Who asks.
    pub peer: &'a Peer,
    /// The scheme that the client uses, if a trusted proxy said it.
    pub is_https: Option<bool>,
    /// Who asks, by a certificate.
    pub identity: Option<Arc<Identity>>,
    /// The body, taken out.
    pub body: RequestBody,
    /// What decides how the response is framed.
    pub facts: RequestFacts,
    /// Where the response goes.
    pub sink: ResponseSink<'a>,
}

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

    /// Somebody else has seen to the client: nothing more of the application's answer leaves. `was_answered`: in full, and
    /// the client may still be reading it.
    pub fn taken_over(&mut self, was_answered: bool) {
        self.0.io.output.clear();
        self.0.io.is_held = false;
        self.0.io.broken = !was_answered;
    }

    /// Borrows everything a worker needs.
    pub fn parts<'a>(&'a mut self, net: &'a super::Net) -> Parts<'a> {
        let connection = &mut *self.0;
        let head = &connection.head;
        Parts {
            listener: connection.listener,
            facts: facts(head, &connection.reader, &net.settings),
            head,
            peer: asking(&connection.peer, connection.forwarded.as_deref()),
            is_https: connection.forwarded.as_ref().and_then(|told| told.is_https),
            identity: connection.io.stream.identity().cloned(),
            body: std::mem::take(&mut connection.body),
            sink: ResponseSink {
                records: connection.reader.request_id(),
                io: &mut connection.io,
                net,
                speaker: None,
                may_hold: false,
            },
        }
    }
}

/// What decides how the response to a request is framed.
pub(super) fn facts(head: &Head, reader: &Reader, settings: &super::Settings) -> RequestFacts {
    RequestFacts {
        form: reader.form(),
        version: match head {
            Head::Http(head) => head.version(),
            Head::Variables(_) => Version::Http11,
        },
        is_head: head.is_head(),
        keep_alive: reader.keep_alive(head) && !settings.keep_alive_timeout.is_zero(),
    }
}

/// The door through which a response leaves: writes what the kernel takes, keeps the rest in order.
pub struct ResponseSink<'a> {
    pub(super) io: &'a mut Io,
    /// The request whose response goes out in records (FastCGI).
    pub(super) records: Option<u16>,
    pub(super) net: &'a super::Net,
    /// Whom to ask whether the application may still send.
    pub(super) speaker: Option<&'a Speaker>,
    /// A complete answer may wait for others.
    pub(super) may_hold: bool,
}

impl<'a> ResponseSink<'a> {
    /// The application's word may be taken from it.
    pub fn spoken_by(&mut self, speaker: &'a Speaker) {
        self.speaker = Some(speaker);
    }

    /// An answer that is complete may be kept until [`Turn::release`](super::Turn::release), to be sent with others.
    pub fn may_hold(&mut self) {
        self.may_hold = true;
    }

    /// Keeps the bytes with which an answer is complete, of which nothing else waits.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), ClientGone> {
        if self.io.broken {
            return Err(ClientGone);
        }
        self.io.output.push(bytes);
        self.io.is_held = true;
        Ok(())
    }

    /// The same where application code goes on: other threads can send them.
    fn keep_aside(&mut self, bytes: &[u8]) -> Result<(), ClientGone> {
        if self.io.broken {
            return Err(ClientGone);
        }
        self.io.aside = self.net.asides.put(&self.io.stream, bytes);
        self.io.is_held = self.io.aside.is_some();
        match self.io.aside {
            Some(_) => Ok(()),
            None => self.io.send(bytes, &[]),
        }
    }

    fn speaking<T>(
        &mut self,
        send: impl FnOnce(&mut Self) -> Result<T, ClientGone>,
    ) -> Result<T, ClientGone> {
        match self.speaker {
            None => send(self),
            Some(speaker) => speaker.speaking(|| send(self)),
        }
    }

    fn room(&self) -> Room {
        if self.io.output.memory_bytes() > self.net.settings.output_bytes_max {
            Room::Full
        } else {
            Room::Ready
        }
    }
}

impl Sink for ResponseSink<'_> {
    fn send(&mut self, first: &[u8], second: &[u8]) -> Result<Room, ClientGone> {
        debug_assert!(!self.io.is_held, "nothing follows a complete answer");
        self.speaking(|sink| {
            match sink.records {
                None => sink.io.send(first, second)?,
                Some(id) => Records::new(sink.io, id).send(first, second)?,
            }
            Ok(sink.room())
        })
    }

    fn end(&mut self, rest: &[u8]) -> Result<Room, ClientGone> {
        self.speaking(|sink| {
            match sink.records {
                None if rest.is_empty() => {}
                None if sink.may_hold && !sink.io.owes() => sink.keep(rest)?,
                None => sink.io.send(rest, &[])?,
                Some(id) => Records::new(sink.io, id).end(rest)?,
            }
            Ok(sink.room())
        })
    }

    fn send_whole(&mut self, bytes: &[u8]) -> Result<Room, ClientGone> {
        if self.records.is_some() || !self.may_hold || self.io.owes() {
            return self.send(bytes, &[]);
        }
        self.speaking(|sink| {
            sink.keep_aside(bytes)?;
            Ok(sink.room())
        })
    }

    fn goes_on(&mut self) {
        if !self.io.is_held || self.io.aside.is_some() {
            return;
        }
        let kept = std::mem::take(&mut self.io.output);
        self.io.is_held = false;
        // A client that has gone is noticed at the end of the request.
        self.speaking(|sink| sink.keep_aside(kept.bytes())).ok();
    }

    fn send_file(
        &mut self,
        head: &[u8],
        file: File,
        offset: u64,
        length: u64,
    ) -> Result<Room, ClientGone> {
        self.speaking(|sink| {
            match sink.records {
                None => sink.io.send_file(head, file, offset, length)?,
                Some(id) => {
                    Records::new(sink.io, id).send(head, &[])?;
                    sink.io.output.push_file_records(file, offset, length, id);
                    sink.io.flush()?;
                }
            }
            Ok(sink.room())
        })
    }

    /// Waits on the socket itself: half of the bound must leave within the write timeout.
    fn wait_for_room(&mut self) -> Result<(), ClientGone> {
        let settings = &self.net.settings;
        let deadline = Instant::now() + settings.write_timeout;
        while self.io.output.memory_bytes() > settings.output_bytes_max / 2 {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.speaker.is_some_and(|speaker| !speaker.may_speak()) {
                return Err(self.io.fail());
            }
            if left.is_zero() || self.io.stream.set_blocking_writes(Some(left)).is_err() {
                return Err(self.io.fail());
            }
            self.io.flush()?;
        }
        match self.io.stream.set_blocking_writes(None) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.io.fail()),
        }
    }

    fn is_last(&self) -> bool {
        self.net.ends(self.io)
    }
}
