//! A connected socket of either family. Non-blocking; any thread that owns the connection may call.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::event::Source;
use mio::{Interest, Registry, Token};

/// A TCP or unix stream.
#[derive(Debug)]
pub enum Stream {
    /// TCP over IPv4 or IPv6.
    Tcp(mio::net::TcpStream),
    /// A unix stream socket.
    #[cfg(unix)]
    Unix(mio::net::UnixStream),
}

macro_rules! each {
    ($stream:expr, $name:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($name) => $call,
            #[cfg(unix)]
            Stream::Unix($name) => $call,
        }
    };
}

impl Stream {
    /// One `read`, again if a signal interrupted it.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        retry(|| each!(self, stream => stream.read(into)))
    }

    /// One `write`.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        retry(|| each!(self, stream => stream.write(bytes)))
    }

    /// One vectored `write` of two pieces.
    pub fn write_both(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let parts = [IoSlice::new(first), IoSlice::new(second)];
        retry(|| each!(self, stream => stream.write_vectored(&parts)))
    }

    /// Says that nothing more will be sent; the peer may still send.
    pub fn finish_sending(&self) -> io::Result<()> {
        each!(self, stream => stream.shutdown(Shutdown::Write))
    }

    /// Makes writes wait, up to `timeout` each, or not wait again (`None`).
    pub fn set_blocking_writes(&self, timeout: Option<Duration>) -> io::Result<()> {
        let socket = each!(self, stream => socket2::SockRef::from(stream));
        socket.set_write_timeout(timeout)?;
        socket.set_nonblocking(timeout.is_none())
    }

    /// Whether everything about it is in the kernel, so that it can go on in another image of this process.
    #[cfg(unix)]
    pub fn outlives_the_image(&self) -> bool {
        matches!(self, Stream::Tcp(_) | Stream::Unix(_))
    }

    /// Sends what is written at once instead of waiting for more (no effect on unix sockets).
    pub fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_nodelay(true),
            #[cfg(unix)]
            Stream::Unix(_) => Ok(()),
        }
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Stream {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        each!(self, stream => stream.as_fd())
    }
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
