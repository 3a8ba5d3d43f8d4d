//! The TLS of one listener: the configuration that `rustls` gets, and its exchange while the
//! listener serves.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::choice::Choice;
use super::material::chain;
use super::plan::{Plan, TlsError};

/// What is spoken inside TLS, best first (ALPN, RFC 7301). HTTP/2 would be one more line here.
const PROTOCOLS: &[&[u8]] = &[b"http/1.1"];

#[derive(Debug)]
pub struct Port {
    plan: Plan,
    current: ArcSwap<ServerConfig>,
}

impl Port {
    /// Reads all files. What is not wrong but worth knowing (a certificate that has expired) is
    /// returned beside it.
    pub fn open(plan: Plan) -> Result<(Self, Vec<String>), TlsError> {
        let (config, warnings) = configuration(&plan)?;
        let port = Self {
            plan,
            current: ArcSwap::from(config),
        };
        Ok((port, warnings))
    }

    /// Reads all files again. On an error what is offered stays as it is.
    pub fn reload(&self) -> Result<Vec<String>, TlsError> {
        let (config, warnings) = configuration(&self.plan)?;
        self.current.store(config);
        Ok(warnings)
    }

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
            for certificate in chain(&client.file)? {
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
