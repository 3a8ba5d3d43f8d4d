//! TLS as it is configured: which files, for whom. Texts become values; files are not touched.

use super::types::{ClientCa, TlsAddress, TlsConfig, TlsFiles, TlsHost};
use std::path::PathBuf;

use regex_lite::Regex;

use super::options;
use crate::config::error::ConfigError;
use crate::config::readers::layers::Setting;
use crate::config::values::reader::Reader;

impl Reader<'_> {
    /// `ADDRESS,CERT,KEY[,CIPHERS[,CA]]`: the address and the rest.
    pub(crate) fn https<'s>(
        &mut self,
        setting: &'s Setting,
    ) -> Result<(&'s str, TlsAddress), ConfigError> {
        let parts: Vec<&str> = setting.text.splitn(5, ',').map(str::trim).collect();
        let (&address, &certificate, &key) = match parts.as_slice() {
            [address, certificate, key, ..] => (address, certificate, key),
            _ => return Err(wants(setting, "ADDRESS,CERT,KEY[,CIPHERS[,CA]]")),
        };
        self.ciphers(setting, parts.get(3).copied().unwrap_or_default());
        let tls = TlsAddress {
            files: files(setting, certificate, key)?,
            client: client(setting, parts.get(4).copied().unwrap_or_default())?,
        };
        Ok((address, tls))
    }

    /// `addr=ADDRESS,cert=CERT,key=KEY,...`
    pub(crate) fn https2<'s>(
        &mut self,
        setting: &'s Setting,
    ) -> Result<(&'s str, TlsAddress), ConfigError> {
        let (mut address, mut certificate, mut key, mut ca) = ("", "", "", "");
        for part in setting.text.split(',') {
            let Some((name, value)) = part.split_once('=') else {
                return Err(wants(setting, "KEY=VALUE,..."));
            };
            let value = value.trim();
            match name.trim() {
                "addr" => address = value,
                "cert" | "crt" => certificate = value,
                "key" => key = value,
                "clientca" | "client_ca" => ca = value,
                "ciphers" => self.ciphers(setting, value),
                "spdy" => self.warn(setting, "asks for spdy, which no client speaks any more"),
                other => {
                    return Err(setting
                        .error(format_args!("does not know '{other}'"))
                        .hint("it knows addr, cert, key, ciphers, clientca and spdy"));
                }
            }
        }
        if address.is_empty() || certificate.is_empty() || key.is_empty() {
            return Err(wants(setting, "addr=ADDRESS,cert=CERT,key=KEY"));
        }
        let tls = TlsAddress {
            files: files(setting, certificate, key)?,
            client: client(setting, ca)?,
        };
        Ok((address, tls))
    }

    /// Everything about TLS that is not of one address.
    pub(crate) fn tls(&mut self) -> Result<TlsConfig, ConfigError> {
        let mut written: Vec<(&Setting, bool)> = Vec::new();
        written.extend(self.raw.all(&options::SNI).iter().map(|one| (one, false)));
        written.extend(
            self.raw
                .all(&options::SNI_REGEXP)
                .iter()
                .map(|one| (one, true)),
        );
        written.sort_by_key(|(one, _)| (one.origin.layer, one.origin.place));
        let mut hosts = Vec::new();
        for (setting, is_pattern) in written {
            hosts.push(self.host(setting, is_pattern)?);
        }
        Ok(TlsConfig {
            hosts,
            folder: self.path(&options::SNI_DIR)?,
            exports_certificate: self.flag(&options::HTTPS_EXPORT_CERT),
            is_verbose: self.flag(&options::SSL_VERBOSE),
        })
    }

    /// `HOST CERT,KEY[,CIPHERS[,CA]]`
    fn host(
        &mut self,
        setting: &Setting,
        is_pattern: bool,
    ) -> Result<(TlsHost, TlsFiles), ConfigError> {
        let Some((host, rest)) = setting.text.trim().split_once(' ') else {
            return Err(wants(setting, "'HOST CERT,KEY'"));
        };
        let parts: Vec<&str> = rest.trim().splitn(4, ',').map(str::trim).collect();
        let (&certificate, &key) = match parts.as_slice() {
            [certificate, key, ..] => (certificate, key),
            _ => return Err(wants(setting, "'HOST CERT,KEY'")),
        };
        self.ciphers(setting, parts.get(2).copied().unwrap_or_default());
        if parts.get(3).is_some_and(|ca| !ca.is_empty()) {
            return Err(setting
                .error("asks for clients' certificates for one host of several")
                .hint(
                    "a client could reach that host by another's name; ask on the whole address: \
                    --https ADDRESS,CERT,KEY,,CA",
                ));
        }
        let files = files(setting, certificate, key)?;
        if is_pattern {
            Regex::new(host)
                .map_err(|why| setting.error(format_args!("wants a regular expression: {why}")))?;
            return Ok((TlsHost::Pattern(host.to_owned()), files));
        }
        let name = host.strip_prefix("*.").unwrap_or(host);
        if name.is_empty() || name.contains(['*', '/', ':']) {
            return Err(setting.error(format_args!("wants the name of a host, got '{host}'")));
        }
        Ok((TlsHost::Name(host.to_owned()), files))
    }

    fn ciphers(&mut self, setting: &Setting, ciphers: &str) {
        if !ciphers.is_empty() {
            self.warn(
                setting,
                "names ciphers, and they are not looked at: TLS 1.2 and 1.3 are spoken with \
                 forward secrecy and authenticated encryption only",
            );
        }
    }
}

fn files(setting: &Setting, certificate: &str, key: &str) -> Result<TlsFiles, ConfigError> {
    for (what, path) in [("certificate", certificate), ("key", key)] {
        if path.is_empty() || path.contains('\0') {
            return Err(setting.error(format_args!("wants the path of a {what}, got '{path}'")));
        }
    }
    Ok(TlsFiles {
        certificate: PathBuf::from(certificate),
        key: PathBuf::from(key),
    })
}

/// `CA`, or `!CA` for clients that must have a certificate.
fn client(setting: &Setting, text: &str) -> Result<Option<ClientCa>, ConfigError> {
    let (path, is_required) = match text.strip_prefix('!') {
        Some(path) => (path.trim(), true),
        None => (text, false),
    };
    if path.contains('\0') || (is_required && path.is_empty()) {
        return Err(setting.error(format_args!("wants the path of an authority, got '{text}'")));
    }
    Ok((!path.is_empty()).then(|| ClientCa {
        file: PathBuf::from(path),
        is_required,
    }))
}

fn wants(setting: &Setting, form: &str) -> ConfigError {
    setting.error(format_args!("wants {form}, got '{}'", setting.text))
}
