//! The receiving half of a turn: bytes from the socket through the request machine, until a request is complete.

use std::io;
use std::mem;

use crate::protocol::cgi::{Reply, Step};
use crate::protocol::http::Refusal;
use crate::protocol::http::response::CONTINUE;

use super::super::connection::{Connection, Phase};
use super::super::{Net, count};
use super::{Next, READ_BUFFER_BYTES, READ_BYTES_PER_TURN, Turn};

impl Turn {
    pub(super) fn read_request(&mut self, net: &Net, connection: &mut Connection) -> Next {
        // What a pipelining client sent ahead comes first.
        if !connection.unread.is_empty() {
            let unread = mem::take(&mut connection.unread);
            let next = self.feed(net, connection, unread);
            if !matches!(next, Next::Park) {
                return next;
            }
        }
        let mut read_bytes = 0;
        loop {
            if let Some((count, next)) = self.read_body(net, connection) {
                let may_go_on = connection.may_have_more || connection.peer_finished;
                if !matches!(next, Next::Park) || count == 0 || !may_go_on {
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
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Next::Park,
                Err(error) => self.broken(net, connection, error),
            };
            self.read_buffer = buffer;
            connection.may_have_more = matches!(result, Ok(READ_BUFFER_BYTES));
            if !matches!(next, Next::Park) {
                return next;
            }
            let Ok(count) = result else {
                return Next::Park;
            };
            read_bytes += count;
            // A short read has emptied the socket, unless the client's end is waiting behind it.
            if count < READ_BUFFER_BYTES && !connection.peer_finished {
                return Next::Park;
            }
            if read_bytes >= READ_BYTES_PER_TURN {
                return Next::Yield;
            }
        }
    }

    /// Reads a long body straight to where it is kept. How much came, and what to do next. `None`: its bytes must go through
    /// the machine.
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
        connection.may_have_more = matches!(result, Ok(count) if count == wanted);
        let count = match result {
            Ok(0) => return Some((0, self.end_of_input(net, connection))),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Some((0, Next::Park));
            }
            Err(error) => return Some((0, self.broken(net, connection, &error))),
        };
        connection.body.filled(count);
        connection.reader.body_came(count as u64);
        connection.body_bytes_seen += count as u64;
        let (_, next) = self.parse(net, connection, &[]);
        Some((count, next))
    }

    /// Feeds bytes that are the connection's own already.
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

    /// Feeds bytes from the thread's buffer; only what is not consumed is copied.
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

    /// Runs the request machine over `data`. Returns how much of it was consumed.
    pub(super) fn parse(
        &mut self,
        net: &Net,
        connection: &mut Connection,
        data: &[u8],
    ) -> (usize, Next) {
        let limits = &net.settings.limits;
        if connection.phase == Phase::Head && connection.reader.is_idle() {
            // After the read, see `kept_unix`.
            if net.gives_away(connection) {
                return (0, Next::GiveAway);
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
                    if let Some(proxies) = &net.settings.proxies {
                        connection.hear(proxies);
                    }
                    if connection.head.has_body() {
                        connection.phase = Phase::Body;
                        connection.since_ms = net.milliseconds(self.now);
                        connection.body_bytes_seen = 0;
                        // A client that has begun to send the body does not wait for permission.
                        if connection.head.expects_continue()
                            && consumed == data.len()
                            && connection.io.send(CONTINUE, &[]).is_err()
                        {
                            return (consumed, Next::Close);
                        }
                    }
                }
                Step::Data(piece) => {
                    connection.body_bytes_seen += piece.len() as u64;
                    let memory = &net.settings.body_memory;
                    if let Err(error) = connection.body.push(piece, memory) {
                        tracing::error!(
                            %error,
                            "cannot store a request body in a temporary file under {}. Free space there, or set TMPDIR",
                            std::env::temp_dir().display()
                        );
                        let refusal = Refusal {
                            status: 507,
                            why: "the request body could not be stored",
                        };
                        self.refuse(net, connection, &refusal);
                        return (data.len(), Next::Again);
                    }
                }
                Step::End => return (consumed, Next::Submit),
                Step::Say => {
                    let mut said = Vec::new();
                    let reply = connection
                        .reader
                        .reply(net.settings.connections_max, &mut said);
                    if connection.io.send(&said, &[]).is_err() {
                        return (consumed, Next::Close);
                    }
                    match reply {
                        Reply::GoOn => {}
                        Reply::Forget => {
                            self.recycle(connection);
                            connection.phase = Phase::Head;
                            connection.since_ms = net.milliseconds(self.now);
                        }
                        Reply::Close => {
                            connection.close_after = true;
                            connection.phase = Phase::Flushing;
                            return (consumed, Next::Again);
                        }
                    }
                }
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
        Next::Park
    }

    pub(super) fn end_of_input(&mut self, net: &Net, connection: &mut Connection) -> Next {
        let is_between = connection.phase == Phase::Head
            && connection.reader.is_idle()
            && connection.unread.is_empty();
        if !is_between {
            // Half a request and then the end: nobody is there to be told, but it is worth counting.
            count(&net.counters.refused);
        }
        Next::Close
    }

    /// The socket, or the TLS on it, failed.
    fn broken(&mut self, net: &Net, connection: &mut Connection, error: &io::Error) -> Next {
        if let Some(tls) = connection.io.stream.tls() {
            if tls.is_plain_http() {
                self.refuse_plain_http(net, connection);
                return Next::Again;
            }
            if tls.is_handshaking() {
                count(&net.counters.handshakes_failed);
                let peer = String::from_utf8_lossy(connection.peer.address());
                if net.settings.tells_handshakes {
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
