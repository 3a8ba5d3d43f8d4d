//! The sending half of a connection: the socket and the output that waits for it.
//!
//! Never blocks. Runs on the thread that owns the connection.

use std::fs::File;
use std::io;

use crate::wsgi::ClientGone;

use super::super::stream::Stream;
use super::super::vital;
use super::queue::{Flushed, Output};

/// The sending half of a connection.
pub(in crate::net) struct Io {
    pub(in crate::net) stream: Stream,
    pub(in crate::net) output: Output,
    pub(in crate::net) broken: bool,
    /// The peer takes the end of the connection for the end of a body: a response that is cut short
    /// ends with a reset.
    pub(in crate::net) resets_if_cut: bool,
    /// Closing the socket resets the connection: part of a response was sent, and the rest may not
    /// follow.
    is_armed: bool,
    /// The connection began with a PROXY preamble, which no other process will see: it cannot move.
    pub(in crate::net) had_preamble: bool,
}

impl Io {
    pub(in crate::net) fn new(stream: Stream) -> Self {
        Self {
            stream,
            output: Output::default(),
            broken: false,
            resets_if_cut: false,
            is_armed: false,
            had_preamble: false,
        }
    }

    /// Whether another process can continue the connection.
    pub(in crate::net) fn can_move(&self) -> bool {
        !self.had_preamble && self.stream.can_move()
    }

    /// A part of a response is sent and the rest is not here yet. From now on the socket resets the
    /// connection when it is closed, also by the end of the process; see [`disarm`](Self::disarm).
    pub(in crate::net) fn arm(&mut self) {
        if self.resets_if_cut && !self.is_armed {
            self.is_armed = self.stream.set_reset_on_close(true).is_ok();
        }
    }

    /// The kernel has the whole response.
    pub(in crate::net) fn disarm(&mut self) {
        if self.is_armed && self.stream.set_reset_on_close(false).is_ok() {
            self.is_armed = false;
        }
    }

    /// Sends both pieces behind the queued output; the kernel takes as much as it can now.
    pub(in crate::net) fn send(&mut self, first: &[u8], second: &[u8]) -> Result<(), ClientGone> {
        if self.broken {
            return Err(ClientGone);
        }
        if !self.output.is_empty() {
            self.output.push(first);
            self.output.push(second);
            return self.flush().map(|_| ());
        }
        let written = if second.is_empty() {
            self.stream.write(first)
        } else {
            self.stream.write_both(first, second)
        };
        let sent = self.taken(written)?;
        if sent < first.len() {
            self.output.push(first.get(sent..).unwrap_or_default());
            self.output.push(second);
        } else {
            self.output
                .push(second.get(sent - first.len()..).unwrap_or_default());
        }
        Ok(())
    }

    /// Sends bytes that are followed at once by more, or by the end of the connection.
    pub(in crate::net) fn send_ahead(&mut self, bytes: &[u8]) -> Result<(), ClientGone> {
        if self.broken {
            return Err(ClientGone);
        }
        let mut sent = 0;
        if self.output.is_empty() && !bytes.is_empty() {
            let written = self.stream.write_ahead(bytes);
            sent = self.taken(written)?;
        }
        self.output.push(bytes.get(sent..).unwrap_or_default());
        Ok(())
    }

    /// Sends a head and a part of a file; the kernel takes as much as it can now.
    pub(in crate::net) fn send_file(
        &mut self,
        head: &[u8],
        file: File,
        offset: u64,
        length: u64,
    ) -> Result<(), ClientGone> {
        self.send_ahead(head)?;
        self.output.push_file(file, offset, length);
        self.flush().map(|_| ())
    }

    /// The number of bytes that the kernel took.
    fn taken(&mut self, written: io::Result<usize>) -> Result<usize, ClientGone> {
        match written {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => {
                if vital::is_closed(&error) {
                    // The number may be another file's soon, which this connection would close.
                    vital::lost("a connection");
                }
                Err(self.fail())
            }
        }
    }

    pub(in crate::net) fn flush(&mut self) -> Result<Flushed, ClientGone> {
        match self.output.flush(&mut self.stream) {
            Ok(flushed) => Ok(flushed),
            Err(_) => Err(self.fail()),
        }
    }

    /// Bytes of output in memory.
    pub(in crate::net) fn output_bytes(&self) -> usize {
        self.output.memory_bytes()
    }

    pub(in crate::net) fn has_output(&self) -> bool {
        !self.output.is_empty() || self.stream.has_pending()
    }

    pub(in crate::net) fn fail(&mut self) -> ClientGone {
        self.broken = true;
        self.output.clear();
        ClientGone
    }
}
