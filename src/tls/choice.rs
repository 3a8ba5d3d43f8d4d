//! Which certificate a client gets: by the host name that it sends in its first message (SNI, RFC
//! 6066, 3).
//!
//! A whole name goes before `*.`, `*.` before a pattern, and a folder comes last; nothing of it
//! matches: the listener's own. What the client names is never a path: the folder was read before.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use regex_lite::Regex;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::material::certified;
use super::plan::{Files, Host, Plan, TlsError};

/// Names in lower case, and what belongs to them. `*.example.org` is kept as `.example.org`.
#[derive(Debug, Default)]
struct Names {
    whole: HashMap<String, Arc<CertifiedKey>>,
    below: HashMap<String, Arc<CertifiedKey>>,
}

impl Names {
    fn add(&mut self, name: &str, certified: &Arc<CertifiedKey>) {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match name.strip_prefix('*') {
            Some(rest) => self.below.entry(rest.to_owned()),
            None => self.whole.entry(name),
        }
        .or_insert_with(|| Arc::clone(certified));
    }

    fn whole(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        self.whole.get(name)
    }

    fn below(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        // One label, as in certificates themselves (RFC 6125, 6.4.3).
        let dot = name.find('.')?;
        self.below.get(name.get(dot..)?)
    }
}

/// Every certificate of a listener.
#[derive(Debug)]
pub(super) struct Choice {
    own: Arc<CertifiedKey>,
    named: Names,
    patterns: Vec<(Regex, Arc<CertifiedKey>)>,
    folder: Names,
}

impl Choice {
    pub(super) fn read(
        plan: &Plan,
        provider: &CryptoProvider,
        warnings: &mut Vec<String>,
    ) -> Result<Self, TlsError> {
        let mut choice = Self {
            own: certified(&plan.own, provider, warnings)?,
            named: Names::default(),
            patterns: Vec::new(),
            folder: Names::default(),
        };
        for (host, files) in &plan.hosts {
            let certified = certified(files, provider, warnings)?;
            match host {
                Host::Name(name) => choice.named.add(name, &certified),
                Host::Pattern(text) => {
                    let pattern = Regex::new(text).map_err(|error| {
                        TlsError::new(format_args!("'{text}' is not a pattern: {error}"))
                    })?;
                    choice.patterns.push((pattern, certified));
                }
            }
        }
        if let Some(folder) = &plan.folder {
            for (name, files) in in_folder(folder)? {
                choice
                    .folder
                    .add(&name, &certified(&files, provider, warnings)?);
            }
        }
        Ok(choice)
    }

    fn of(&self, name: &str) -> &Arc<CertifiedKey> {
        let named = self.named.whole(name).or_else(|| self.named.below(name));
        let matching = || {
            let mut patterns = self.patterns.iter();
            let found = patterns.find(|(pattern, _)| pattern.is_match(name));
            found.map(|(_, certified)| certified)
        };
        named
            .or_else(matching)
            .or_else(|| self.folder.whole(name))
            .or_else(|| self.folder.below(name))
            .unwrap_or(&self.own)
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chosen = match hello.server_name() {
            Some(name) => self.of(&name.trim_end_matches('.').to_ascii_lowercase()),
            None => &self.own,
        };
        Some(Arc::clone(chosen))
    }
}

/// `HOST.crt` beside `HOST.key`, for every host in the folder, in the order of their names.
fn in_folder(folder: &Path) -> Result<Vec<(String, Files)>, TlsError> {
    let failed = |error: std::io::Error| {
        TlsError::new(format_args!(
            "cannot read the folder {}: {error}",
            folder.display()
        ))
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let certificate = entry.map_err(failed)?.path();
        let is_certificate = certificate
            .extension()
            .is_some_and(|ending| ending == "crt");
        let Some(name) = certificate.file_stem().and_then(|name| name.to_str()) else {
            continue;
        };
        let key = certificate.with_extension("key");
        let authority = certificate.with_extension("ca");
        if is_certificate && authority.exists() {
            return Err(TlsError::new(format_args!(
                "{} asks for clients' certificates for one host of several; ask for them on the whole address instead (its fifth part)",
                authority.display()
            )));
        }
        if is_certificate && key.exists() {
            let files = Files {
                certificate: certificate.clone(),
                key,
            };
            found.push((name.to_owned(), files));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}
