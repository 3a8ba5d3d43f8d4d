//! Where the server listens, as values.

use crate::config::process::types::Principal;
use crate::config::tls::types::TlsAddress;
use crate::config::values::address::Address;

/// Where the server listens, and how sockets are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketConfig {
    /// Where to listen, in the order in which it was written; never empty.
    pub listen: Vec<ListenAddress>,
    /// What is spoken on sockets that were handed over and that no option names: `protocol`, or
    /// HTTP.
    pub protocol: Protocol,
    /// Connections that the kernel may hold before they are accepted, for each listener.
    pub backlog: u32,
    /// The mode of unix sockets; `None` leaves it to the umask.
    pub mode: Option<u32>,
    /// Remove unix sockets at exit.
    pub vacuum: bool,
    /// The owner of unix sockets (`chown-socket USER[:GROUP]`).
    pub owner: Option<(Principal, Option<Principal>)>,
    /// SO_REUSEPORT (`reuse-port`).
    pub reuse_port: bool,
    /// IP_FREEBIND (`freebind`, Linux).
    pub freebind: bool,
    /// SO_KEEPALIVE on accepted connections (`so-keepalive`).
    pub keep_alive: bool,
    /// TCP_NODELAY on accepted connections was asked for (`tcp-nodelay`).
    pub no_delay: bool,
    /// SO_SNDBUF in bytes (`socket-sndbuf`).
    pub send_buffer_bytes: Option<u64>,
    /// SO_RCVBUF in bytes (`socket-rcvbuf`).
    pub receive_buffer_bytes: Option<u64>,
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

/// Where `http-to-https` sends clients: the same host and target, with https.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The port to name; `None` is the scheme's own.
    pub port: Option<u16>,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 and 1.0.
    Http,
    /// The uwsgi protocol.
    Uwsgi,
    /// FastCGI.
    FastCgi {
        /// Answers begin with HTTP's status line ("non-parsed headers").
        nph: bool,
    },
    /// SCGI.
    Scgi {
        /// As of FastCGI.
        nph: bool,
    },
}
