//! A response in FastCGI records: content is sent behind the header of a `STDOUT` record, at most
//! 64 KiB at a time. Runs on the thread that owns the connection.

use crate::protocol::fastcgi::record::{self, CONTENT_BYTES_MAX, HEADER_BYTES, Kind};
use crate::wsgi::ClientGone;

use super::io::Io;

/// Writes the response to one request.
pub(in crate::net) struct Records<'a> {
    io: &'a mut Io,
    id: u16,
}

impl<'a> Records<'a> {
    pub(in crate::net) fn new(io: &'a mut Io, id: u16) -> Self {
        Self { io, id }
    }

    /// Sends both pieces: the first, which is small, copied behind its header; the second as it is.
    pub(in crate::net) fn send(&mut self, first: &[u8], second: &[u8]) -> Result<(), ClientGone> {
        let (mut first, mut second) = (first, second);
        while !first.is_empty() || !second.is_empty() {
            let (head, later) = first.split_at(first.len().min(CONTENT_BYTES_MAX));
            let (body, rest) = second.split_at(second.len().min(CONTENT_BYTES_MAX - head.len()));
            (first, second) = (later, rest);
            let header = record::header(Kind::STDOUT, self.id, head.len() + body.len());
            if head.is_empty() {
                self.io.send(&header, body)?;
            } else {
                self.io.send(&[&header, head].concat(), body)?;
            }
        }
        Ok(())
    }

    /// Sends the last piece, and the end of the response in the same write.
    pub(in crate::net) fn end(&mut self, rest: &[u8]) -> Result<(), ClientGone> {
        let last = self.last(rest)?;
        self.io.send(&last, &[])
    }

    /// As [`end`](Self::end), when the end of the connection follows at once.
    pub(in crate::net) fn end_ahead(&mut self, rest: &[u8]) -> Result<(), ClientGone> {
        let last = self.last(rest)?;
        self.io.send_ahead(&last)
    }

    /// The last write of a response. Sends a piece that is too long for one record first.
    fn last(&mut self, rest: &[u8]) -> Result<Vec<u8>, ClientGone> {
        let mut last = Vec::with_capacity(rest.len() + 4 * HEADER_BYTES);
        if rest.len() > CONTENT_BYTES_MAX {
            self.send(rest, &[])?;
        } else if !rest.is_empty() {
            last.extend_from_slice(&record::header(Kind::STDOUT, self.id, rest.len()));
            last.extend_from_slice(rest);
        }
        record::end_response(self.id, &mut last);
        Ok(last)
    }
}
