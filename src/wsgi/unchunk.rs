//! How a response whose application frames the body itself is sent: see `app_chunks`. Runs on
//! workers.

use super::app_chunks::BrokenChunks;
use super::error::WriteError;
use super::response_state::{Abort, Phase, Response};
use super::sink::{Room, Sink};
use crate::protocol::http::response::is_bodiless;

impl Response {
    /// Whether the body may have the application's own chunks. True from the beginning to the end
    /// of such a body.
    pub(super) fn takes_chunks_off(&mut self) -> bool {
        if self.said.transfer_encoding
            && self.phase == Phase::Begun
            && !self.request.is_head
            && !is_bodiless(self.said.status)
            && self.app_chunks.is_none()
        {
            self.app_chunks = Some(Box::default());
        }
        self.app_chunks.is_some()
    }

    /// A piece of such a body.
    pub(super) fn write_app_chunks(
        &mut self,
        data: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<Room, WriteError> {
        let mut out = Vec::new();
        match self.take_chunks_off(data, false, &mut out) {
            Ok(()) if out.is_empty() => Ok(Room::Ready),
            Ok(()) => self.write_piece(&out, sink),
            Err(BrokenChunks) => self.break_off(&out, sink),
        }
    }

    /// The last piece of such a body.
    pub(super) fn finish_app_chunks(
        &mut self,
        data: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<Room, WriteError> {
        let mut out = Vec::new();
        let taken = self.take_chunks_off(data, true, &mut out);
        self.app_chunks = None;
        self.said.transfer_encoding = false;
        match taken {
            Ok(()) => self.finish_with(&out, sink),
            Err(BrokenChunks) => self.break_off(&out, sink),
        }
    }

    fn take_chunks_off(
        &mut self,
        data: &[u8],
        is_last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), BrokenChunks> {
        let Some(chunks) = &mut self.app_chunks else {
            return Ok(());
        };
        chunks.push(data, out)?;
        if is_last {
            chunks.finish(out)?;
        }
        if chunks.is_framed() && self.phase == Phase::Begun {
            // RFC 9112, 6.3: chunks override a length.
            self.said.content_length = None;
        }
        Ok(())
    }

    /// The chunks broke off, and the client must be able to tell.
    fn break_off(&mut self, out: &[u8], sink: &mut dyn Sink) -> Result<Room, WriteError> {
        tracing::error!(
            target: "app",
            "the application said Transfer-Encoding: chunked, and its own chunks broke off"
        );
        if self.phase == Phase::Begun {
            self.fail(500, sink);
            return Ok(Room::Ready);
        }
        self.app_chunks = None;
        let room = self.write_piece(out, sink)?;
        let flushed = self.flush_buffer(sink);
        let flushed = self.note(flushed)?;
        self.phase = Phase::Aborted(Abort::Failed);
        Ok(room.and(flushed))
    }
}
