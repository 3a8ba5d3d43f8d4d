//! Values as the bytes of a line: numbers, and bytes of a client without control characters.

use std::io::Write as _;
use std::time::Duration;

pub(super) fn number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// An unknown value is a dash, as in other servers' logs.
pub(super) fn or_dash(bytes: &[u8]) -> &[u8] {
    if bytes.is_empty() { b"-" } else { bytes }
}

/// Controls and bytes beyond ASCII as `\xNN`: a client must not be able to write lines or colours
/// into a log.
pub(super) fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    let is_plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'\\';
    // Without an exit in it, so that it goes many bytes at a time: nearly all is plain.
    if bytes
        .iter()
        .fold(true, |plain, &byte| plain & is_plain(byte))
    {
        out.extend_from_slice(bytes);
        return;
    }
    for &byte in bytes {
        if is_plain(byte) {
            out.push(byte);
        } else {
            // A Vec takes everything.
            let _infallible = write!(out, "\\x{byte:02x}");
        }
    }
}

/// The inside of a JSON string: valid for any bytes. What is no UTF-8 is written as `\xNN`.
pub(super) fn escape_json(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            // A Vec takes everything.
            let _infallible = match byte {
                b'"' => out.write_all(b"\\\""),
                b'\\' => out.write_all(b"\\\\"),
                b'\n' => out.write_all(b"\\n"),
                b'\r' => out.write_all(b"\\r"),
                b'\t' => out.write_all(b"\\t"),
                0..0x20 | 0x7f => write!(out, "\\u{byte:04x}"),
                _ => {
                    out.push(byte);
                    Ok(())
                }
            };
        }
        for byte in chunk.invalid() {
            let _infallible = write!(out, "\\\\x{byte:02x}");
        }
    }
}

/// With one digit behind the point: most requests take less than a millisecond.
pub(super) fn milliseconds(time: Duration, out: &mut Vec<u8>) {
    let tenths = time.as_micros() as u64 / 100;
    number(tenths / 10, out);
    out.push(b'.');
    out.push(b'0' + (tenths % 10) as u8);
    out.extend_from_slice(b" msecs");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_escaped() {
        let mut out = Vec::new();
        escape(b"\x1b[31m\r\n", &mut out);
        assert_eq!(out, br"\x1b[31m\x0d\x0a");
    }

    #[test]
    fn any_bytes_are_a_json_string() {
        let every: Vec<u8> = (0..=255).chain("é\u{2028}".bytes()).collect();
        let mut out = vec![b'"'];
        escape_json(&every, &mut out);
        out.push(b'"');
        let read: String = serde_json::from_slice(&out).expect("a JSON string");
        assert!(read.contains("\u{1}") && read.contains("\\xff") && read.ends_with("é\u{2028}"));
        assert!(!out.iter().any(u8::is_ascii_control));
    }
}
