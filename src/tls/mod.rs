//! TLS as far as it is not a socket: certificates and keys from files, which of them a client gets,
//! who a client with a certificate is.
//!
//! Files in, `rustls` configurations out. `net` moves the bytes. A [`Port`] is what a listener with
//! TLS has; what it offers can be exchanged while it serves ([`Port::reload`]): connections that
//! are open keep what they were greeted with, later ones get the new. A file that does not fit
//! changes nothing.
//!
//! Read on the main thread, at start and at a reload; the choice of a certificate happens on
//! whichever thread drives a handshake. No I/O then.

mod choice;
mod identity;
mod material;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use choice::Choice;
pub use identity::identity;
use material::authorities;

/// What is spoken inside TLS, best first (ALPN, RFC 7301). HTTP/2 would be one more line here.
const PROTOCOLS: &[&[u8]] = &[b"http/1.1"];

/// Why there is no TLS: a sentence for the person who wrote the option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError(String);

impl TlsError {
    fn new(why: impl fmt::Display) -> Self {
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

/// Who a certificate is for.
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
    /// Ask clients for certificates.
    pub client: Option<ClientAuthority>,
    /// Keep the text of a client's certificate for the application.
    pub keeps_certificate: bool,
}

/// The TLS of one listener.
#[derive(Debug)]
pub struct Port {
    plan: Plan,
    current: ArcSwap<ServerConfig>,
}

impl Port {
    /// Reads all files. What is not wrong but worth knowing (a certificate that has expired) is
    /// returned beside it.
    ///
    /// # Errors
    /// A file is missing, is not what it should be, or does not fit the others.
    pub fn open(plan: Plan) -> Result<(Self, Vec<String>), TlsError> {
        let (config, warnings) = configuration(&plan)?;
        let port = Self {
            plan,
            current: ArcSwap::from(config),
        };
        Ok((port, warnings))
    }

    /// Reads all files again. On an error what is offered stays as it is.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn reload(&self) -> Result<Vec<String>, TlsError> {
        let (config, warnings) = configuration(&self.plan)?;
        self.current.store(config);
        Ok(warnings)
    }

    /// The state of a new connection.
    ///
    /// # Errors
    /// The library cannot make one; out of randomness, for example.
    pub fn session(&self) -> Result<ServerConnection, TlsError> {
        ServerConnection::new(self.current.load_full()).map_err(TlsError::new)
    }

    /// Whether the text of a client's certificate is kept.
    pub fn keeps_certificate(&self) -> bool {
        self.plan.keeps_certificate
    }
}

fn configuration(plan: &Plan) -> Result<(Arc<ServerConfig>, Vec<String>), TlsError> {
    let provider = Arc::new(ring::default_provider());
    let mut warnings = Vec::new();
    let choice = Choice::read(plan, &provider, &mut warnings)?;
    let verifier = match &plan.client {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(client) => {
            let mut roots = RootCertStore::empty();
            for certificate in authorities(&client.file)? {
                roots.add(certificate).map_err(|error| {
                    TlsError::new(format_args!(
                        "{} holds a certificate that cannot be an authority: {error}",
                        client.file.display()
                    ))
                })?;
            }
            let builder =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            let builder = if client.is_required {
                builder
            } else {
                builder.allow_unauthenticated()
            };
            builder.build().map_err(TlsError::new)?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::new)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(choice));
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    // A session that is taken up again skips the signature. Tickets leave the memory to the
    // clients. The keys are new after each reload: a session under the old certificates, or the old
    // authorities, is not taken up.
    config.ticketer = ring::Ticketer::new().map_err(TlsError::new)?;
    Ok((Arc::new(config), warnings))
}
