//! Proxies in front of the server, as values.

use crate::protocol::proxy::{Trusted, TrustedFields};

/// Which peers are trusted to tell about their clients, and with which fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyConfig {
    /// The trusted peers (`trusted-proxies`).
    pub trusted: Trusted,
    /// The fields that count (`trusted-proxy-headers`).
    pub headers: TrustedFields,
}

impl ProxyConfig {
    /// No peer is trusted.
    pub fn is_empty(&self) -> bool {
        self.trusted == Trusted::default()
    }
}
