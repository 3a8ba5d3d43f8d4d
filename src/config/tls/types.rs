//! TLS, as values: which files, for which hosts.

use std::path::PathBuf;

/// A certificate and its key, relative to where the server was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the certificate and those that lead to its root.
    pub certificate: PathBuf,
    /// PEM: the key; may be the same file.
    pub key: PathBuf,
}

/// Clients are asked for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCa {
    /// PEM: the authorities that may have signed it.
    pub file: PathBuf,
    /// Clients without one are turned away.
    pub is_required: bool,
}

/// The TLS of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsAddress {
    /// What every client gets that asks for no other host.
    pub files: TlsFiles,
    /// Whether clients are asked for theirs.
    pub client: Option<ClientCa>,
}

/// Whom a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsHost {
    /// This name, or all below it: `*.example.org`.
    Name(String),
    /// All that match.
    Pattern(String),
}

/// TLS on all addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Certificates for hosts (`sni`, `sni-regexp`), in the order in which they were written.
    pub hosts: Vec<(TlsHost, TlsFiles)>,
    /// A folder of certificates for hosts (`sni-dir`).
    pub folder: Option<PathBuf>,
    /// Hand clients' certificates to the application (`https-export-cert`).
    pub exports_certificate: bool,
    /// Log failed handshakes (`ssl-verbose`).
    pub is_verbose: bool,
}
