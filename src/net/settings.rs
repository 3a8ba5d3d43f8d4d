//! What a configuration decides about connections.

use std::sync::Arc;
use std::time::Duration;

use crate::protocol::http::Limits;
use crate::protocol::proxy::{Trusted, TrustedFields};
use crate::wsgi::{AddedFields, BodyMemory, Head};

/// Bounds and deadlines of connections. A duration of centuries turns a timeout off.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bounds of the protocol.
    pub limits: Limits,
    /// Memory for request bodies, and its bounds.
    pub body_memory: Arc<BodyMemory>,
    /// Bytes of a response that may wait in memory before the application has to wait.
    pub output_bytes_max: usize,
    /// From a request's first byte (or the connection's start) to the end of its head.
    pub header_timeout: Duration,
    /// The longest pause while a body arrives.
    pub body_timeout: Duration,
    /// A body that arrives more slowly than this (bytes per second, after ten seconds) is refused.
    pub body_rate_min: u64,
    /// How long a connection may wait for its next request; zero closes it after each response.
    pub keep_alive_timeout: Duration,
    /// How long a client may take to make room for more of a response.
    pub write_timeout: Duration,
    /// Connections at the same time; further ones wait in the kernel.
    pub connections_max: usize,
    /// Whether failed TLS handshakes are logged as warnings.
    pub warns_of_handshakes: bool,
    /// Trusted proxies; `None` if there are none.
    pub proxies: Option<Proxies>,
    /// Addresses that may send a PROXY preamble.
    pub preamble_senders: Trusted,
    /// The path of readiness probes.
    pub ready_path: Option<String>,
    /// Fields that are added to every response.
    pub added_fields: Arc<AddedFields>,
}

/// Trusted proxies in front of the server.
#[derive(Clone, Debug)]
pub struct Proxies {
    /// Their addresses.
    pub trusted: Trusted,
    /// The fields that are read.
    pub fields: TrustedFields,
}

impl Settings {
    /// Whether this request asks if the server is ready.
    pub(super) fn is_readiness_probe(&self, head: &Head) -> bool {
        let Some(path) = &self.ready_path else {
            return false;
        };
        let target = head.target();
        let end = memchr::memchr(b'?', target).unwrap_or(target.len());
        target.get(..end) == Some(path.as_bytes()) && matches!(head.method(), b"GET" | b"HEAD")
    }
}
