//! The TLS of all listeners: opened at start, read again at a reload. Main thread.
//!
//! As in uWSGI, files are opened before the server changes its directory and drops its privileges:
//! paths are relative to the directory where it was started, and a key that only root can read can
//! be used. A key that the server may no longer read at a reload is logged, and the old one stays.

use std::path::Path;
use std::sync::Arc;

use crate::config::Failure;
use crate::config::{Config, TlsFiles, TlsHost};
use crate::tls::{ClientAuthority, Files, Host, Plan, Port};

/// One entry for each listener, in their order.
pub struct Certificates(Vec<Option<Entry>>);

struct Entry {
    origin: String,
    port: Arc<Port>,
}

impl Certificates {
    /// Reads the configured files; relative paths are meant from `folder`.
    pub fn open(config: &Config, folder: &Path) -> Result<Self, Failure> {
        let mut entries = Vec::with_capacity(config.sockets.listen.len());
        for listen in &config.sockets.listen {
            let Some(tls) = &listen.tls else {
                entries.push(None);
                continue;
            };
            let plan = Plan {
                own: files(&tls.files, folder),
                hosts: config
                    .tls
                    .hosts
                    .iter()
                    .map(|one| host(one, folder))
                    .collect(),
                folder: config.tls.folder.as_ref().map(|path| folder.join(path)),
                client: tls.client.as_ref().map(|client| ClientAuthority {
                    file: folder.join(&client.file),
                    is_required: client.is_required,
                }),
                keeps_certificate: config.tls.exports_certificate,
            };
            let (port, warnings) = Port::open(plan)
                .map_err(|error| Failure::new(format_args!("{}: {error}", listen.origin)))?;
            for warning in warnings {
                tracing::warn!("{}: {warning}", listen.origin);
            }
            entries.push(Some(Entry {
                origin: listen.origin.clone(),
                port: Arc::new(port),
            }));
        }
        Ok(Self(entries))
    }

    /// The TLS of the listener with this index.
    pub fn port(&self, listener: usize) -> Option<Arc<Port>> {
        let entry = self.0.get(listener)?.as_ref()?;
        Some(Arc::clone(&entry.port))
    }

    /// Reads all files again. Errors are logged, and the old certificate stays in use.
    pub fn reload(&self) {
        for entry in self.0.iter().flatten() {
            let origin = &entry.origin;
            match entry.port.reload() {
                Ok(warnings) => {
                    tracing::info!("{origin}: the certificates were read anew");
                    for warning in warnings {
                        tracing::warn!("{origin}: {warning}");
                    }
                }
                Err(error) => {
                    tracing::error!("{origin}: the certificates stay as they were: {error}");
                }
            }
        }
    }
}

fn files(files: &TlsFiles, folder: &Path) -> Files {
    Files {
        certificate: folder.join(&files.certificate),
        key: folder.join(&files.key),
    }
}

fn host((host, named): &(TlsHost, TlsFiles), folder: &Path) -> (Host, Files) {
    let host = match host {
        TlsHost::Name(name) => Host::Name(name.clone()),
        TlsHost::Pattern(text) => Host::Pattern(text.clone()),
    };
    (host, files(named, folder))
}
