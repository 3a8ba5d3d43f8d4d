//! Proxies in front of the server: which of them are trusted, and with which fields.

pub(super) mod options;
pub(super) mod resolve;
