//! Proxies in front of the server, as values.

use std::net::IpAddr;

/// Whose word about clients counts, and what they say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Networks, as an address and its leading bits.
    pub networks: Vec<(IpAddr, u8)>,
    /// Everybody on a unix socket.
    pub unix: bool,
    /// Everybody.
    pub everybody: bool,
    /// The fields that count.
    pub headers: ProxyHeaders,
}

impl ProxyConfig {
    /// Nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix && !self.everybody
    }
}

/// Fields of trusted proxies that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyHeaders {
    /// `X-Forwarded-For`
    pub x_for: bool,
    /// `X-Forwarded-Proto`
    pub x_proto: bool,
    /// `X-Forwarded-Host`
    pub x_host: bool,
    /// `Forwarded`
    pub forwarded: bool,
}
