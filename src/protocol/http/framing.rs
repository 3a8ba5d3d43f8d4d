//! How long the body of a request is: RFC 9112, 6.3, decided once, in its order, and stricter where
//! the RFC leaves a choice that two parsers could make differently. Pure; any thread.

use super::head::{Framing, Version};
use super::name::is_token;
use super::{Limits, Refusal};

/// The framing of a request, from the values of its only `Transfer-Encoding` and its only
/// `Content-Length`. (Two of either never come here: `parse.rs` refuses them as it meets them,
/// equal or not.)
pub(super) fn framing(
    version: Version,
    transfer_encoding: Option<&[u8]>,
    content_length: Option<&[u8]>,
    limits: &Limits,
) -> Result<Framing, Refusal> {
    match (transfer_encoding, content_length) {
        // Rules 1 and 2 are about responses. Rule 3: the RFC lets Transfer-Encoding win; an honest
        // client sends one.
        (Some(_), Some(_)) => Err(Refusal::bad("both Transfer-Encoding and Content-Length")),
        // 6.1: "a faulty framing", because an HTTP/1.0 proxy in between would have passed the
        // chunks as they are.
        (Some(_), None) if version == Version::Http10 => {
            Err(Refusal::bad("Transfer-Encoding in an HTTP/1.0 request"))
        }
        // Rule 4, for the one coding that we undo.
        (Some(codings), None) if codings.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (Some(codings), None) => Err(refuse_codings(codings)),
        // Rules 5 and 6.
        (None, Some(digits)) => match self::content_length(digits)? {
            0 => Ok(Framing::Empty),
            length if length > limits.body_bytes_max => Err(Refusal::with(
                413,
                "Content-Length is over the bound of bodies",
            )),
            length => Ok(Framing::Length(length)),
        },
        // Rule 7.
        (None, None) => Ok(Framing::Empty),
    }
}

/// The number of a `Content-Length`, by rule 5: digits and nothing else; no sign, no list, no
/// space, and it must fit.
///
/// # Errors
/// 400: it is something else.
pub fn content_length(digits: &[u8]) -> Result<u64, Refusal> {
    if digits.is_empty() {
        return Err(Refusal::bad("Content-Length is empty"));
    }
    digits.iter().try_fold(0u64, |length, &digit| match digit {
        b'0'..=b'9' => length
            .checked_mul(10)
            .and_then(|length| length.checked_add(u64::from(digit - b'0')))
            .ok_or(Refusal::bad("Content-Length is no 64-bit number")),
        _ => Err(Refusal::bad("Content-Length is not a number in digits")),
    })
}

/// Codings that are not exactly `chunked`. Rule 4: where chunked is not the last one the length
/// cannot be known, which is 400; 6.1: a coding that we do not undo, properly said and with chunked
/// last, is 501.
#[cold]
fn refuse_codings(codings: &[u8]) -> Refusal {
    let mut names = codings.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let chunked = |name: &[u8]| name.eq_ignore_ascii_case(b"chunked");
    if !names.clone().all(is_token) {
        Refusal::bad("Transfer-Encoding is not a list of codings")
    } else if !names.next_back().is_some_and(chunked) {
        Refusal::bad("Transfer-Encoding does not end in chunked")
    } else if names.any(chunked) {
        Refusal::bad("Transfer-Encoding is chunked twice")
    } else {
        Refusal::with(501, "the only transfer coding of this server is chunked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The decision as a table that is reviewed like code: every pair of values that was an attack
    /// somewhere.
    #[test]
    fn framing_table() {
        use std::fmt::Write as _;
        let codings: [Option<&str>; 12] = [
            None,
            Some("chunked"),
            Some("Chunked"),
            Some("gzip, chunked"),
            Some("gzip"),
            Some("chunked, gzip"),
            Some("chunked, chunked"),
            Some("chunked,"),
            Some(", chunked"),
            Some(""),
            Some("chunked;q=1"),
            Some("\x0bchunked"),
        ];
        let lengths = [
            None,
            Some("0"),
            Some("5"),
            Some("007"),
            Some("100"),
            Some("101"),
            Some("5,5"),
            Some("+5"),
            Some(""),
        ];
        let limits = Limits {
            body_bytes_max: 100,
            ..Limits::default()
        };
        let mut table = String::new();
        for version in [Version::Http11, Version::Http10] {
            for coding in codings {
                for length in lengths {
                    // One pair of both is as good as all.
                    if coding.is_some() && length.is_some_and(|length| length != "5") {
                        continue;
                    }
                    let told = match framing(
                        version,
                        coding.map(str::as_bytes),
                        length.map(str::as_bytes),
                        &limits,
                    ) {
                        Ok(framing) => format!("{framing:?}"),
                        Err(refusal) => refusal.to_string(),
                    };
                    let coding = coding.map_or("-".to_owned(), |coding| format!("{coding:?}"));
                    let length = length.map_or("-".to_owned(), |length| format!("{length:?}"));
                    writeln!(
                        table,
                        "{} TE {coding:<20} CL {length:<6} {told}",
                        version.as_str()
                    )
                    .expect("a string");
                }
            }
        }
        insta::with_settings!({
            snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!("http__request_framing", table) });
    }
}
