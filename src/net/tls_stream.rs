//! TLS on a socket: what [`Stream`] does for it, in the same words.
//!
//! The handshake is nobody's own phase: whoever reads drives it, and a read that finds no plaintext yet would block.
//! Two things are unlike a plain socket, and both are kept from the callers as far as possible:
//!
//! - A read empties the socket and the library, or fills the caller's buffer. The poll reports edges, so what is
//!   left lying in between would be forgotten.
//! - A write that was taken may still wait here as ciphertext, at most [`PENDING_BYTES_MAX`]; more is not taken
//!   before that has left. [`Stream::has_pending`] says so.
//!
//! Runs on whichever thread owns the connection.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::ServerConnection;

use super::stream::Stream;
use crate::tls::identity;
use crate::wsgi::environ::Identity;

/// Ciphertext that is read at once.
const CIPHERTEXT_BYTES: usize = 64 * 1024;
/// Plaintext that is encrypted before the socket has taken what was encrypted before.
const PENDING_BYTES_MAX: usize = 64 * 1024;

/// The first byte of every handshake (RFC 8446, 5.1).
const HANDSHAKE_RECORD: u8 = 22;

thread_local! {
    /// Where this thread's reads put ciphertext; made at its first one.
    static CIPHERTEXT: RefCell<Box<[u8]>> = RefCell::new(vec![0; CIPHERTEXT_BYTES].into_boxed_slice());
}

/// A stream with TLS around it.
#[derive(Debug)]
pub struct TlsStream {
    below: Stream,
    session: ServerConnection,
    /// Ciphertext that was read and that the library has not seen.
    unread: Vec<u8>,
    identity: Option<Arc<Identity>>,
    state: State,
    keeps_certificate: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has come yet.
    Silent,
    /// The client has begun.
    Greeting,
    /// Both know each other: data may pass.
    Open,
    /// What came was HTTP without TLS; so is the answer.
    Plain,
}

impl TlsStream {
    /// The serving side of a connection that begins now.
    pub fn new(below: Stream, mut session: ServerConnection, keeps_certificate: bool) -> Self {
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

    /// The stream below.
    pub fn stream(&self) -> &Stream {
        &self.below
    }

    /// The stream below, to be waited for or to be read before the handshake.
    pub fn stream_mut(&mut self) -> &mut Stream {
        &mut self.below
    }

    /// Bytes that were read from the stream below and belong to the handshake.
    pub fn put_back(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// Whether the two sides have not agreed yet.
    pub fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Silent | State::Greeting)
    }

    /// Whether the client spoke HTTP without TLS.
    pub fn is_plain_http(&self) -> bool {
        self.state == State::Plain
    }

    /// Who the client is, if it has shown a certificate.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// Whether ciphertext waits to leave.
    pub fn has_pending(&self) -> bool {
        self.session.wants_write()
    }

    /// Plaintext, as much as is there and `into` has room for.
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
                // No more than fits: what is decrypted and does not fit would have to be kept.
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
                    // What is wrong with the socket will still be wrong at the next read.
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

    /// Shows ciphertext to the library, takes plaintext out of it, and sends what it has to say.
    fn receive(&mut self, mut bytes: &[u8], into: &mut [u8], filled: &mut usize) -> io::Result<()> {
        if let (State::Silent, Some(&first)) = (self.state, bytes.first()) {
            if first != HANDSHAKE_RECORD && first.is_ascii_uppercase() {
                self.state = State::Plain;
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "HTTP without TLS",
                ));
            }
            self.state = State::Greeting;
        }
        while !bytes.is_empty() {
            if self.session.read_tls(&mut bytes)? == 0 {
                // The client has said that it is done: nothing behind that counts.
                break;
            }
            if let Err(error) = self.session.process_new_packets() {
                // The client is told why (RFC 8446, 6.2), if it still listens.
                let _told = self.flush();
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            self.take_plaintext(into, filled)?;
            if *filled == into.len() {
                self.unread.extend_from_slice(bytes);
                break;
            }
        }
        if self.state == State::Greeting && !self.session.is_handshaking() {
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

    /// Moves plaintext behind what is there. `true`: the client has ended the stream.
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

    /// Encrypts and sends. Takes nothing while earlier ciphertext waits.
    pub fn write(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.state == State::Plain {
            return self.below.write_parts(parts);
        }
        if self.is_handshaking() {
            // The library would keep it until a handshake that may never end.
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.flush()?;
        let taken = self.session.writer().write_vectored(parts)?;
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Sends waiting ciphertext; `WouldBlock` if some is left.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            if self.session.write_tls(&mut Below(&mut self.below))? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Ends the stream, so that the client can tell it from one that was cut (RFC 8446, 6.1).
    pub fn say_goodbye(&mut self) {
        if self.state == State::Open {
            self.session.send_close_notify();
            // A client that takes nothing any more does not have to be told.
            let _told = self.flush();
        }
    }
}

/// The stream below, as the library wants it.
struct Below<'a>(&'a mut Stream);

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
