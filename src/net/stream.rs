//! A connected socket of either family, with or without TLS. Non-blocking; any thread that owns the connection
//! may call.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::tls_stream::TlsStream;
use crate::wsgi::environ::Identity;

/// A TCP or unix stream.
#[derive(Debug)]
pub enum Stream {
    /// TCP over IPv4 or IPv6.
    Tcp(mio::net::TcpStream),
    /// A unix stream socket.
    #[cfg(unix)]
    Unix(mio::net::UnixStream),
    /// TLS over one of the others. In a box: connections without it are no larger for it.
    Tls(Box<TlsStream>),
}

impl Stream {
    /// One `read`, again if a signal interrupted it. Less than `into` has room for means that nothing more is there for now.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => retry(|| stream.read(into)),
            #[cfg(unix)]
            Stream::Unix(stream) => retry(|| stream.read(into)),
            Stream::Tls(tls) => tls.read(into),
        }
    }

    /// One `write`. With TLS, what was taken may still have to leave: see [`has_pending`](Self::has_pending).
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => retry(|| stream.write(bytes)),
            #[cfg(unix)]
            Stream::Unix(stream) => retry(|| stream.write(bytes)),
            Stream::Tls(tls) => tls.write(&[IoSlice::new(bytes)]),
        }
    }

    /// One `write` of what more follows behind at once: it need not leave in a packet of its own (MSG_MORE; with TLS and on
    /// other systems it is like any other).
    pub fn write_ahead(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(target_os = "linux")]
        if let Some(socket) = self.unencrypted() {
            use rustix::net::SendFlags;
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            return retry(|| Ok(rustix::net::send(socket, bytes, flags)?));
        }
        self.write(bytes)
    }

    /// One vectored `write` of two pieces.
    pub fn write_both(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.write_parts(&[IoSlice::new(first), IoSlice::new(second)])
    }

    pub(super) fn write_parts(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => retry(|| stream.write_vectored(parts)),
            #[cfg(unix)]
            Stream::Unix(stream) => retry(|| stream.write_vectored(parts)),
            Stream::Tls(tls) => tls.write(parts),
        }
    }

    /// The socket, for system calls that this type does not have; `None` with TLS, whose bytes must not go past it. There is
    /// no other way to the descriptor.
    #[cfg(unix)]
    pub(super) fn unencrypted(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        use std::os::fd::AsFd as _;
        match self {
            Stream::Tcp(stream) => Some(stream.as_fd()),
            Stream::Unix(stream) => Some(stream.as_fd()),
            Stream::Tls(_) => None,
        }
    }

    /// The socket, to be handed on; `None` with TLS, whose state would stay behind.
    #[cfg(windows)]
    pub(super) fn unencrypted(&self) -> Option<std::os::windows::io::BorrowedSocket<'_>> {
        use std::os::windows::io::AsSocket as _;
        match self {
            Stream::Tcp(stream) => Some(stream.as_socket()),
            Stream::Tls(_) => None,
        }
    }

    /// Whether bytes that were taken wait to leave; never without TLS.
    pub fn has_pending(&self) -> bool {
        match self {
            Stream::Tls(tls) => tls.has_pending(),
            _ => false,
        }
    }

    /// Sends what waits to leave.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Tls(tls) => tls.flush(),
            _ => Ok(()),
        }
    }

    /// Says that nothing more will be sent; the peer may still send.
    pub fn finish_sending(&mut self) -> io::Result<()> {
        if let Stream::Tls(tls) = self {
            tls.say_goodbye();
        }
        self.options().shutdown(Shutdown::Write)
    }

    /// The last word before the socket is closed in good order.
    pub fn say_goodbye(&mut self) {
        if let Stream::Tls(tls) = self {
            tls.say_goodbye();
        }
    }

    /// Makes writes wait, up to `timeout` each, or not wait again (`None`).
    pub fn set_blocking_writes(&self, timeout: Option<Duration>) -> io::Result<()> {
        let socket = self.options();
        socket.set_write_timeout(timeout)?;
        socket.set_nonblocking(timeout.is_none())
    }

    /// A second handle to the socket below, whatever is spoken on it.
    pub(super) fn second_handle(&self) -> io::Result<socket2::Socket> {
        self.options().try_clone()
    }

    /// Whether everything about it is in the kernel, so that another process can go on with it.
    pub fn outlives_the_image(&self) -> bool {
        cfg!(unix) && !matches!(self, Stream::Tls(_))
    }

    /// Sends what is written at once instead of waiting for more (no effect on unix sockets).
    pub fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_nodelay(true),
            #[cfg(unix)]
            Stream::Unix(_) => Ok(()),
            Stream::Tls(tls) => tls.stream().set_nodelay(),
        }
    }

    /// Whether the peer has closed its side, as far as the kernel knows. Costs a system call.
    pub fn is_peer_gone(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match self.options().peek(&mut byte) {
            Ok(count) => count == 0,
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        }
    }

    /// The TLS of this stream, if there is any.
    pub fn tls(&self) -> Option<&TlsStream> {
        match self {
            Stream::Tls(tls) => Some(tls),
            _ => None,
        }
    }

    /// Who the peer is, by a verified certificate.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.tls().and_then(TlsStream::identity)
    }

    fn options(&self) -> socket2::SockRef<'_> {
        match self {
            Stream::Tcp(stream) => socket2::SockRef::from(stream),
            #[cfg(unix)]
            Stream::Unix(stream) => socket2::SockRef::from(stream),
            Stream::Tls(tls) => tls.stream().options(),
        }
    }
}

/// The same call for the socket below, whatever is spoken on it.
macro_rules! each {
    ($stream:expr, $name:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($name) => $call,
            #[cfg(unix)]
            Stream::Unix($name) => $call,
            Stream::Tls(tls) => {
                let $name = tls.stream_mut();
                $call
            }
        }
    };
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        each!(self, stream => stream.register(registry, token, on))
    }

    fn reregister(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        each!(self, stream => stream.reregister(registry, token, on))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        each!(self, stream => stream.deregister(registry))
    }
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
