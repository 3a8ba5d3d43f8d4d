//! Where the server listens, as values.

use crate::config::process::types::Principal;
use crate::config::tls::types::TlsAddress;
use crate::config::values::address::Address;
use crate::protocol::listen::{Protocol, Redirect, SocketOptions};

/// Where the server listens, and how sockets are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketConfig {
    /// Where to listen, in the order in which it was written; never empty.
    pub listen: Vec<ListenAddress>,
    /// What is spoken on sockets that were handed over and that no option names: `protocol`, or
    /// HTTP.
    pub protocol: Protocol,
    /// Options of each listener.
    pub options: SocketOptions,
    /// The mode of unix sockets; `None` leaves it to the umask.
    pub mode: Option<u32>,
    /// Remove unix sockets at exit.
    pub vacuum: bool,
    /// The owner of unix sockets (`chown-socket USER[:GROUP]`).
    pub owner: Option<(Principal, Option<Principal>)>,
    /// TCP_NODELAY was asked for (`tcp-nodelay`); it is always on.
    pub no_delay: bool,
}

/// One place to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// What is spoken there.
    pub protocol: Protocol,
    /// Where it is bound.
    pub address: Address,
    /// The TLS around it.
    pub tls: Option<TlsAddress>,
    /// Every connection begins with the PROXY protocol.
    pub expects_proxy: bool,
    /// Send every client to https instead (`http-to-https`).
    pub redirect: Option<Redirect>,
    /// Where it was named, for messages: `--http (command line)`.
    pub origin: String,
    /// It is the default address, which is used when none is named.
    pub is_default: bool,
}
