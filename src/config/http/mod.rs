//! HTTP connections: keep-alive, the readiness path, fields that are added or removed.

pub(super) mod options;
pub(super) mod resolve;
pub(super) mod types;
