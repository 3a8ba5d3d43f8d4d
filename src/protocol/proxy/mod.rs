//! The statements of a proxy in front about its client, and the proxies that are trusted. Pure:
//! bytes and addresses in, answers out. `net` calls it on the thread that reads the connection.
//! Read [`trusted`] first.
//!
//! - [`trusted`]: the trusted proxies
//! - [`protocol`]: the PROXY protocol, in front of a connection
//! - [`forwarded`]: `X-Forwarded-*` and `Forwarded`, in each request
//!
//! The rules, in one place. Only the peers that `--trusted-proxies` names are trusted. Once
//! proxies are named, the fields are removed from the requests of all other peers: they can only be
//! forged. In a chain of proxies the last one that is not trusted is the client, and the entries to
//! its left are its own claim.

pub mod forwarded;
pub mod protocol;
pub mod trusted;

pub use forwarded::{ProxyClaims, TrustedFields};
pub use trusted::Trusted;

/// The proxies that are trusted, and with which fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyRules {
    /// The trusted peers (`trusted-proxies`).
    pub trusted: Trusted,
    /// The fields that are read (`trusted-proxy-headers`).
    pub fields: TrustedFields,
}

impl ProxyRules {
    /// No peer is trusted.
    pub fn is_empty(&self) -> bool {
        self.trusted == Trusted::default()
    }
}
