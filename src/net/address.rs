//! Addresses to listen on.

use std::fmt;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An IP address and port; port 0 lets the system choose.
    Tcp(SocketAddr),
    #[cfg(unix)]
    Unix(PathBuf),
    /// A name in Linux's abstract namespace of unix sockets: no file, gone with the process.
    #[cfg(target_os = "linux")]
    Abstract(Vec<u8>),
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(out, "{address}"),
            #[cfg(unix)]
            Address::Unix(path) => write!(out, "{}", path.display()),
            #[cfg(target_os = "linux")]
            Address::Abstract(name) => write!(out, "@{}", name.escape_ascii()),
        }
    }
}
