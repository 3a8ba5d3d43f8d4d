//! Limits and deadlines, as values.

use std::time::Duration;

use crate::protocol::http::Limits;
use crate::protocol::listen::Deadlines;

/// What a client may send, how long it and the application may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// How much a client may send.
    pub request: Limits,
    /// How long a client may take.
    pub deadlines: Deadlines,
    /// What becomes of requests that take too long.
    pub harakiri: HarakiriRules,
    /// Connections that may be open at once; further ones wait in the backlog.
    pub connections_max: usize,
    /// Requests that may wait for a worker; further ones are answered 503.
    pub queue_max: usize,
    /// Bytes of a request body kept in memory; the rest goes to a temporary file.
    pub body_memory_bytes_max: usize,
    /// Bytes that all temporary files of request bodies may have together.
    pub body_file_bytes_max: u64,
    /// Bytes of one response that may wait in memory.
    pub output_bytes_max: usize,
    /// Bytes of complete responses that may wait in memory together, beyond that.
    pub output_memory_bytes_max: u64,
    /// Bytes of responses that may wait in temporary files together.
    pub output_file_bytes_max: u64,
}

/// What becomes of requests that take too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HarakiriRules {
    /// What a request may take (`harakiri`).
    pub limit: Option<Duration>,
    /// Log its Python stack (`harakiri-verbose`).
    pub is_verbose: bool,
    /// What its worker is given to come back (`harakiri-graceful-timeout`).
    pub grace: Duration,
    /// Requests that must wait before any is ended (`harakiri-queue-threshold`).
    pub waiting_min: usize,
}
