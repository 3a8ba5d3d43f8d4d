//! What a listener offers over TLS, as values, and the error for what it cannot offer.

use std::fmt;
use std::path::PathBuf;

/// Why there is no TLS: a sentence for the person who wrote the option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError(String);

impl TlsError {
    pub(super) fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

/// Where a certificate and its key are. One file may hold both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// PEM: the server's own certificate first, then those that lead to a root.
    pub certificate: PathBuf,
    /// PEM: the private key, in PKCS#8, PKCS#1 or SEC1 form, not encrypted.
    pub key: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// This name; `*.example.org` is every name one label below.
    Name(String),
    /// Every name that matches this regular expression.
    Pattern(String),
}

/// The authority that has to have signed a client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuthority {
    /// PEM: the certificates of the authorities.
    pub file: PathBuf,
    /// A client without a certificate is turned away. One with a wrong certificate always is.
    pub is_required: bool,
}

/// What a listener offers, as it was configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For clients that name no host, or an unknown one.
    pub own: Files,
    /// For the hosts that clients name (SNI), in the order in which they were written.
    pub hosts: Vec<(Host, Files)>,
    /// A folder of `HOST.crt` and `HOST.key`.
    pub folder: Option<PathBuf>,
    pub client: Option<ClientAuthority>,
    /// Keep the text of a client's certificate for the application.
    pub keeps_certificate: bool,
}
