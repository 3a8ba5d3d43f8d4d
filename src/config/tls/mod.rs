//! TLS: certificates, and the hosts that they are for.

pub(super) mod options;
pub(super) mod resolve;
pub(super) mod types;
