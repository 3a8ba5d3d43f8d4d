//! One field line (RFC 9112, 5), read strictly and told plainly: why a line is refused, and the
//! rule for trailers.
//!
//! Heads are read by httparse, which is faster and answers yes or no; this is asked where the
//! answer was no, and for the lines of a trailer section. A property test holds the two to the same
//! verdict. Pure; any thread.

use super::Refusal;
use super::name::is_token_byte;

/// Reads a field line, given without its line end: name and value.
pub(super) fn field_line(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if let [b' ' | b'\t', ..] = line {
        return Err(Refusal::bad(
            "a field line begins with a space (folded line)",
        ));
    }
    let end = line
        .iter()
        .position(|&byte| !is_token_byte(byte))
        .unwrap_or(line.len());
    let value = match line.get(end..).unwrap_or_default() {
        [b':', ..] if end == 0 => return Err(Refusal::bad("a field has no name")),
        [b':', value @ ..] => value,
        [b' ' | b'\t', ..] => {
            return Err(Refusal::bad(
                "whitespace in a field name or before its colon",
            ));
        }
        [] => return Err(Refusal::bad("a field line has no colon")),
        _ => return Err(Refusal::bad("a field name is not a token")),
    };
    match value.iter().find(|&&byte| is_control(byte)) {
        None => Ok((&line[..end], trim(value))),
        Some(0) => Err(Refusal::bad("a NUL in a field value")),
        Some(b'\r') => Err(Refusal::bad("a bare CR in a field value")),
        Some(_) => Err(Refusal::bad("a control byte in a field value")),
    }
}

/// Controls that no value may have: all but the tab (RFC 9110, 5.5).
const fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=8 | 10..=31 | 127)
}

/// Takes the optional whitespace away: spaces and tabs only (RFC 9110, 5.6.3).
fn trim(value: &[u8]) -> &[u8] {
    let solid = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = value.iter().position(solid).unwrap_or(value.len());
    let end = value.iter().rposition(solid).map_or(start, |last| last + 1);
    &value[start..end]
}

/// Checks one line of a trailer section. Trailers are dropped (RFC 9110, 6.5.1), also those that
/// would matter in a head; but fields that frame a body are an attack or a fault, and are refused
/// (gunicorn and gevent had their CVEs here).
pub(super) fn trailer_line(line: &[u8]) -> Result<(), Refusal> {
    let (name, _) = field_line(line)?;
    let frames = FRAMING.iter().any(|one| name.eq_ignore_ascii_case(one));
    if frames {
        Err(Refusal::bad("a framing field in a trailer section"))
    } else {
        Ok(())
    }
}

const FRAMING: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];
