//! What a worker gets of a complete request, and the [`Sink`] through which it answers.
//!
//! Runs on the worker that serves the request. Only `wait_for_room` blocks; the worker calls it
//! detached from Python.

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use crate::wsgi::environ::{Identity, Peer};
use crate::wsgi::{ClientGone, Head, RequestBody, RequestFacts, Room, Routed, Sink};

use super::client::requester;
use super::connection::{Exchange, facts};
use super::output::Io;
use super::output::Records;
use super::ownership::ResponseOwner;
use super::state::Net;

/// Files that may wait on one connection: each has a descriptor.
const FILES_MAX: usize = 16;
/// What a client that a worker waits for must take within the write timeout. Bytes.
const PROGRESS_BYTES: u64 = 64 * 1024;

/// The parts of an exchange that a worker needs, borrowed separately.
pub struct Parts<'a> {
    pub listener: usize,
    pub head: &'a Head,
    pub peer: &'a Peer,
    /// Whether the client uses https, if a trusted proxy said so.
    pub is_https: Option<bool>,
    pub identity: Option<Arc<Identity>>,
    pub body: RequestBody,
    /// What rules have decided.
    pub routed: Option<&'a mut Routed>,
    pub facts: RequestFacts,
    pub sink: ResponseSink<'a>,
}

impl Exchange {
    /// Borrows everything a worker needs.
    pub fn parts<'a>(&'a mut self, net: &'a Net) -> Parts<'a> {
        let connection = &mut *self.0;
        let head = &connection.head;
        // nginx takes the end of a connection that it does not keep for `END_REQUEST`, whatever
        // the length of the body was to be.
        let reader = &connection.reader;
        connection.io.resets_if_cut = reader.request_id().is_some() && !reader.keep_alive(head);
        Parts {
            listener: connection.listener,
            facts: facts(head, &connection.reader, &net.site().settings),
            head,
            peer: requester(&connection.peer, connection.forwarded.as_deref()),
            is_https: connection.forwarded.as_ref().and_then(|told| told.is_https),
            identity: connection.io.stream.identity().cloned(),
            body: std::mem::take(&mut connection.body),
            routed: connection.routed.as_deref_mut(),
            sink: ResponseSink {
                records: connection.reader.request_id(),
                io: &mut connection.io,
                net,
                owner: None,
            },
        }
    }
}

/// Sends a response: writes as much as the kernel takes and queues the rest.
pub struct ResponseSink<'a> {
    pub(super) io: &'a mut Io,
    /// The request id, if the response is sent in records (FastCGI).
    pub(super) records: Option<u16>,
    pub(super) net: &'a Net,
    /// Tells whether the application may still send.
    pub(super) owner: Option<&'a ResponseOwner>,
}

impl<'a> ResponseSink<'a> {
    /// Another thread may take over the response through `owner`.
    pub fn set_owner(&mut self, owner: &'a ResponseOwner) {
        self.owner = Some(owner);
    }

    fn if_owned<T>(
        &mut self,
        send: impl FnOnce(&mut Self) -> Result<T, ClientGone>,
    ) -> Result<T, ClientGone> {
        match self.owner {
            None => send(self),
            Some(owner) => owner.send(|| send(self)),
        }
    }

    fn room(&self) -> Room {
        let output = &self.io.output;
        let is_full = output.memory_bytes() > self.net.site().settings.output_bytes_max
            || output.files() > FILES_MAX;
        if is_full { Room::Full } else { Room::Ready }
    }

    /// Waits on the socket itself until half of the bounds is free. The client must take
    /// [`PROGRESS_BYTES`] or all of that within the write timeout.
    fn wait_for_client(&mut self) -> Result<(), ClientGone> {
        let site = self.net.site();
        let settings = &site.settings;
        let mut deadline = Instant::now() + settings.deadlines.write;
        let mut waiting = self.io.output.waiting_bytes();
        while self.io.output.memory_bytes() > settings.output_bytes_max / 2
            || self.io.output.files() > FILES_MAX / 2
        {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.owner.is_some_and(|owner| !owner.may_send()) {
                return Err(self.io.fail());
            }
            if left.is_zero() || self.io.stream.set_blocking_writes(Some(left)).is_err() {
                return Err(self.io.fail());
            }
            self.io.flush()?;
            let now_waiting = self.io.output.waiting_bytes();
            if waiting.saturating_sub(now_waiting) >= PROGRESS_BYTES {
                waiting = now_waiting;
                deadline = Instant::now() + settings.deadlines.write;
            }
        }
        match self.io.stream.set_blocking_writes(None) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.io.fail()),
        }
    }

    /// No temporary file takes the response.
    fn note_full(&self, error: &std::io::Error) {
        if !self
            .net
            .output_warning
            .is_due(self.net.milliseconds(Instant::now()))
        {
            return;
        }
        if error.kind() == std::io::ErrorKind::QuotaExceeded {
            tracing::warn!(
                "responses that clients read slowly are at their bound (--response-files-total): \
                 workers wait for clients"
            );
        } else {
            let folder = std::env::temp_dir();
            tracing::error!(
                %error,
                "cannot store a response in a temporary file under {}: workers wait for clients",
                folder.display()
            );
        }
    }
}

impl Sink for ResponseSink<'_> {
    fn send(&mut self, first: &[u8], second: &[u8]) -> Result<Room, ClientGone> {
        self.if_owned(|sink| {
            sink.io.arm();
            match sink.records {
                None => sink.io.send(first, second)?,
                Some(id) => Records::new(sink.io, id).send(first, second)?,
            }
            Ok(sink.room())
        })
    }

    fn end(&mut self, rest: &[u8]) -> Result<Room, ClientGone> {
        self.if_owned(|sink| {
            match sink.records {
                None if rest.is_empty() => {}
                None => sink.io.send(rest, &[])?,
                Some(id) => Records::new(sink.io, id).end(rest)?,
            }
            if sink.io.has_output() {
                sink.io.arm();
            }
            Ok(sink.room())
        })
    }

    fn send_file(
        &mut self,
        head: &[u8],
        file: File,
        offset: u64,
        length: u64,
    ) -> Result<Room, ClientGone> {
        self.if_owned(|sink| {
            match sink.records {
                None => sink.io.send_file(head, file, offset, length)?,
                Some(id) => {
                    Records::new(sink.io, id).send(head, &[])?;
                    sink.io.output.push_file_records(file, offset, length, id);
                    sink.io.flush()?;
                }
            }
            if sink.io.has_output() {
                sink.io.arm();
            }
            Ok(sink.room())
        })
    }

    /// Moves what waits to a temporary file. Without room in one, waits on the socket itself.
    fn wait_for_room(&mut self) -> Result<(), ClientGone> {
        self.io.flush()?;
        if self.io.output.files() <= FILES_MAX {
            match self.io.output.spill(&self.net.output_files) {
                Ok(()) => return Ok(()),
                Err(error) => self.note_full(&error),
            }
        }
        self.wait_for_client()
    }

    fn settle(&mut self) -> Result<(), ClientGone> {
        let (memory, files) = (&self.net.output_memory, &self.net.output_files);
        match self.io.output.settle(memory, files) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.note_full(&error);
                self.wait_for_client()
            }
        }
    }

    fn ends_with_connection(&mut self) {
        // A front end that keeps FastCGI connections waits for `END_REQUEST`.
        self.io.resets_if_cut |= self.records.is_none();
    }

    fn is_last(&self) -> bool {
        self.net.ends(self.io)
    }
}
