//! Listening sockets: bound before Python starts, so that a port in use is reported at once, or
//! inherited from the parent process.
//!
//! Runs on the main thread at start; `accept` on the thread that polls.

use std::fmt;
use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::address::Address;
#[cfg(target_os = "linux")]
use super::os::close_backlog_linux;
use super::os::port_owner;
use super::plain_stream::{Handle, PlainStream};
use super::stream::Stream;
use super::tls_stream::TlsStream;
use super::vital::Identity;
use crate::protocol::listen::{Redirect, SocketOptions};
use crate::tls::Port;

/// Why listening on an address failed. `Display` says what to do.
#[derive(Debug)]
pub struct BindError {
    pub address: Address,
    pub error: io::Error,
    /// The process that owns the address, where the system tells.
    pub owner: Option<String>,
}

impl fmt::Display for BindError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        match self.error.kind() {
            #[cfg(unix)]
            io::ErrorKind::AlreadyExists => write!(
                out,
                "{address} exists and is not a socket. Move it away, or choose another path"
            ),
            io::ErrorKind::AddrInUse => {
                let owner = self.owner.as_deref().unwrap_or("another process");
                write!(
                    out,
                    "{address} is in use by {owner}. Stop it, or choose another address \
                     (port 0 takes a free one)"
                )
            }
            io::ErrorKind::PermissionDenied => write!(
                out,
                "no permission to listen on {address}. Ports below 1024 need root or \
                 CAP_NET_BIND_SERVICE; a unix socket needs a folder you may write"
            ),
            io::ErrorKind::AddrNotAvailable => write!(
                out,
                "{address} is not an address of this machine. Use 127.0.0.1 for this machine only, \
                 0.0.0.0 for every interface"
            ),
            _ => write!(out, "cannot listen on {address}: {}", self.error),
        }
    }
}

impl std::error::Error for BindError {}

#[derive(Debug)]
enum Kind {
    Tcp(mio::net::TcpListener),
    #[cfg(unix)]
    Unix(mio::net::UnixListener),
}

/// The same call on either kind of socket.
macro_rules! each {
    ($socket:expr, $name:ident => $call:expr) => {
        match $socket {
            Kind::Tcp($name) => $call,
            #[cfg(unix)]
            Kind::Unix($name) => $call,
        }
    };
}

/// A socket that accepts connections.
#[derive(Debug)]
pub struct Listener {
    socket: Kind,
    address: Address,
    tls: Option<Arc<Port>>,
    redirect: Option<Redirect>,
    expects_proxy: bool,
    /// Another process (systemd) owns it too and keeps it open.
    is_lent: bool,
    identity: Identity,
}

impl Listener {
    fn new(socket: Kind, address: Address) -> Self {
        Self {
            identity: each!(&socket, listener => Identity::of(listener)),
            socket,
            address,
            tls: None,
            redirect: None,
            expects_proxy: false,
            is_lent: false,
        }
    }

    pub fn bind(address: &Address, options: &SocketOptions) -> Result<Self, BindError> {
        let bound = match address {
            Address::Tcp(address) => bind_tcp(*address, options),
            #[cfg(unix)]
            Address::Unix(path) => bind_unix(path, options),
            #[cfg(target_os = "linux")]
            Address::Abstract(name) => bind_abstract(name, options),
        };
        bound.map_err(|error| BindError {
            owner: (error.kind() == io::ErrorKind::AddrInUse)
                .then(|| port_owner::of(address))
                .flatten(),
            address: address.clone(),
            error,
        })
    }

    /// Whether [`bind`](Self::bind) could work here, without listening and without making a file. An
    /// address that is in use counts as good.
    ///
    /// # Errors
    /// What `bind` would say.
    pub fn check(address: &Address, options: &SocketOptions) -> Result<(), BindError> {
        let bound = match address {
            Address::Tcp(address) => tcp_socket(*address, options).map(drop),
            #[cfg(unix)]
            Address::Unix(path) => check_unix(path),
            #[cfg(target_os = "linux")]
            Address::Abstract(name) => {
                use std::os::linux::net::SocketAddrExt as _;
                std::os::unix::net::SocketAddr::from_abstract_name(name).map(drop)
            }
        };
        match bound {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => Err(BindError {
                owner: None,
                address: address.clone(),
                error,
            }),
            _ => Ok(()),
        }
    }

    /// Takes over a socket that another process has bound (systemd, a predecessor). `listen` is
    /// called once more: it sets the backlog and keeps the connections that wait in it.
    ///
    /// # Errors
    /// It is no stream socket, or not bound to an address that can be served.
    pub fn adopt(socket: Handle, options: &SocketOptions) -> io::Result<Self> {
        let socket = Socket::from(socket);
        let local = socket.local_addr()?;
        if socket.r#type()? != Type::STREAM {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a stream socket",
            ));
        }
        apply(options, &socket)?;
        socket.set_nonblocking(true)?;
        if let Some(address) = local.as_socket() {
            socket.set_tcp_nodelay(true)?;
            socket.listen(backlog(options))?;
            return Ok(Self::new(
                Kind::Tcp(mio::net::TcpListener::from_std(socket.into())),
                Address::Tcp(address),
            ));
        }
        #[cfg(target_os = "linux")]
        if let Some(name) = local.as_abstract_namespace() {
            return listen_unix(socket, Address::Abstract(name.to_owned()), options);
        }
        #[cfg(unix)]
        if let Some(path) = local.as_pathname() {
            return listen_unix(socket, Address::Unix(path.to_owned()), options);
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is bound to nothing",
        ))
    }

    /// The address it listens on, with the port that the system chose for port 0.
    pub fn address(&self) -> &Address {
        &self.address
    }

    pub fn handle(&self) -> io::Result<Handle> {
        #[cfg(unix)]
        use std::os::fd::AsFd as _;
        #[cfg(windows)]
        use std::os::windows::io::AsSocket as _;
        #[cfg(unix)]
        return each!(&self.socket, listener => listener.as_fd().try_clone_to_owned());
        #[cfg(windows)]
        return each!(&self.socket, listener => listener.as_socket().try_clone_to_owned());
    }

    /// Speaks TLS on connections that are accepted from now on.
    pub fn with_tls(mut self, port: Option<Arc<Port>>) -> Self {
        self.tls = port;
        self
    }

    /// Expects the PROXY protocol in front of every connection.
    pub fn with_proxy_protocol(mut self, expects_proxy: bool) -> Self {
        self.expects_proxy = expects_proxy;
        self
    }

    /// The socket belongs to another process, which keeps it open after we close it.
    pub fn lent(mut self, is_lent: bool) -> Self {
        self.is_lent = is_lent;
        self
    }

    /// Closes the backlog to new connections, so that the socket can be closed once those that wait
    /// are accepted (Linux).
    pub(super) fn close_backlog(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        match &self.socket {
            _ if self.is_lent => {}
            Kind::Tcp(listener) => close_backlog_linux::close_tcp(listener.into())?,
            Kind::Unix(listener) => close_backlog_linux::close_unix(listener.into())?,
        }
        Ok(())
    }

    /// Whether connections begin with the PROXY protocol.
    pub fn expects_proxy(&self) -> bool {
        self.expects_proxy
    }

    /// Whether the descriptor is still this listener.
    pub(super) fn is_there(&self) -> bool {
        each!(&self.socket, listener => Identity::of(listener)) == self.identity
    }

    /// Answers every request with a redirect.
    pub fn with_redirect(mut self, redirect: Option<Redirect>) -> Self {
        self.redirect = redirect;
        self
    }

    pub fn redirect(&self) -> Option<Redirect> {
        self.redirect
    }

    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Accepts the next connection, with its peer address (`None` for a unix socket).
    pub fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        let (stream, peer) = match &self.socket {
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                (PlainStream::Tcp(stream), Some(peer))
            }
            #[cfg(unix)]
            Kind::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                (PlainStream::Unix(stream), None)
            }
        };
        let Some(tls) = &self.tls else {
            return Ok((Stream::Plain(stream), peer));
        };
        let session = tls.session().map_err(io::Error::other)?;
        let tls = TlsStream::new(stream, session, tls.keeps_certificate());
        Ok((Stream::Tls(Box::new(tls)), peer))
    }
}

impl Source for Listener {
    fn register(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        each!(&mut self.socket, listener => listener.register(registry, token, on))
    }

    fn reregister(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        each!(&mut self.socket, listener => listener.reregister(registry, token, on))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        each!(&mut self.socket, listener => listener.deregister(registry))
    }
}

fn backlog(options: &SocketOptions) -> i32 {
    i32::try_from(options.backlog).unwrap_or(i32::MAX)
}

/// Sets options before `listen`, so that accepted connections have them from the start.
fn apply(options: &SocketOptions, socket: &Socket) -> io::Result<()> {
    if options.keep_alive {
        socket.set_keepalive(true)?;
    }
    if let Some(bytes) = options.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    Ok(())
}

fn bind_tcp(address: SocketAddr, options: &SocketOptions) -> io::Result<Listener> {
    let socket = tcp_socket(address, options)?;
    socket.listen(backlog(options))?;
    let listener = mio::net::TcpListener::from_std(socket.into());
    let address = Address::Tcp(listener.local_addr()?);
    Ok(Listener::new(Kind::Tcp(listener), address))
}

/// A socket that is bound and does not listen.
fn tcp_socket(address: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(options.ipv6_only)?;
    }
    // On Windows this option would let a second server share the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    #[cfg(target_os = "linux")]
    if options.freebind {
        match address {
            SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
            SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
        }
    }
    apply(options, &socket)?;
    // Accepted sockets inherit it on Linux: one system call less per connection.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(unix)]
fn check_unix(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;

    socket2::SockAddr::unix(path)?;
    match path.symlink_metadata() {
        Ok(found) if found.file_type().is_socket() => Ok(()),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn bind_unix(path: &Path, options: &SocketOptions) -> io::Result<Listener> {
    use std::os::unix::fs::FileTypeExt as _;
    use std::os::unix::net::UnixStream;

    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    apply(options, &socket)?;
    let address = socket2::SockAddr::unix(path)?;
    if let Err(error) = socket.bind(&address) {
        // A socket file without a listener was left behind by a server that was killed.
        let is_socket =
            std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
        let is_stale = is_socket
            && UnixStream::connect(path)
                .is_err_and(|refused| refused.kind() == io::ErrorKind::ConnectionRefused);
        if error.kind() == io::ErrorKind::AddrInUse && path.exists() && !is_socket {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if error.kind() != io::ErrorKind::AddrInUse || !is_stale {
            return Err(error);
        }
        std::fs::remove_file(path)?;
        socket.bind(&address)?;
    }
    listen_unix(socket, Address::Unix(path.to_owned()), options)
}

#[cfg(target_os = "linux")]
fn bind_abstract(name: &[u8], options: &SocketOptions) -> io::Result<Listener> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};

    // std binds and listens in one call; `listen` once more sets the backlog.
    let address = SocketAddr::from_abstract_name(name)?;
    let socket = Socket::from(UnixListener::bind_addr(&address)?);
    socket.set_nonblocking(true)?;
    apply(options, &socket)?;
    listen_unix(socket, Address::Abstract(name.to_owned()), options)
}

#[cfg(unix)]
fn listen_unix(socket: Socket, address: Address, options: &SocketOptions) -> io::Result<Listener> {
    socket.listen(backlog(options))?;
    let listener = mio::net::UnixListener::from_std(socket.into());
    Ok(Listener::new(Kind::Unix(listener), address))
}
