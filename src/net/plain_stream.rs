//! A connected TCP or unix socket. Non-blocking; any thread that owns the connection may call.

use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

/// An owned socket of any kind that is in no poll.
#[cfg(unix)]
pub type Handle = std::os::fd::OwnedFd;
/// An owned socket of any kind that is in no poll. It can be in the polls of two processes: a
/// completion port belongs to one open socket, but mio associates its port with a device that
/// reports on sockets (AFD).
#[cfg(windows)]
pub type Handle = std::os::windows::io::OwnedSocket;

#[cfg(unix)]
pub type BorrowedHandle<'a> = std::os::fd::BorrowedFd<'a>;
#[cfg(windows)]
pub type BorrowedHandle<'a> = std::os::windows::io::BorrowedSocket<'a>;

#[derive(Debug)]
pub enum PlainStream {
    /// TCP over IPv4 or IPv6.
    Tcp(mio::net::TcpStream),
    #[cfg(unix)]
    Unix(mio::net::UnixStream),
}

/// The same call on either kind of socket.
macro_rules! each {
    ($stream:expr, $name:ident => $call:expr) => {
        match $stream {
            PlainStream::Tcp($name) => $call,
            #[cfg(unix)]
            PlainStream::Unix($name) => $call,
        }
    };
}

impl PlainStream {
    /// Takes over a connected socket, and returns the address of its peer (`None` for a unix
    /// socket).
    ///
    /// # Errors
    /// The socket is not connected, or of a kind that is not supported here.
    pub fn adopt(socket: Handle) -> io::Result<(Self, Option<SocketAddr>)> {
        let socket = socket2::Socket::from(socket);
        socket.set_nonblocking(true)?;
        let address = socket.peer_addr()?.as_socket();
        let stream = match address {
            Some(_) => Self::Tcp(mio::net::TcpStream::from_std(socket.into())),
            #[cfg(unix)]
            None => Self::Unix(mio::net::UnixStream::from_std(socket.into())),
            #[cfg(windows)]
            None => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok((stream, address))
    }

    /// One `read`, repeated if a signal interrupted it. Returns less than `into` has room for only
    /// if the socket is empty.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        each!(self, stream => retry(|| stream.read(into)))
    }

    /// One `write`.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        each!(self, stream => retry(|| stream.write(bytes)))
    }

    /// One vectored `write`.
    pub fn write_parts(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        each!(self, stream => retry(|| stream.write_vectored(parts)))
    }

    /// One `write`, announcing that more follows (MSG_MORE; on other systems a plain `write`).
    pub fn write_ahead(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(target_os = "linux")]
        {
            use rustix::net::SendFlags;
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            retry(|| Ok(rustix::net::send(self.handle(), bytes, flags)?))
        }
        #[cfg(not(target_os = "linux"))]
        self.write(bytes)
    }

    /// Turns off Nagle's algorithm (no effect on unix sockets).
    pub fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nodelay(true),
            #[cfg(unix)]
            Self::Unix(_) => Ok(()),
        }
    }

    /// The socket, for system calls that this type does not have.
    #[cfg(unix)]
    pub fn handle(&self) -> BorrowedHandle<'_> {
        use std::os::fd::AsFd as _;
        each!(self, stream => stream.as_fd())
    }

    /// The socket, for system calls that this type does not have.
    #[cfg(windows)]
    pub fn handle(&self) -> BorrowedHandle<'_> {
        use std::os::windows::io::AsSocket as _;
        each!(self, stream => stream.as_socket())
    }

    pub fn options(&self) -> SockRef<'_> {
        each!(self, stream => SockRef::from(stream))
    }
}

impl Source for PlainStream {
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
