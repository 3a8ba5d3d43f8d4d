//! A connected socket of either family, with or without TLS. Non-blocking; any thread that owns the
//! connection may call.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::plain_stream::{BorrowedHandle, PlainStream};
use super::tls_stream::TlsStream;
use crate::wsgi::environ::Identity;

#[derive(Debug)]
pub enum Stream {
    Plain(PlainStream),
    /// With TLS. Boxed, so that connections without it are no larger.
    Tls(Box<TlsStream>),
}

impl Stream {
    /// One `read`. Returns less than `into` has room for only if nothing more is there for now.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(tls) => tls.read(into),
        }
    }

    /// One `write`. With TLS, bytes that were taken may still wait to be sent: see
    /// [`has_pending`](Self::has_pending).
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(tls) => tls.write(&[IoSlice::new(bytes)]),
        }
    }

    /// One `write`, announcing that more follows at once, so that the kernel need not send a packet
    /// for these bytes alone.
    pub fn write_ahead(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write_ahead(bytes),
            Self::Tls(tls) => tls.write(&[IoSlice::new(bytes)]),
        }
    }

    /// One vectored `write` of two pieces.
    pub fn write_both(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let parts = [IoSlice::new(first), IoSlice::new(second)];
        match self {
            Self::Plain(stream) => stream.write_parts(&parts),
            Self::Tls(tls) => tls.write(&parts),
        }
    }

    /// The socket, for system calls that this type does not have; `None` with TLS, because bytes
    /// must not bypass the encryption.
    pub(super) fn unencrypted(&self) -> Option<BorrowedHandle<'_>> {
        match self {
            Self::Plain(stream) => Some(stream.handle()),
            Self::Tls(_) => None,
        }
    }

    /// The stream without TLS, or the one below TLS.
    pub(super) fn plain(&self) -> &PlainStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => tls.stream(),
        }
    }

    /// The same, to read from or to register with a poll.
    pub(super) fn plain_mut(&mut self) -> &mut PlainStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => tls.stream_mut(),
        }
    }

    /// Whether bytes that were taken wait to be sent; never without TLS.
    pub fn has_pending(&self) -> bool {
        self.tls().is_some_and(TlsStream::has_pending)
    }

    /// Sends bytes that were taken and wait.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        }
    }

    /// Closes the sending side; the peer may still send.
    pub fn finish_sending(&mut self) -> io::Result<()> {
        self.close_tls();
        self.plain().options().shutdown(Shutdown::Write)
    }

    /// Ends TLS in good order before the socket is closed.
    pub fn close_tls(&mut self) {
        if let Self::Tls(tls) = self {
            tls.close();
        }
    }

    /// Makes writes wait, up to `timeout` each, or not wait again (`None`).
    pub fn set_blocking_writes(&self, timeout: Option<Duration>) -> io::Result<()> {
        let socket = self.plain().options();
        socket.set_write_timeout(timeout)?;
        socket.set_nonblocking(timeout.is_none())
    }

    /// Whether the peer can tell a reset from the end of the connection.
    pub(super) fn can_be_reset(&self) -> bool {
        matches!(self.plain(), PlainStream::Tcp(_))
    }

    /// Makes the close of the socket reset the connection, or end it in good order. A unix socket has
    /// no reset.
    pub(super) fn set_reset_on_close(&self, resets: bool) -> io::Result<()> {
        let socket = self.plain().options();
        socket.set_linger(resets.then_some(Duration::ZERO))
    }

    /// A second handle to the socket, below TLS if there is any.
    pub(super) fn second_handle(&self) -> io::Result<socket2::Socket> {
        self.plain().options().try_clone()
    }

    /// Whether all state of this stream is in the kernel, so that another process can continue it.
    pub fn can_move(&self) -> bool {
        cfg!(unix) && matches!(self, Self::Plain(_))
    }

    /// Whether the peer has closed its side, as far as the kernel knows. Costs a system call.
    pub fn is_peer_gone(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match self.plain().options().peek(&mut byte) {
            Ok(count) => count == 0,
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        }
    }

    pub fn tls(&self) -> Option<&TlsStream> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => Some(tls),
        }
    }

    /// The peer's identity, from a verified certificate.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.tls().and_then(TlsStream::identity)
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        self.plain_mut().register(registry, token, on)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        self.plain_mut().reregister(registry, token, on)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.plain_mut().deregister(registry)
    }
}
