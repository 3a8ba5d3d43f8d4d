//! A file in place of the body that an application gives: what `X-Sendfile` and `X-Accel-Redirect`
//! ask for.
//!
//! The application names the file in a header and yields nothing, or something that is dropped.
//! This file has the promise and the response's side of it; who finds the file, and knows what the
//! client asked for, is another room's business. Without an [`offer`](Response::offer) a response
//! does not know such headers, and sends them like any other.

use std::mem;

use super::error::WriteError;
use super::response_state::{Delivery, Instead, Phase, Response};
use super::sink::{Room, Sink};
use crate::protocol::http::response as wire;

impl Response {
    /// For the request that this response was reset for, files may be named.
    pub fn offer(&mut self, delivery: Box<dyn Delivery>) {
        self.delivery = Some(delivery);
    }

    /// Whether this header names a file. It is for us then, and not for the client.
    pub(super) fn notes_file(&mut self, name: &[u8], value: &[u8]) -> bool {
        let header = self
            .delivery
            .as_ref()
            .and_then(|delivery| delivery.header(name));
        if let Some(header) = header {
            self.instead = Instead::Named(header, value.to_vec());
        }
        header.is_some()
    }

    /// The file in place of a piece of the body, or of its end.
    pub(super) fn send_instead(&mut self, sink: &mut dyn Sink) -> Result<Room, WriteError> {
        match mem::take(&mut self.instead) {
            Instead::Named(header, value) if self.phase == Phase::Begun => {
                // How long its own body would have been is no longer of interest.
                self.said.content_length = None;
                if let Some(delivery) = self.delivery.take() {
                    delivery.deliver(header, &value, self, sink);
                }
            }
            _ => {}
        }
        self.instead = Instead::Sent;
        if self.is_client_gone() {
            return Err(WriteError::ClientGone);
        }
        Ok(Room::Ready)
    }

    /// The status, while the head has not left; 0 before there is one.
    pub fn status(&self) -> u16 {
        self.said.status
    }

    /// Another status for the same head: a part of what was said to be the whole. Nothing happens
    /// once the head has left.
    pub fn restate(&mut self, status: u16) {
        if self.phase != Phase::Begun || self.said.status == status {
            return;
        }
        let mut head = Vec::with_capacity(self.buffer.capacity());
        wire::status_line(
            self.request.form,
            format!("{status} {}", wire::reason(status)).as_bytes(),
            &mut head,
        );
        let fields = line_length(&self.buffer);
        head.extend_from_slice(self.buffer.get(fields..).unwrap_or_default());
        self.buffer = head;
        self.said.status = status;
    }

    /// The value of the first header of this name that was said and has not left. Not of those that
    /// the server says.
    pub fn said(&self, name: &[u8]) -> Option<&[u8]> {
        self.find(name).map(|(_, value)| value)
    }

    /// Takes the first header of this name back, and gives its value.
    pub fn remove_header(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let (line, value) = self.find(name)?;
        let value = value.to_vec();
        self.buffer.drain(line);
        self.said.header_count -= 1;
        Some(value)
    }

    /// Where the line of a header is in the head, and its value.
    fn find(&self, name: &[u8]) -> Option<(std::ops::Range<usize>, &[u8])> {
        if self.phase != Phase::Begun {
            return None;
        }
        let mut at = line_length(&self.buffer);
        while let Some(rest) = self.buffer.get(at..).filter(|rest| !rest.is_empty()) {
            let length = line_length(rest);
            let line = rest.get(..length).unwrap_or_default();
            let front = line.get(..name.len()).unwrap_or_default();
            let behind = line.get(name.len()..).unwrap_or_default();
            if front.eq_ignore_ascii_case(name)
                && let Some(value) = behind.strip_prefix(b": ")
            {
                return Some((at..at + length, value.trim_ascii_end()));
            }
            at += length;
        }
        None
    }
}

/// Bytes of the first line, its end included.
fn line_length(text: &[u8]) -> usize {
    memchr::memchr(b'\n', text).map_or(text.len(), |end| end + 1)
}
