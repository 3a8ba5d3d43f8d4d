//! TLS on a socket.
//!
//! Reads drive the handshake: a read that finds no plaintext yet returns `WouldBlock`. Two things
//! differ from a plain socket:
//!
//! - A read empties the socket and the library, or fills the caller's buffer. The poll is
//!   edge-triggered, so bytes that stay in between would get no further event.
//! - Bytes that a write took may still wait here as ciphertext, at most [`PENDING_BYTES_MAX`]; no
//!   more is taken before they are sent. [`TlsStream::has_pending`] tells.
//!
//! Runs on the thread that owns the connection.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::ServerConnection;

use super::plain_stream::PlainStream;
use crate::tls::identity;
use crate::wsgi::environ::Identity;

const CIPHERTEXT_BYTES: usize = 64 * 1024;
/// Ciphertext that may wait for the socket.
const PENDING_BYTES_MAX: usize = 64 * 1024;

/// The first byte of every handshake (RFC 8446, 5.1).
const HANDSHAKE_RECORD: u8 = 22;

thread_local! {
    /// This thread's buffer for ciphertext, allocated by its first read.
    static CIPHERTEXT: RefCell<Box<[u8]>> = RefCell::new(vec![0; CIPHERTEXT_BYTES].into_boxed_slice());
}

#[derive(Debug)]
pub struct TlsStream {
    below: PlainStream,
    session: ServerConnection,
    /// Ciphertext that was read and not yet given to the library.
    unread: Vec<u8>,
    identity: Option<Arc<Identity>>,
    state: State,
    keeps_certificate: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was received yet.
    Silent,
    Handshaking,
    Open,
    /// The client sent HTTP without TLS and is answered without TLS.
    Plain,
}

impl TlsStream {
    /// The serving side of a connection that begins now.
    pub fn new(below: PlainStream, mut session: ServerConnection, keeps_certificate: bool) -> Self {
        session.set_buffer_limit(Some(PENDING_BYTES_MAX));
        Self {
            below,
            session,
            unread: Vec::new(),
            identity: None,
            state: State::Silent,
            keeps_certificate,
        }
    }

    pub fn stream(&self) -> &PlainStream {
        &self.below
    }

    /// The stream below, to register it or to read from it before the handshake.
    pub fn stream_mut(&mut self) -> &mut PlainStream {
        &mut self.below
    }

    /// Takes bytes of the handshake that were read from the stream below.
    pub fn put_back(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    pub fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Silent | State::Handshaking)
    }

    /// Whether the client sent HTTP without TLS.
    pub fn is_plain_http(&self) -> bool {
        self.state == State::Plain
    }

    /// The client's identity, if it sent a certificate.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// Whether ciphertext waits to be sent.
    pub fn has_pending(&self) -> bool {
        self.session.wants_write()
    }

    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        CIPHERTEXT.with_borrow_mut(|ciphertext| self.read_through(into, ciphertext))
    }

    fn read_through(&mut self, into: &mut [u8], ciphertext: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        if self.take_plaintext(into, &mut filled)? || filled == into.len() {
            return Ok(filled);
        }
        loop {
            let mut is_empty = false;
            if self.unread.is_empty() {
                // No more than fits: plaintext that does not fit would have to be stored.
                let room = (into.len() - filled).min(ciphertext.len());
                let Some(ciphertext) = ciphertext.get_mut(..room) else {
                    return Ok(filled);
                };
                match self.below.read(ciphertext) {
                    Ok(0) => return Ok(filled),
                    Ok(count) => {
                        is_empty = count < room;
                        let received = ciphertext.get(..count).unwrap_or_default();
                        self.receive(received, into, &mut filled)?;
                    }
                    // The next read returns the same error.
                    Err(_) if filled > 0 => return Ok(filled),
                    Err(error) => return Err(error),
                }
            } else {
                let unread = std::mem::take(&mut self.unread);
                self.receive(&unread, into, &mut filled)?;
            }
            let is_closed = self.take_plaintext(into, &mut filled)?;
            if is_closed || filled == into.len() || (is_empty && filled > 0) {
                return Ok(filled);
            }
        }
    }

    /// Decrypts ciphertext, and sends what the library has to send.
    fn receive(&mut self, mut bytes: &[u8], into: &mut [u8], filled: &mut usize) -> io::Result<()> {
        if let (State::Silent, Some(&first)) = (self.state, bytes.first()) {
            if first != HANDSHAKE_RECORD && first.is_ascii_uppercase() {
                self.state = State::Plain;
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "HTTP without TLS",
                ));
            }
            self.state = State::Handshaking;
        }
        while !bytes.is_empty() {
            if self.session.read_tls(&mut bytes)? == 0 {
                // Data behind the close alert is ignored.
                break;
            }
            if let Err(error) = self.session.process_new_packets() {
                // Sends the alert (RFC 8446, 6.2); the client may have gone.
                let _sent = self.flush();
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            self.take_plaintext(into, filled)?;
            if *filled == into.len() {
                self.unread.extend_from_slice(bytes);
                break;
            }
        }
        if self.state == State::Handshaking && !self.session.is_handshaking() {
            self.state = State::Open;
            let certificate = self.session.peer_certificates().and_then(<[_]>::first);
            self.identity = certificate
                .map(|certificate| Arc::new(identity(certificate, self.keeps_certificate)));
        }
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Appends plaintext. `true`: the client has ended the stream.
    fn take_plaintext(&mut self, into: &mut [u8], filled: &mut usize) -> io::Result<bool> {
        while let Some(room) = into.get_mut(*filled..).filter(|room| !room.is_empty()) {
            match self.session.reader().read(room) {
                Ok(0) => return Ok(true),
                Ok(count) => *filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Encrypts and sends. Takes no bytes while earlier ciphertext waits.
    pub fn write(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.state == State::Plain {
            return self.below.write_parts(parts);
        }
        if self.is_handshaking() {
            // The library would buffer the bytes until the handshake ends, which may be never.
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.flush()?;
        let taken = self.session.writer().write_vectored(parts)?;
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Sends waiting ciphertext; returns `WouldBlock` if some is left.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            if self.session.write_tls(&mut Below(&mut self.below))? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Ends the stream, so that the client can tell it from a truncated one (RFC 8446, 6.1).
    pub fn close(&mut self) {
        if self.state == State::Open {
            self.session.send_close_notify();
            // The client may have gone.
            let _sent = self.flush();
        }
    }
}

/// Gives the library the stream below as a writer.
struct Below<'a>(&'a mut PlainStream);

impl Write for Below<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_parts(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
