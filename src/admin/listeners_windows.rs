//! Windows: listeners and connections of the control socket and the stats server: ports only.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::windows::io::{AsSocket as _, OwnedSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Address;

#[derive(Debug)]
pub struct AdminListener(TcpListener);

pub struct AdminConnection(TcpStream);

impl AdminListener {
    pub fn open(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => TcpListener::bind(address).map(Self),
            Address::Unix(_) | Address::Abstract(_) | Address::Descriptor(_) => {
                Err(io::Error::new(
                    ErrorKind::Unsupported,
                    "this system has no such sockets here; use a port, such as 127.0.0.1:9190",
                ))
            }
        }
    }

    pub fn from_inherited(socket: OwnedSocket, _address: &Address) -> io::Result<Self> {
        Ok(Self(TcpListener::from(socket)))
    }

    pub fn share(&self) -> io::Result<OwnedSocket> {
        self.0.as_socket().try_clone_to_owned()
    }

    /// Connects and closes, which ends a pending [`accept`](Self::accept).
    pub fn wake(&self) -> io::Result<()> {
        let mut address = self.0.local_addr()?;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        TcpStream::connect(address).map(drop)
    }

    pub fn accept(&self) -> io::Result<AdminConnection> {
        self.0.accept().map(|(stream, _)| AdminConnection(stream))
    }

    /// The port that the system chose.
    pub fn port(&self) -> Option<u16> {
        self.0.local_addr().ok().map(|address| address.port())
    }

    /// A port has no owner: a secret says who may ask.
    pub fn restrict_to(&self, _uid: Option<u32>, _gid: Option<u32>) -> io::Result<()> {
        Ok(())
    }

    pub fn file(&self) -> Option<(PathBuf, (u64, u64))> {
        None
    }
}

/// Files are not told apart here.
pub fn mark(_path: &Path) -> Option<(u64, u64)> {
    Some((0, 0))
}

impl AdminConnection {
    pub fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => TcpStream::connect(address).map(Self),
            Address::Unix(_) | Address::Abstract(_) | Address::Descriptor(_) => {
                Err(ErrorKind::Unsupported.into())
            }
        }
    }

    /// On a port the user is unknown, and a secret decides.
    pub fn is_same_user(&self) -> bool {
        true
    }

    /// How long a read or a write may wait.
    pub fn set_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(time)?;
        self.0.set_write_timeout(time)
    }

    /// Says that nothing follows.
    pub fn finish(&self) {
        // The client may have closed already.
        let _gone = self.0.shutdown(std::net::Shutdown::Write);
    }
}

impl Read for AdminConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for AdminConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a file in place of what is there. Who can read it is what the folder's rights say.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)
}

/// The server keeps its user on Windows.
pub fn give(_path: &Path, _uid: Option<u32>, _gid: Option<u32>) -> io::Result<()> {
    Ok(())
}

pub fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}
