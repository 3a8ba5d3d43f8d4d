//! What rules have decided about a request that goes on, and how a head is changed, or replaced,
//! before it leaves.

use std::time::Duration;

use super::error::ResponseError;
use super::log_notes::LogNotes;
use super::response_state::{Abort, HeadFilter, Instead, Phase, Response};
use super::sink::Sink;

/// What rules have decided about a request that goes on.
#[derive(Debug, Default)]
pub struct Routed {
    /// For its response.
    pub filter: Option<Box<dyn HeadFilter>>,
    /// The time that the application has for it.
    pub harakiri: Option<Duration>,
    /// For its log line.
    pub notes: LogNotes,
}

impl Response {
    /// This filter sees the head before it leaves.
    pub fn set_filter(&mut self, filter: Option<Box<dyn HeadFilter>>) {
        self.filter = filter;
    }

    /// Takes the filter back from a response that was not begun.
    pub fn take_filter(&mut self) -> Option<Box<dyn HeadFilter>> {
        self.filter.take()
    }

    /// Adds to what is said about the log line.
    pub fn add_notes(&mut self, notes: LogNotes) {
        if notes.is_empty() {
            return;
        }
        match &mut self.notes {
            Some(before) => before.add(notes),
            none => *none = Some(Box::new(notes)),
        }
    }

    /// What was said about the log line.
    pub fn take_notes(&mut self) -> Option<Box<LogNotes>> {
        self.notes.take()
    }

    /// A header beside those of the application; unlike [`header`](Self::header), one that is
    /// refused changes nothing.
    ///
    /// # Errors
    /// The header is refused, or the head has left.
    pub fn add_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
        match self.phase {
            Phase::Begun => self.checked_header(name, value),
            Phase::Waiting => Err(ResponseError::NotBegun),
            Phase::Body(_) | Phase::Complete | Phase::Aborted(_) => Err(ResponseError::TooLate),
        }
    }

    /// Leaves all headers of this name out, the server's own included.
    pub fn leave_out(&mut self, name: &[u8]) {
        while self.remove_header(name).is_some() {}
        self.said.server |= name.eq_ignore_ascii_case(b"Server");
        self.said.date |= name.eq_ignore_ascii_case(b"Date");
        if name.eq_ignore_ascii_case(b"Content-Length") {
            self.said.content_length = None;
        }
    }

    /// The connection closes without a response.
    pub fn cut(&mut self) {
        self.phase = Phase::Aborted(Abort::Failed);
    }

    /// Shows the head to the filter if it is about to leave. `true`: the filter has answered, and
    /// what the application yields is dropped.
    pub(super) fn is_replaced(&mut self, sink: &mut dyn Sink) -> bool {
        if self.phase != Phase::Begun {
            return false;
        }
        let Some(mut filter) = self.filter.take() else {
            return false;
        };
        filter.filter(self, sink);
        let is_replaced = self.phase != Phase::Begun;
        if is_replaced {
            self.instead = Instead::Sent;
        }
        is_replaced
    }
}
