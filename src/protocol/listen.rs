//! Listening sockets and their clients' deadlines as plain values, for the rooms that configure
//! them and the one that opens them.

use std::time::Duration;

/// The protocol of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 and 1.0.
    #[default]
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
        /// As with FastCGI.
        nph: bool,
    },
}

impl Protocol {
    /// As in the address of a listener: `http`, `uwsgi`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Uwsgi => "uwsgi",
            Self::FastCgi { .. } => "fastcgi",
            Self::Scgi { .. } => "scgi",
        }
    }

    /// Whether requests arrive as variables of a trusted front end.
    pub fn takes_variables(self) -> bool {
        self != Self::Http
    }
}

/// Redirects every request to https, with the same host and target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The port of the other address; `None` is the scheme's own.
    pub port: Option<u16>,
}

/// Options of a listening socket. Accepted connections inherit those that concern them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// Connections that the kernel may hold before they are accepted.
    pub backlog: u32,
    /// SO_REUSEPORT (not on Windows).
    pub reuse_port: bool,
    /// IP_FREEBIND (Linux).
    pub freebind: bool,
    /// `[::]` does not take IPv4 clients, so that 0.0.0.0 can stand beside it.
    pub ipv6_only: bool,
    /// SO_KEEPALIVE.
    pub keep_alive: bool,
    /// SO_SNDBUF in bytes; `None` leaves it to the kernel.
    pub send_buffer_bytes: Option<usize>,
    /// SO_RCVBUF in bytes.
    pub receive_buffer_bytes: Option<usize>,
}

/// How long a client may take. A duration of centuries turns a deadline off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From a request's first byte (or the connection's start) to the end of its head.
    pub header: Duration,
    /// The longest pause while a body arrives.
    pub body_idle: Duration,
    /// A body that arrives more slowly than this (bytes per second, after ten seconds) is refused.
    pub body_rate_bytes_per_second_min: u64,
    /// How long a connection may wait for its next request; zero closes it after each response.
    pub keep_alive: Duration,
    /// The longest time without progress while a response is sent.
    pub write: Duration,
}
