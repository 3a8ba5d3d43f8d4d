//! Who a client is, by the certificate that it has shown and that was verified.

use std::fmt::Write as _;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::wsgi::environ::Identity;

/// The short names of the attributes of a subject, by their object identifiers, as OpenSSL has
/// them.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The identity that this certificate shows. A subject that cannot be read is the empty name.
pub fn identity(certificate: &CertificateDer<'_>, keeps_certificate: bool) -> Identity {
    Identity {
        name: X509Certificate::from_der(certificate)
            .map(|(_, parsed)| one_line(&parsed))
            .unwrap_or_default(),
        certificate: if keeps_certificate {
            pem(certificate)
        } else {
            String::new()
        },
    }
}

fn one_line(certificate: &X509Certificate<'_>) -> String {
    let mut line = String::new();
    for attribute in certificate.subject().iter_attributes() {
        let identifier = attribute.attr_type().to_id_string();
        let known = ATTRIBUTES.iter().find(|(id, _)| *id == identifier);
        line.push('/');
        line.push_str(known.map_or(identifier.as_str(), |(_, name)| name));
        line.push('=');
        for &byte in attribute.attr_value().data {
            match byte {
                b' '..=b'~' => line.push(char::from(byte)),
                // As OpenSSL shows them, so that no byte of a certificate can end a line or a
                // field.
                _ => {
                    let _infallible = write!(line, "\\x{byte:02X}");
                }
            }
        }
    }
    line
}

/// RFC 7468: base64 in lines of 64.
fn pem(certificate: &CertificateDer<'_>) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    // 48 bytes are 64 letters.
    for line in certificate.chunks(48) {
        for group in line.chunks(3) {
            let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for place in 0..4 {
                if place > group.len() {
                    text.push('=');
                } else {
                    let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
                    text.push(char::from(letter));
                }
            }
        }
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}
