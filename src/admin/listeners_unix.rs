//! Unix: listeners and connections of the control socket and the stats server: paths, abstract
//! names and ports, and the user at the other end.

use std::fs::Permissions;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Uid, geteuid};

use crate::config::Address;

#[derive(Debug)]
pub enum AdminListener {
    /// A path, or an abstract name.
    Unix(UnixListener, Option<PathBuf>),
    Tcp(TcpListener),
}

pub enum AdminConnection {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl AdminListener {
    /// Listens there. A socket file without a listener is replaced.
    pub fn open(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => TcpListener::bind(address).map(Self::Tcp),
            Address::Unix(path) => open_path(path),
            #[cfg(target_os = "linux")]
            Address::Abstract(name) => {
                use std::os::linux::net::SocketAddrExt as _;
                use std::os::unix::net::SocketAddr;
                let address = SocketAddr::from_abstract_name(name)?;
                Ok(Self::Unix(UnixListener::bind_addr(&address)?, None))
            }
            #[cfg(not(target_os = "linux"))]
            Address::Abstract(_) => Err(ErrorKind::Unsupported.into()),
            Address::Descriptor(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    /// A listening socket that this process was handed.
    pub fn from_inherited(descriptor: OwnedFd, address: &Address) -> io::Result<Self> {
        Ok(match address {
            Address::Tcp(_) => Self::Tcp(TcpListener::from(descriptor)),
            Address::Unix(path) => Self::Unix(UnixListener::from(descriptor), Some(whole(path)?)),
            Address::Abstract(_) | Address::Descriptor(_) => {
                Self::Unix(UnixListener::from(descriptor), None)
            }
        })
    }

    pub fn accept(&self) -> io::Result<AdminConnection> {
        match self {
            Self::Unix(listener, _) => listener
                .accept()
                .map(|(stream, _)| AdminConnection::Unix(stream)),
            Self::Tcp(listener) => listener
                .accept()
                .map(|(stream, _)| AdminConnection::Tcp(stream)),
        }
    }

    /// The port that the system chose.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(|address| address.port()),
            Self::Unix(..) => None,
        }
    }

    /// Admits only the user that the server will run as, and root, by the file's mode and owner.
    pub fn restrict_to(&self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        let Self::Unix(_, Some(path)) = self else {
            return Ok(());
        };
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        if uid.is_some() || gid.is_some() {
            std::os::unix::fs::chown(path, uid, gid)?;
        }
        Ok(())
    }

    /// The descriptor, to be left open for the next image of the process.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener, _) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }

    /// A second handle to the socket.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.descriptor().try_clone_to_owned()
    }

    /// Connects and closes, which ends a pending [`accept`](Self::accept).
    pub fn wake(&self) -> io::Result<()> {
        match self {
            Self::Unix(listener, _) => UnixStream::connect_addr(&listener.local_addr()?).map(drop),
            Self::Tcp(listener) => {
                TcpStream::connect(within_reach(listener.local_addr()?)).map(drop)
            }
        }
    }

    /// The file, and what tells it from another of its name.
    pub fn file(&self) -> Option<(PathBuf, (u64, u64))> {
        let Self::Unix(_, Some(path)) = self else {
            return None;
        };
        Some((path.clone(), mark(path)?))
    }
}

fn within_reach(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// What tells a file from another of its name.
pub fn mark(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn whole(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(path)
}

fn open_path(path: &Path) -> io::Result<AdminListener> {
    let path = whole(path)?;
    let listener = match UnixListener::bind(&path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            if !is_left_behind(&path) {
                return Err(error);
            }
            std::fs::remove_file(&path)?;
            UnixListener::bind(&path)?
        }
        bound => bound?,
    };
    Ok(AdminListener::Unix(listener, Some(path)))
}

/// Whether the path is a socket file without a listener.
fn is_left_behind(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    is_socket
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

impl AdminConnection {
    pub fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => TcpStream::connect(address).map(Self::Tcp),
            Address::Unix(path) => UnixStream::connect(path).map(Self::Unix),
            #[cfg(target_os = "linux")]
            Address::Abstract(name) => {
                use std::os::linux::net::SocketAddrExt as _;
                use std::os::unix::net::SocketAddr;
                let address = SocketAddr::from_abstract_name(name)?;
                UnixStream::connect_addr(&address).map(Self::Unix)
            }
            #[cfg(not(target_os = "linux"))]
            Address::Abstract(_) => Err(ErrorKind::Unsupported.into()),
            Address::Descriptor(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    /// Whether the peer is this process's user or root. On a port that is unknown, and a secret
    /// decides.
    pub fn is_same_user(&self) -> bool {
        match self {
            Self::Unix(stream) => peer(stream).is_ok_and(|uid| uid == geteuid() || uid.is_root()),
            Self::Tcp(_) => true,
        }
    }

    /// How long a read or a write may wait.
    pub fn set_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream
                .set_read_timeout(time)
                .and_then(|()| stream.set_write_timeout(time)),
            Self::Tcp(stream) => stream
                .set_read_timeout(time)
                .and_then(|()| stream.set_write_timeout(time)),
        }
    }

    /// Says that nothing follows.
    pub fn finish(&self) {
        // The client may have closed already.
        let _gone = match self {
            Self::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
            Self::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
        };
    }
}

#[cfg(target_os = "linux")]
fn peer(stream: &UnixStream) -> io::Result<Uid> {
    Ok(rustix::net::sockopt::socket_peercred(stream)?.uid)
}

#[cfg(not(target_os = "linux"))]
fn peer(stream: &UnixStream) -> io::Result<Uid> {
    let (uid, _) = nix::unistd::getpeereid(stream).map_err(io::Error::from)?;
    Ok(Uid::from_raw(uid.as_raw()))
}

impl Read for AdminConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for AdminConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a file that only this user can read, in place of what is there.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // What is there may be open to others already, or a link of theirs.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// Gives a file to the user that the server will be.
pub fn give(path: &Path, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    if uid.is_some() || gid.is_some() {
        std::os::unix::fs::chown(path, uid, gid)?;
    }
    Ok(())
}

/// chmod(2).
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}
