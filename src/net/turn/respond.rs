//! The sending half of a turn: answers of the server itself, and the rest of those of the
//! application.

use std::io;
use std::mem;
use std::time::Duration;

use crate::protocol::http::Refusal;
use crate::protocol::http::response as wire;
use crate::wsgi::{Head, LogNotes, RequestFacts, Summary, UNREAD, canned};

use super::super::client::requester;
use super::super::connection::{Answered, Connection, Phase};
use super::super::output::{Flushed, Records};
use super::super::services::{Dispatch, Finished, Record, Rejected, RouteService};
use super::super::state::{Net, count};
use super::super::tls_stream::TlsStream;
use super::{Next, READ_BYTES_PER_TURN, Turn};

/// Seconds after which a client may retry when the queue is full.
const RETRY_AFTER_S: u32 = 1;

impl Turn {
    /// Answers a request that the protocol's rules or a deadline refuse, and closes the connection.
    pub(super) fn refuse(&mut self, net: &Net, connection: &mut Connection, refusal: &Refusal) {
        count(&net.counters.refused);
        if let Some(remark) = connection.reader.remark() {
            tracing::warn!("refused {remark} on a uwsgi socket: {}", refusal.why);
        }
        tracing::debug!(
            status = refusal.status,
            why = refusal.why,
            peer = %String::from_utf8_lossy(connection.peer.address()),
            "refused a request"
        );
        self.answer(net, connection, refusal.status, None);
    }

    /// Answers plain HTTP on an address with TLS, without TLS.
    pub(super) fn refuse_plain_http(&mut self, net: &Net, connection: &mut Connection) {
        const PAGE: &[u8] =
            b"400 Bad Request\nThis address speaks HTTPS only: ask again with https:// in front.\n";
        count(&net.counters.refused);
        let peer = String::from_utf8_lossy(connection.peer.address());
        tracing::debug!(%peer, "refused a request: HTTP without TLS on an address with TLS");
        let mut answer = Vec::with_capacity(256);
        wire::status_line(UNREAD.form, b"400 Bad Request", &mut answer);
        wire::field(b"Content-Type", b"text/plain; charset=utf-8", &mut answer);
        wire::date(self.date.now(), &mut answer);
        wire::content_length(PAGE.len() as u64, &mut answer);
        let plan = wire::choose(UNREAD, 400, Some(PAGE.len() as u64));
        wire::end_head(plan, UNREAD.form, UNREAD.version, &mut answer);
        answer.extend_from_slice(PAGE);
        self.send_answer(connection, 400, &answer);
    }

    /// Answers a request that could not be queued with 503.
    pub(super) fn shed(&mut self, net: &Net, connection: &mut Connection, rejected: Rejected) {
        count(&net.counters.shed);
        match rejected {
            Rejected::Full => tracing::debug!("the request queue is full: answering 503"),
            Rejected::Stopped => tracing::debug!("no worker serves: answering 503"),
        }
        self.answer(net, connection, 503, Some(RETRY_AFTER_S));
    }

    /// Answers a readiness probe: 200, or 503 if no application serves or the server was told to
    /// stop.
    pub(super) fn answer_readiness(
        &mut self,
        net: &Net,
        dispatch: &dyn Dispatch,
        mut connection: Box<Connection>,
    ) -> Box<Connection> {
        let is_ready = !net.is_leaving() && dispatch.is_ready();
        let status = if is_ready { 200 } else { 503 };
        self.answer(net, &mut connection, status, None);
        connection
    }

    /// Redirects the client to the same host and target with https.
    pub(super) fn redirect(&mut self, net: &Net, connection: &mut Connection) {
        let host = connection.head.host().unwrap_or_default();
        let (Head::Http(head), false) = (&connection.head, host.is_empty()) else {
            let refusal = Refusal {
                status: 400,
                why: "no host to redirect to",
            };
            return self.refuse(net, connection, &refusal);
        };
        let mut location = b"https://".to_vec();
        location.extend_from_slice(without_port(host));
        if let Some(port) = net.redirect(connection.listener).and_then(|to| to.port) {
            location.extend_from_slice(format!(":{port}").as_bytes());
        }
        if head.path().starts_with(b"/") {
            location.extend_from_slice(head.path());
        }
        if let Some(query) = head.query() {
            location.push(b'?');
            location.extend_from_slice(query);
        }
        let mut answer = self.answer_without_app(net, connection, 301, None);
        let mut field = Vec::with_capacity(location.len() + 16);
        wire::field(b"Location", &location, &mut field);
        // Behind the status line.
        let at = memchr::memchr(b'\n', &answer).map_or(0, |end| end + 1);
        answer.splice(at..at, field);
        self.send_answer(connection, 301, &answer);
    }

    pub(super) fn answer(
        &mut self,
        net: &Net,
        connection: &mut Connection,
        status: u16,
        retry_after_s: Option<u32>,
    ) {
        let answer = self.answer_without_app(net, connection, status, retry_after_s);
        self.send_answer(connection, status, &answer);
    }

    fn answer_without_app(
        &mut self,
        net: &Net,
        connection: &Connection,
        status: u16,
        retry_after_s: Option<u32>,
    ) -> Vec<u8> {
        let facts = RequestFacts {
            form: connection.reader.form(),
            is_head: connection.head.is_head(),
            ..UNREAD
        };
        let site = net.site();
        let added = &site.settings.added_fields;
        canned(status, facts, retry_after_s, self.date.now(), added)
    }

    fn send_answer(&mut self, connection: &mut Connection, status: u16, answer: &[u8]) {
        connection.answered = Some(Answered {
            summary: summary_of(status, answer),
            queued: Duration::ZERO,
            app: Duration::ZERO,
            at: self.now,
            worker: 0,
            core: 0,
            application: None,
            requests: 0,
            generation: 0,
            gil: Duration::ZERO,
            notes: None,
        });
        connection.unread = Vec::new();
        connection.body = Default::default();
        connection.close_after = true;
        connection.phase = Phase::Flushing;
        // The end of the connection follows at once and should travel in the same packet: a FastCGI
        // client that reads `END_REQUEST` alone reuses the connection. `flush` notices a client
        // that has gone.
        let sent = match connection.reader.request_id() {
            Some(id) => Records::new(&mut connection.io, id).end_ahead(answer),
            None => connection.io.send_ahead(answer),
        };
        if sent.is_err() {
            tracing::debug!("the client of a refused request had gone");
        }
    }

    /// Sends the rest of the last response; then the connection serves its next request or closes.
    pub(super) fn flush(&mut self, net: &Net, connection: &mut Connection) -> Next {
        if !connection.io.broken && connection.io.has_output() {
            match connection.io.flush() {
                Ok(Flushed::All) => {}
                Ok(Flushed::Blocked) => return Next::Wait,
                Ok(Flushed::More) => return Next::Yield,
                Err(_) => {}
            }
        }
        // The output is freed, and so is what the application sent.
        let answered = connection.answered.as_ref();
        let sent = answered.map_or(0, |answered| answered.summary.body_bytes);
        net.note_freed(usize::try_from(sent).unwrap_or(usize::MAX));
        let is_cut = connection
            .answered
            .as_ref()
            .is_some_and(|answered| answered.summary.aborted);
        self.log(net, connection);
        self.recycle(connection);
        // A response that was cut short: no good end, of TLS either.
        connection.io.broken |= is_cut;
        if connection.io.broken {
            return Next::Close;
        }
        connection.io.disarm();
        if !connection.close_after && net.is_parking() {
            connection.phase = Phase::Head;
            if net.park(connection) {
                return Next::Close;
            }
        }
        // A connection with keep-alive stays open for a grace time, although the
        // server may be stopping: the next request may be in transit.
        if connection.close_after {
            // If the client may still be sending, closing at once would destroy the answer in
            // transit (RFC 9112, 9.6): close the sending side and wait for the client to finish.
            let is_plain = connection
                .io
                .stream
                .tls()
                .is_some_and(TlsStream::is_plain_http);
            if connection.reader.is_idle() && connection.unread.is_empty() && !is_plain {
                return Next::Close;
            }
            if connection.io.stream.finish_sending().is_err() {
                return Next::Close;
            }
            connection.phase = Phase::Lingering;
            connection.since_ms = net.milliseconds(self.now);
            connection.unread = Vec::new();
            return Next::Again;
        }
        connection.phase = Phase::Head;
        connection.since_ms = 0;
        connection.idle_since_ms = net.milliseconds(self.now);
        if connection.unread.is_empty() && !connection.peer_finished && !connection.may_have_more {
            return Next::Wait;
        }
        Next::Again
    }

    pub(super) fn linger(&mut self, connection: &mut Connection) -> Next {
        let mut read_bytes = 0;
        loop {
            match connection.io.stream.read(&mut self.read_buffer) {
                Ok(0) => return Next::Close,
                Ok(count) => read_bytes += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::Wait,
                Err(_) => return Next::Close,
            }
            if read_bytes >= READ_BYTES_PER_TURN {
                return Next::Yield;
            }
        }
    }

    pub(super) fn log(&mut self, net: &Net, connection: &mut Connection) {
        let Some(mut answered) = connection.answered.take() else {
            return;
        };
        let broken = connection.io.broken || answered.summary.aborted;
        let write = self.now.saturating_duration_since(answered.at);
        let site = net.site();
        if let Some(routes) = &site.routes {
            let said = notes(&**routes, connection, &answered, write);
            answered.notes = LogNotes::both(answered.notes.take(), said);
        }
        net.log.record(&Record {
            peer: connection.client(),
            head: &connection.head,
            write,
            answered: &answered,
            broken,
            is_wanted: site.settings.logs_requests,
        });
    }

    /// Takes the request's memory for the next one, so that an idle connection holds none.
    pub(super) fn recycle(&mut self, connection: &mut Connection) {
        connection.body_bytes_seen = 0;
        connection.forwarded = None;
        connection.routed = None;
        connection.body = Default::default();
        let head = mem::take(&mut connection.head);
        self.spare_heads.give(head, connection.slot);
    }
}

/// What rules of the request, and the last ones, have said about the log line.
fn notes(
    routes: &dyn RouteService,
    connection: &mut Connection,
    answered: &Answered,
    write: Duration,
) -> Option<Box<LogNotes>> {
    let Connection {
        head,
        peer,
        forwarded,
        routed,
        listener,
        ..
    } = connection;
    let mut notes = match routed {
        Some(routed) => mem::take(&mut routed.notes),
        None => LogNotes::default(),
    };
    notes.add(routes.finish(Finished {
        head,
        peer: requester(peer, forwarded.as_deref()),
        listener: *listener,
        is_https: forwarded.as_ref().and_then(|told| told.is_https),
        answered,
        write,
    }));
    (!notes.is_empty()).then(|| Box::new(notes))
}

/// The value of `Host` without its port.
fn without_port(host: &[u8]) -> &[u8] {
    // The colons of an IPv6 address are in brackets.
    let from = memchr::memchr(b']', host).unwrap_or(0);
    let behind = host.get(from..).unwrap_or_default();
    match memchr::memchr(b':', behind) {
        Some(colon) => host.get(..from + colon).unwrap_or_default(),
        None => host,
    }
}

/// The log entry of an answer of the server itself.
fn summary_of(status: u16, answer: &[u8]) -> Summary {
    let head_bytes = memchr::memmem::find(answer, b"\r\n\r\n").map_or(answer.len(), |end| end + 4);
    let head = answer.get(..head_bytes).unwrap_or_default();
    Summary {
        status,
        header_bytes: head_bytes,
        // The status line and the empty line are not fields.
        header_count: memchr::memchr_iter(b'\n', head).count().saturating_sub(2),
        body_bytes: (answer.len() - head_bytes) as u64,
        pieces: 0,
        dropped_bytes: 0,
        keep_alive: false,
        aborted: false,
        is_file: false,
    }
}
