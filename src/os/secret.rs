//! A secret that a process shares with those who may talk to it on a port of the loopback
//! interface.

use std::io;

const SECRET_BYTES: usize = 32;

pub struct Secret(String);

impl Secret {
    /// A secret of so many hexadecimal digits.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// Whether it could be one: an empty file is none.
    pub fn is_one(&self) -> bool {
        self.0.len() >= 32 && self.0.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// The value of `Authorization` that a client sends.
    pub fn field(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether a client sent the right value of `Authorization`, in constant time.
    pub fn is_field(&self, value: &[u8]) -> bool {
        is_same(value, self.field().as_bytes())
    }

    /// Whether this is it, in constant time.
    #[cfg(any(windows, test))]
    pub fn is(&self, said: &[u8]) -> bool {
        is_same(said, self.0.as_bytes())
    }
}

fn is_same(said: &[u8], expected: &[u8]) -> bool {
    let difference = said
        .iter()
        .zip(expected)
        .fold(0, |sum, (left, right)| sum | (left ^ right));
    said.len() == expected.len() && difference == 0
}

/// A secret, in hexadecimal digits.
pub fn random() -> io::Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("the system has no randomness"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
