//! Templates and functions with the values of one request.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};

use super::base64;
use super::language::pattern::Groups;
use super::language::template::{Function, Part, Template, resolved};
use super::request::Request;
use crate::files::media_type::MediaTypes;

/// What is known of the response.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reply {
    /// 0 before there is one.
    pub(super) status: u16,
    pub(super) body_bytes: u64,
    pub(super) took: Duration,
    /// Which interpreter answered; 0: none.
    pub(super) worker: usize,
}

/// Where the values come from.
pub(super) struct Values<'a, 'r> {
    pub(super) request: &'a Request<'r>,
    pub(super) groups: Option<&'a Groups>,
    pub(super) reply: Reply,
    pub(super) media_types: &'a MediaTypes,
}

impl Values<'_, '_> {
    pub(super) fn text<'t>(&self, template: &'t Template) -> Cow<'t, [u8]> {
        if let Some(fixed) = template.fixed() {
            return Cow::Borrowed(fixed);
        }
        let mut out = Vec::with_capacity(64);
        self.parts(template.parts(), &mut out);
        Cow::Owned(out)
    }

    /// Appends the values of these parts.
    pub(super) fn parts(&self, parts: &[Part], out: &mut Vec<u8>) {
        for part in parts {
            self.part(part, out);
        }
    }

    fn part(&self, part: &Part, out: &mut Vec<u8>) {
        match part {
            Part::Text(text) => out.extend_from_slice(text),
            Part::Group(number) => {
                out.extend_from_slice(self.groups.map_or(b"", |groups| groups.get(*number)));
            }
            Part::Variable(name) => out.extend_from_slice(&self.request.get(name)),
            Part::Call(function, key) => self.call(*function, key, out),
            Part::Named(name) => {
                let mut key = Vec::new();
                self.parts(name, &mut key);
                // A key that does not exist has no value.
                if let Ok(part @ (Part::Variable(_) | Part::Call(..))) = resolved(&key) {
                    self.part(&part, out);
                }
            }
        }
    }

    fn call(&self, function: Function, key: &[u8], out: &mut Vec<u8>) {
        match function {
            Function::Cookie => {
                out.extend_from_slice(cookie(&self.request.get(b"HTTP_COOKIE"), key));
            }
            Function::Query => {
                out.extend_from_slice(query(&self.request.get(b"QUERY_STRING"), key));
            }
            Function::MediaType => {
                let file = self.request.get(key);
                out.extend_from_slice(self.media_types.of(&file).as_bytes());
            }
            Function::Server => self.server(key, out),
            Function::Time => {
                let now = since_epoch();
                let number = match key {
                    b"micros" => now.as_micros().to_string(),
                    _ => now.as_secs().to_string(),
                };
                out.extend_from_slice(number.as_bytes());
            }
            Function::HttpTime => {
                let seconds = u64::try_from(number(key)).unwrap_or(0);
                out.extend_from_slice(http_date(since_epoch().as_secs() + seconds).as_bytes());
            }
            Function::Base64 => out.extend(base64::encode(&self.request.get(key))),
            Function::Hex => {
                for byte in &*self.request.get(key) {
                    out.extend_from_slice(format!("{byte:02X}").as_bytes());
                }
            }
            Function::Upper => out.extend(self.request.get(key).to_ascii_uppercase()),
            Function::Lower => out.extend(self.request.get(key).to_ascii_lowercase()),
            Function::UrlEncode => url_encode(&self.request.get(key), out),
            Function::UrlDecode => {
                out.extend_from_slice(&crate::wsgi::environ::decoded(&self.request.get(key)));
            }
        }
    }

    fn server(&self, key: &[u8], out: &mut Vec<u8>) {
        let text = match key {
            b"wid" => self.reply.worker.to_string(),
            b"pid" => std::process::id().to_string(),
            b"uuid" => uuid(),
            b"status" => self.reply.status.to_string(),
            b"rtime" => self.reply.took.as_micros().to_string(),
            b"rsize" => self.reply.body_bytes.to_string(),
            // The start of the request.
            _ => since_epoch()
                .saturating_sub(self.reply.took)
                .as_micros()
                .to_string(),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The date of a second in HTTP's form.
pub(super) fn http_date(seconds: u64) -> String {
    // The last second that the form has.
    const LAST: u64 = 253_402_300_799;
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST)))
}

/// As strtol reads it: digits at the front, 0 without any.
pub(super) fn number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0_i64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    });
    if is_negative { -number } else { number }
}

fn uuid() -> String {
    let mut bytes = [0; 16];
    // Without the system's randomness it is the same every time.
    let _same = SystemRandom::new().fill(&mut bytes);
    // RFC 9562, 5.4.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn cookie<'c>(cookies: &'c [u8], name: &[u8]) -> &'c [u8] {
    let pairs = cookies.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    value(pairs, name)
}

fn query<'q>(query: &'q [u8], name: &[u8]) -> &'q [u8] {
    value(query.split(|byte| *byte == b'&'), name)
}

/// The first of these names that has a value.
fn value<'t>(mut pairs: impl Iterator<Item = &'t [u8]>, name: &[u8]) -> &'t [u8] {
    let found = pairs.find_map(|pair| {
        let rest = pair.strip_prefix(name)?.strip_prefix(b"=")?;
        (!rest.is_empty()).then_some(rest)
    });
    found.unwrap_or_default()
}

fn url_encode(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_and_fields_of_a_query_are_found_by_name() {
        assert_eq!(cookie(b"a=1; sid=x=y;b=2", b"sid"), b"x=y");
        assert_eq!(cookie(b"xsid=1; sid=", b"sid"), b"");
        assert_eq!(query(b"a=1&ab=2&a=3", b"a"), b"1");
        assert_eq!(query(b"a=&a=3", b"a"), b"3");
        assert_eq!(query(b"", b""), b"");
    }

    #[test]
    fn numbers_are_read_as_in_c() {
        for (text, wanted) in [("12x", 12), (" -3", -3), ("+4", 4), ("", 0), ("x", 0)] {
            assert_eq!(number(text.as_bytes()), wanted, "{text}");
        }
        assert_eq!(number(&[b'9'; 40]), i64::MAX);
    }

    #[test]
    fn identifiers_are_of_version_four() {
        let (one, other) = (uuid(), uuid());
        assert_ne!(one, other);
        assert_eq!((one.len(), one.as_bytes()[14]), (36, b'4'));
    }

    #[test]
    fn addresses_are_encoded() {
        let mut out = Vec::new();
        url_encode("a b/é~".as_bytes(), &mut out);
        assert_eq!(out, b"a%20b%2F%C3%A9~");
    }
}
