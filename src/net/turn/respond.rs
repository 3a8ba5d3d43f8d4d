//! The sending half of a turn: answers made without the application, and what is left of those made by it.

use std::io;
use std::mem;
use std::time::Duration;

use crate::http::Refusal;
use crate::wsgi::{RequestFacts, Summary, UNREAD, canned};

use super::super::connection::{Answered, Connection, Phase};
use super::super::output::Flushed;
use super::super::records::Records;
use super::super::{Net, RETRY_AFTER_S, Record, Rejected, count};
use super::{Next, READ_BYTES_PER_TURN, Turn};

impl Turn {
    /// Answers a request that the protocol's rules or a deadline refuse. The connection closes afterwards.
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

    pub(super) fn shed(&mut self, net: &Net, connection: &mut Connection, rejected: Rejected) {
        count(&net.counters.shed);
        match rejected {
            Rejected::Full => tracing::debug!("the request queue is full: answering 503"),
            Rejected::Stopped => tracing::debug!("no worker serves: answering 503"),
        }
        self.answer(net, connection, 503, Some(RETRY_AFTER_S));
    }

    pub(super) fn answer(
        &mut self,
        net: &Net,
        connection: &mut Connection,
        status: u16,
        retry_after_s: Option<u32>,
    ) {
        let facts = RequestFacts {
            form: connection.reader.form(),
            is_head: connection.head.is_head(),
            ..UNREAD
        };
        let added = &net.settings.added_fields;
        let answer = canned(status, facts, retry_after_s, self.date.now(), added);
        connection.answered = Some(Answered {
            summary: summary_of(status, &answer),
            queued: Duration::ZERO,
            app: Duration::ZERO,
            at: self.now,
            worker: 0,
            core: 0,
        });
        connection.unread = Vec::new();
        connection.body = Default::default();
        connection.close_after = true;
        connection.phase = Phase::Flushing;
        // A client that is gone already is noticed by the flush.
        let sent = match connection.reader.request_id() {
            Some(id) => Records::new(&mut connection.io, id).end(&answer),
            None => connection.io.send(&answer, &[]),
        };
        if sent.is_err() {
            tracing::debug!("the client of a refused request had gone");
        }
    }

    /// Sends what the last response still owes; then the connection serves its next request or closes.
    pub(super) fn flush(&mut self, net: &Net, connection: &mut Connection) -> Next {
        if !connection.io.broken && !connection.io.output.is_empty() {
            match connection.io.flush() {
                Ok(Flushed::All) => {}
                Ok(Flushed::Blocked) => return Next::Park,
                Ok(Flushed::More) => return Next::Yield,
                Err(_) => {}
            }
        }
        self.log(net, connection);
        self.recycle(connection);
        if connection.io.broken {
            return Next::Close;
        }
        if connection.close_after || net.is_draining() {
            // If the client may still be sending, closing at once would destroy the answer on its way
            // (RFC 9112, 9.6): say that nothing more comes, and wait for it to finish.
            if connection.reader.is_idle() && connection.unread.is_empty() {
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
        if connection.unread.is_empty() && !connection.peer_finished {
            return Next::Park;
        }
        Next::Again
    }

    pub(super) fn linger(&mut self, connection: &mut Connection) -> Next {
        let mut read_bytes = 0;
        loop {
            match connection.io.stream.read(&mut self.read_buffer) {
                Ok(0) => return Next::Close,
                Ok(count) => read_bytes += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Next::Park,
                Err(_) => return Next::Close,
            }
            if read_bytes >= READ_BYTES_PER_TURN {
                return Next::Yield;
            }
        }
    }

    pub(super) fn log(&mut self, net: &Net, connection: &mut Connection) {
        let Some(answered) = connection.answered.take() else {
            return;
        };
        let broken = connection.io.broken || answered.summary.aborted;
        net.log.record(&Record {
            peer: &connection.peer,
            head: &connection.head,
            body_bytes: connection.body_bytes_seen,
            write: self.now.saturating_duration_since(answered.at),
            answered: &answered,
            broken,
        });
    }

    /// Takes the request's memory back for the next one, so that an idle connection holds none.
    pub(super) fn recycle(&mut self, connection: &mut Connection) {
        connection.body_bytes_seen = 0;
        connection.body = Default::default();
        self.spare_heads.give(mem::take(&mut connection.head));
    }
}

/// What the log says of an answer that was made without the application.
fn summary_of(status: u16, answer: &[u8]) -> Summary {
    let head_bytes = memchr::memmem::find(answer, b"\r\n\r\n").map_or(answer.len(), |end| end + 4);
    let head = answer.get(..head_bytes).unwrap_or_default();
    Summary {
        status,
        header_bytes: head_bytes,
        // The status line and the empty line are not fields.
        header_count: memchr::memchr_iter(b'\n', head).count().saturating_sub(2),
        body_bytes: (answer.len() - head_bytes) as u64,
        dropped_bytes: 0,
        keep_alive: false,
        aborted: false,
    }
}
