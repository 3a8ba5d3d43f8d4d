//! The line of one request, in the shape that uWSGI's users know.
//!
//! `[pid: 7|worker: 1.0] 127.0.0.1 () {2 fields in 78 bytes} [2026-11-21 03:50:16] GET / =>
//! generated 5 bytes in 0.3 msecs (HTTP/1.1 200) 4 headers in 120 bytes (queued 0.0 msecs, sent 0.0
//! msecs)`

use std::cell::Cell;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the line says. All bytes are the client's or the application's own, unescaped.
#[derive(Debug)]
pub struct RequestLine<'a> {
    /// Which interpreter answered, from 1; 0: the server itself.
    pub worker: usize,
    pub core: usize,
    /// The client's address; empty for a unix socket.
    pub peer: &'a [u8],
    pub request_fields: usize,
    pub request_head_bytes: usize,
    /// `GET`, ...; empty if the request was refused before it was known.
    pub method: &'a [u8],
    pub target: &'a [u8],
    /// `HTTP/1.1`; a front end may say anything.
    pub version: &'a [u8],
    pub status: u16,
    pub body_bytes: u64,
    pub header_count: usize,
    pub header_bytes: usize,
    pub queued: Duration,
    pub app: Duration,
    /// From the application's end to the last byte.
    pub sent: Duration,
    /// The client went away before the last byte.
    pub is_broken: bool,
}

/// Appends the line for a request that was answered at `now`.
pub fn append(line: &RequestLine<'_>, pid: u32, now: SystemTime, out: &mut Vec<u8>) {
    let RequestLine {
        worker,
        core,
        request_fields,
        request_head_bytes,
        status,
        body_bytes,
        header_count,
        header_bytes,
        ..
    } = line;
    out.extend_from_slice(b"[pid: ");
    number(pid, out);
    out.extend_from_slice(b"|worker: ");
    number(*worker, out);
    out.push(b'.');
    number(*core, out);
    out.extend_from_slice(b"] ");
    escape(line.peer, out);
    out.extend_from_slice(b" () {");
    number(*request_fields, out);
    out.extend_from_slice(b" fields in ");
    number(*request_head_bytes, out);
    out.extend_from_slice(b" bytes} [");
    timestamp(now, out);
    out.extend_from_slice(b"] ");
    escape(or_dash(line.method), out);
    out.push(b' ');
    escape(or_dash(line.target), out);
    out.extend_from_slice(b" => generated ");
    number(*body_bytes, out);
    out.extend_from_slice(b" bytes in ");
    milliseconds(line.app, out);
    out.extend_from_slice(b" (");
    escape(or_dash(line.version), out);
    out.push(b' ');
    number(*status, out);
    out.extend_from_slice(b") ");
    number(*header_count, out);
    out.extend_from_slice(b" headers in ");
    number(*header_bytes, out);
    out.extend_from_slice(b" bytes (queued ");
    milliseconds(line.queued, out);
    out.extend_from_slice(b", sent ");
    milliseconds(line.sent, out);
    let end: &[u8] = if line.is_broken {
        b") (client gone)\n"
    } else {
        b")\n"
    };
    out.extend_from_slice(end);
}

fn number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// An unknown value is a dash, as in other servers' logs.
fn or_dash(bytes: &[u8]) -> &[u8] {
    if bytes.is_empty() { b"-" } else { bytes }
}

/// Controls and bytes beyond ASCII as `\xNN`: a client must not be able to write lines or colours
/// into a log.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
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

/// With one digit behind the point: most requests take less than a millisecond.
fn milliseconds(time: Duration, out: &mut Vec<u8>) {
    let tenths = time.as_micros() as u64 / 100;
    number(tenths / 10, out);
    out.push(b'.');
    out.push(b'0' + (tenths % 10) as u8);
    out.extend_from_slice(b" msecs");
}

/// `2026-11-21 03:50:16`
type Stamp = [u8; 19];

/// UTC, to the second. The text is made once a second by each thread that needs it.
fn timestamp(now: SystemTime, out: &mut Vec<u8>) {
    thread_local! {
        static LAST: Cell<(u64, Stamp)> = const { Cell::new((u64::MAX, [0; 19])) };
    }
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (made, mut stamp) = LAST.get();
    if made != second {
        stamp = stamp_of(second);
        LAST.set((second, stamp));
    }
    out.extend_from_slice(&stamp);
}

fn stamp_of(second: u64) -> Stamp {
    let mut stamp = *b"0000-00-00 00:00:00";
    let mut room = &mut stamp[..];
    // `2026-11-21T03:50:16Z`: what finds no room is the Z, and years that have five digits.
    let _cut = write!(
        room,
        "{}",
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(second))
    );
    stamp[10] = b' ';
    stamp
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_reads_like_uwsgis() {
        let mut out = Vec::new();
        append(
            &RequestLine {
                worker: 2,
                core: 1,
                peer: b"127.0.0.1",
                request_fields: 3,
                request_head_bytes: 78,
                method: b"GET",
                target: b"/caf\xc3\xa9?a=\\1",
                version: b"HTTP/1.1",
                status: 200,
                body_bytes: 5,
                header_count: 4,
                header_bytes: 120,
                queued: Duration::from_micros(40),
                app: Duration::from_micros(1_260),
                sent: Duration::ZERO,
                is_broken: false,
            },
            7,
            UNIX_EPOCH + Duration::from_secs(1_000_000_000),
            &mut out,
        );
        assert_eq!(
            String::from_utf8_lossy(&out),
            "[pid: 7|worker: 2.1] 127.0.0.1 () {3 fields in 78 bytes} [2001-09-09 01:46:40] \
             GET /caf\\xc3\\xa9?a=\\x5c1 => generated 5 bytes in 1.2 msecs (HTTP/1.1 200) \
             4 headers in 120 bytes (queued 0.0 msecs, sent 0.0 msecs)\n"
        );
    }

    #[test]
    fn a_refused_request_has_a_line_too() {
        let mut out = Vec::new();
        escape(b"\x1b[31m\r\n", &mut out);
        assert_eq!(out, br"\x1b[31m\x0d\x0a");
    }
}
