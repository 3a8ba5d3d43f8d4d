//! Certificates and keys out of PEM files, with errors for the person who made the files.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::plan::{Files, TlsError};

/// No chain and no key comes near this; a wrong path (a log, a disk image) does not fill the
/// memory.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a certificate and its key, and sees that they belong together.
pub(super) fn certified(
    files: &Files,
    provider: &CryptoProvider,
    warnings: &mut Vec<String>,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = chain(&files.certificate)?;
    let key = private_key(&files.key)?;
    let key = provider.key_provider.load_private_key(key).map_err(|error| {
        TlsError::new(format_args!(
            "the private key in {} cannot be used: {error}. RSA from 2048 bits, ECDSA P-256, P-384 and Ed25519 can",
            files.key.display()
        ))
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => {
            return Err(TlsError::new(format_args!(
                "the private key in {} does not belong to the certificate in {}. \
                 The server's own certificate must come first in its file, those of the authorities behind it",
                files.key.display(),
                files.certificate.display()
            )));
        }
        Err(error) => {
            return Err(TlsError::new(format_args!(
                "the certificate in {} cannot be used: {error}",
                files.certificate.display()
            )));
        }
    }
    if let Some(leaf) = certified.cert.first()
        && let Some(warning) = out_of_date(leaf, &files.certificate)
    {
        warnings.push(warning);
    }
    Ok(Arc::new(certified))
}

pub(super) fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read("certificate", file)?;
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        chain.push(certificate.map_err(|error| {
            TlsError::new(format_args!("{} is damaged: {error}", file.display()))
        })?);
    }
    if chain.is_empty() {
        return Err(TlsError::new(format_args!(
            "{} holds no certificate: no line says -----BEGIN CERTIFICATE-----. \
             From DER: openssl x509 -inform der -in {} -out cert.pem",
            file.display(),
            file.display()
        )));
    }
    Ok(chain)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read("private key", file)?;
    let says = |word: &[u8]| memchr::memmem::find(&text, word).is_some();
    if says(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || says(b"Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::new(format_args!(
            "the private key in {} is encrypted, and a server cannot ask for the passphrase. \
             Decrypt it: openssl pkey -in {} -out key.pem, and keep the file readable for its owner only",
            file.display(),
            file.display()
        )));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        if says(b"PRIVATE KEY-----") {
            TlsError::new(format_args!(
                "the private key in {} is damaged: {error}",
                file.display()
            ))
        } else {
            TlsError::new(format_args!(
                "{} holds no private key: no line says -----BEGIN PRIVATE KEY-----",
                file.display()
            ))
        }
    })
}

fn read(what: &str, file: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |why: &dyn std::fmt::Display| {
        TlsError::new(format_args!(
            "cannot read the {what} {}: {why}",
            file.display()
        ))
    };
    let size = fs::metadata(file).map_err(|error| failed(&error))?.len();
    if size > FILE_BYTES_MAX {
        return Err(failed(&"it is larger than 1 MB, so it is something else"));
    }
    fs::read(file).map_err(|error| failed(&error))
}

/// What is wrong with the dates of a certificate: clients will refuse it, the server does not.
fn out_of_date(certificate: &CertificateDer<'_>, file: &Path) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let now = i64::try_from(now).ok()?;
    let file = file.display();
    if now > validity.not_after.timestamp() {
        return Some(format!(
            "the certificate in {file} has expired ({}): clients will refuse it",
            validity.not_after
        ));
    }
    if now < validity.not_before.timestamp() {
        return Some(format!(
            "the certificate in {file} is not valid before {}: clients will refuse it, unless this machine's clock is wrong",
            validity.not_before
        ));
    }
    None
}
