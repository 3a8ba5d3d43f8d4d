//! The receiving half of a turn: feeds bytes to the request parser until a request is complete.

use std::io;
use std::mem;

use crate::protocol::cgi::{Reply, Step};
use crate::protocol::http::Refusal;
use crate::protocol::http::response::CONTINUE;
use crate::wsgi::ClientGone;

use super::super::connection::{Connection, Phase};
use super::super::os::short_read::has_emptied;
use super::super::state::{Net, count};
use super::{Next, READ_BUFFER_BYTES, READ_BYTES_PER_TURN, Turn};

/// Whether another read may return bytes that the poll does not report.
pub(super) fn may_have_more(result: &io::Result<usize>, room: usize) -> bool {
    matches!(result, Ok(count) if *count > 0 && !has_emptied(*count, room))
}

impl Turn {
    pub(super) fn read_request(&mut self, net: &Net, connection: &mut Connection) -> Next {
        // Bytes that a pipelining client sent ahead come first.
        if !connection.unread.is_empty() {
            let unread = mem::take(&mut connection.unread);
            let next = self.feed(net, connection, unread);
            if !matches!(next, Next::Wait) {
                return next;
            }
        }
        let mut read_bytes = 0;
        loop {
            if let Some((count, next)) = self.read_body(net, connection) {
                let may_go_on = connection.may_have_more || connection.peer_finished;
                if !matches!(next, Next::Wait) || count == 0 || !may_go_on {
                    return next;
                }
                read_bytes += count;
                if read_bytes >= READ_BYTES_PER_TURN {
                    return Next::Yield;
                }
                continue;
            }
            let mut buffer = mem::take(&mut self.read_buffer);
            let result = connection.io.stream.read(&mut buffer);
            let next = match &result {
                Ok(0) => self.end_of_input(net, connection),
                Ok(count) => {
                    let data = buffer.get(..*count).unwrap_or_default();
                    if connection.unread.is_empty() {
                        self.feed_borrowed(net, connection, data)
                    } else {
                        let mut unread = mem::take(&mut connection.unread);
                        unread.extend_from_slice(data);
                        self.feed(net, connection, unread)
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Next::Wait,
                Err(error) => self.broken(net, connection, error),
            };
            self.read_buffer = buffer;
            connection.may_have_more = may_have_more(&result, READ_BUFFER_BYTES);
            if !matches!(next, Next::Wait) {
                return next;
            }
            let Ok(count) = result else {
                return Next::Wait;
            };
            read_bytes += count;
            // The client's end may be waiting behind a read that has emptied the socket.
            if has_emptied(count, READ_BUFFER_BYTES) && !connection.peer_finished {
                return Next::Wait;
            }
            if read_bytes >= READ_BYTES_PER_TURN {
                return Next::Yield;
            }
        }
    }

    /// Reads a long body directly into its memory. Returns the number of bytes and the next step.
    /// `None`: its bytes must go through the parser.
    fn read_body(&mut self, net: &Net, connection: &mut Connection) -> Option<(usize, Next)> {
        let left = connection.reader.body_left();
        if left == 0 {
            return None;
        }
        let room = connection
            .body
            .room(usize::try_from(left).unwrap_or(usize::MAX));
        let wanted = room.len();
        if wanted == 0 {
            return None;
        }
        let result = connection.io.stream.read(room);
        connection.may_have_more = may_have_more(&result, wanted);
        let count = match result {
            Ok(0) => return Some((0, self.end_of_input(net, connection))),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Some((0, Next::Wait));
            }
            Err(error) => return Some((0, self.broken(net, connection, &error))),
        };
        connection.body.filled(count);
        connection.reader.body_came(count as u64);
        connection.body_bytes_seen += count as u64;
        let (_, next) = self.parse(net, connection, &[]);
        Some((count, next))
    }

    /// Feeds bytes that the connection owns.
    pub(super) fn feed(
        &mut self,
        net: &Net,
        connection: &mut Connection,
        mut data: Vec<u8>,
    ) -> Next {
        let (consumed, next) = self.parse(net, connection, &data);
        data.drain(..consumed.min(data.len()));
        connection.unread = data;
        next
    }

    /// Feeds bytes of the thread's buffer; copies only those that are not consumed.
    pub(super) fn feed_borrowed(
        &mut self,
        net: &Net,
        connection: &mut Connection,
        data: &[u8],
    ) -> Next {
        let (consumed, next) = self.parse(net, connection, data);
        let rest = data.get(consumed..).unwrap_or_default();
        if !rest.is_empty() {
            connection.unread = rest.to_vec();
        }
        next
    }

    /// Runs the request parser over `data`. Returns the number of bytes it consumed.
    pub(super) fn parse(
        &mut self,
        net: &Net,
        connection: &mut Connection,
        data: &[u8],
    ) -> (usize, Next) {
        let site = net.site();
        let limits = &site.settings.limits;
        if connection.phase == Phase::Head && connection.reader.is_idle() {
            // After the read, see `handover`.
            if net.should_park(connection) {
                return (0, Next::HandOver);
            }
            if connection.since_ms == 0 {
                connection.since_ms = net.milliseconds(self.now);
            }
            let (protocol, slot) = (connection.reader.protocol(), connection.slot);
            if let Some(spare) = self.spare_heads.take(protocol, slot) {
                connection.head = spare;
            }
        }
        let mut consumed = 0;
        loop {
            let input = data.get(consumed..).unwrap_or_default();
            let (count, step) = match connection.reader.read(input, limits, &mut connection.head) {
                Ok(step) => step,
                Err(refusal) => {
                    self.refuse(net, connection, &refusal);
                    return (data.len(), Next::Again);
                }
            };
            consumed += count;
            match step {
                Step::NeedMore => return (consumed, self.need_more(net, connection)),
                Step::Head => {
                    let has_more = consumed < data.len();
                    if self.begin_body(net, connection, has_more).is_err() {
                        return (consumed, Next::Close);
                    }
                }
                Step::Data(piece) => {
                    if let Err(refusal) = store(net, connection, piece, net.milliseconds(self.now))
                    {
                        self.refuse(net, connection, &refusal);
                        return (data.len(), Next::Again);
                    }
                }
                Step::End => return (consumed, Next::Submit),
                Step::Say => {
                    if let Some(next) = self.reply(net, connection) {
                        return (consumed, next);
                    }
                }
            }
        }
    }

    /// A head is complete. Asks for the body if the client waits for that and `has_more` bytes have
    /// not arrived.
    fn begin_body(
        &mut self,
        net: &Net,
        connection: &mut Connection,
        has_more: bool,
    ) -> Result<(), ClientGone> {
        if let Some(proxies) = &net.site().settings.proxies {
            connection.read_forwarded(proxies);
        }
        if !connection.head.has_body() {
            return Ok(());
        }
        connection.phase = Phase::Body;
        connection.since_ms = net.milliseconds(self.now);
        connection.body_bytes_seen = 0;
        // A client that has begun to send the body does not wait for permission.
        if connection.head.expects_continue() && !has_more {
            connection.io.send(CONTINUE, &[])?;
        }
        Ok(())
    }

    /// Sends an answer of the protocol itself. `None`: the parser continues.
    fn reply(&mut self, net: &Net, connection: &mut Connection) -> Option<Next> {
        let mut answer = Vec::new();
        let connections_max = net.site().settings.connections_max;
        let reply = connection.reader.reply(connections_max, &mut answer);
        if connection.io.send(&answer, &[]).is_err() {
            return Some(Next::Close);
        }
        match reply {
            Reply::GoOn => None,
            Reply::Forget => {
                self.recycle(connection);
                connection.phase = Phase::Head;
                connection.since_ms = net.milliseconds(self.now);
                None
            }
            Reply::Close => {
                connection.close_after = true;
                connection.phase = Phase::Flushing;
                Some(Next::Again)
            }
        }
    }

    pub(super) fn need_more(&mut self, net: &Net, connection: &mut Connection) -> Next {
        if connection.phase == Phase::Body
            && net.is_body_too_slow(connection, net.milliseconds(self.now))
        {
            let refusal = Refusal {
                status: 408,
                why: "the request body arrived too slowly",
            };
            self.refuse(net, connection, &refusal);
            return Next::Again;
        }
        Next::Wait
    }

    pub(super) fn end_of_input(&mut self, net: &Net, connection: &mut Connection) -> Next {
        let is_between = connection.phase == Phase::Head
            && connection.reader.is_idle()
            && connection.unread.is_empty();
        if !is_between {
            // The client closed in the middle of a request.
            count(&net.counters.refused);
        }
        Next::Close
    }

    /// The socket or its TLS failed.
    fn broken(&mut self, net: &Net, connection: &mut Connection, error: &io::Error) -> Next {
        if let Some(tls) = connection.io.stream.tls() {
            if tls.is_plain_http() {
                self.refuse_plain_http(net, connection);
                return Next::Again;
            }
            if tls.is_handshaking() {
                count(&net.counters.handshakes_failed);
                let peer = String::from_utf8_lossy(connection.peer.address());
                if net.site().settings.warns_of_handshakes {
                    tracing::warn!(%error, %peer, "a TLS handshake failed");
                } else {
                    tracing::debug!(%error, %peer, "a TLS handshake failed");
                }
            }
        }
        connection.io.broken = true;
        Next::Close
    }

    pub(super) fn has_input(&mut self, connection: &mut Connection) -> bool {
        match connection.io.stream.read(&mut self.read_buffer) {
            Ok(count) if count > 0 => {
                let data = self.read_buffer.get(..count).unwrap_or_default();
                connection.unread.extend_from_slice(data);
                true
            }
            _ => false,
        }
    }
}

/// Stores a piece of a request body.
fn store(net: &Net, connection: &mut Connection, piece: &[u8], now_ms: u64) -> Result<(), Refusal> {
    connection.body_bytes_seen += piece.len() as u64;
    let stored = connection
        .body
        .push(piece, &net.site().settings.body_memory);
    let Err(error) = stored else {
        return Ok(());
    };
    if net.body_warning.is_due(now_ms) {
        let folder = std::env::temp_dir();
        if error.kind() == io::ErrorKind::QuotaExceeded {
            tracing::warn!(
                "request bodies are refused with 507: those in temporary files under {} are at \
                 their bound together (--post-buffering-total)",
                folder.display()
            );
        } else {
            tracing::error!(
                %error,
                "cannot store a request body in a temporary file under {}. Free space there, or \
                 set TMPDIR",
                folder.display()
            );
        }
    }
    Err(Refusal {
        status: 507,
        why: "the request body could not be stored",
    })
}
