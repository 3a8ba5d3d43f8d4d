//! Files as pieces of a response's body. The sink sends them, through the kernel where it can;
//! copying even a few kilobytes of one behind its head into one send was measured, and costs more.

use std::fs::File;
use std::io::Write;

use super::error::WriteError;
use super::response_state::{Instead, Response};
use super::sink::{ClientGone, Room, Sink};
use crate::protocol::http::response::{BodyFraming, CHUNK_END};

impl Response {
    /// `length` bytes of `file` from `offset` on, as one piece of the body. If nothing was written
    /// before, they are the whole body, and `length` is its `Content-Length` unless the application
    /// gave one; of the two the smaller counts. [`finish`](Self::finish) comes afterwards, as after
    /// `write`.
    pub fn send_file(
        &mut self,
        file: File,
        offset: u64,
        length: u64,
        sink: &mut dyn Sink,
    ) -> Result<Room, WriteError> {
        if self.instead != Instead::Nothing {
            return self.send_instead(sink);
        }
        if self.is_replaced(sink) {
            return Ok(Room::Ready);
        }
        let framing = self.body_framing(Some(length), sink)?;
        let sent = self.send_file_piece(framing, file, offset, length, sink);
        self.note(sent)
    }

    /// The same as one piece among others, so that nothing is known about the whole body.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_file(
        &mut self,
        file: File,
        offset: u64,
        length: u64,
        sink: &mut dyn Sink,
    ) -> Result<Room, WriteError> {
        if length == 0 {
            return Ok(Room::Ready);
        }
        if self.instead != Instead::Nothing {
            return self.send_instead(sink);
        }
        if self.is_replaced(sink) {
            return Ok(Room::Ready);
        }
        let framing = self.body_framing(None, sink)?;
        let sent = self.send_file_piece(framing, file, offset, length, sink);
        self.note(sent)
    }

    /// A part of a file, likewise; never the last piece.
    fn send_file_piece(
        &mut self,
        framing: BodyFraming,
        file: File,
        offset: u64,
        length: u64,
        sink: &mut dyn Sink,
    ) -> Result<Room, ClientGone> {
        let length = self.admit(framing, length);
        if length == 0 {
            return self.flush_buffer(sink);
        }
        let chunked = framing == BodyFraming::Chunked;
        if chunked {
            // Not `chunk_prefix`: a file may be longer than the address space of a 32-bit machine.
            match write!(self.buffer, "{length:x}\r\n") {
                // Writing to a Vec never fails; the type says it could.
                Ok(()) | Err(_) => {}
            }
        }
        let mut room = sink.send_file(&self.buffer, file, offset, length)?;
        self.buffer.clear();
        self.body_bytes += length;
        self.is_file = true;
        if chunked {
            room = room.and(sink.send(CHUNK_END, b"")?);
        }
        Ok(room)
    }
}
