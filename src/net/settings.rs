//! What a configuration decides about connections.

use std::sync::Arc;

use crate::protocol::http::Limits;
use crate::protocol::listen::Deadlines;
use crate::protocol::proxy::{ProxyRules, Trusted};
use crate::wsgi::{AddedFields, BodyMemory, Head};

/// Bounds and deadlines of connections.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bounds of the protocol.
    pub limits: Limits,
    /// Memory for request bodies, and its bounds.
    pub body_memory: Arc<BodyMemory>,
    /// Bytes of a response that may wait in memory before the application has to wait.
    pub output_bytes_max: usize,
    /// Bytes of complete responses that may wait in memory together, beyond that.
    pub output_memory_bytes_max: u64,
    /// Bytes of responses that may wait in temporary files together.
    pub output_file_bytes_max: u64,
    /// How long clients may take.
    pub deadlines: Deadlines,
    /// Connections at the same time; further ones wait in the kernel.
    pub connections_max: usize,
    /// Whether answered requests are logged.
    pub logs_requests: bool,
    /// Whether failed TLS handshakes are logged as warnings.
    pub warns_of_handshakes: bool,
    /// Trusted proxies; `None` if there are none.
    pub proxies: Option<ProxyRules>,
    /// Addresses that may send a PROXY preamble.
    pub preamble_senders: Trusted,
    pub ready_path: Option<String>,
    pub added_fields: Arc<AddedFields>,
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
