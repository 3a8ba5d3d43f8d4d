//! The line of one request, in the shape that uWSGI's users know.
//!
//! `[pid: 7|worker: 1.0] 127.0.0.1 () {2 fields in 78 bytes} [2026-11-21 03:50:16] GET / => generated 5 bytes
//! in 0.3 msecs (HTTP/1.1 200) 4 headers in 120 bytes (queued 0.0 msecs, sent 0.0 msecs)`

use std::io::Write as _;
use std::time::{Duration, SystemTime};

/// What the line says. All bytes are the client's or the application's own, unescaped.
#[derive(Debug)]
pub struct RequestLine<'a> {
    /// Which interpreter answered, from 1; 0: the server itself.
    pub worker: usize,
    /// Which of its threads.
    pub core: usize,
    /// The client's address; empty for a unix socket.
    pub peer: &'a [u8],
    /// Fields of the request.
    pub request_fields: usize,
    /// Bytes of the request's head.
    pub request_head_bytes: usize,
    /// `GET`, ...; empty if the request was refused before it was known.
    pub method: &'a [u8],
    /// The target as received.
    pub target: &'a [u8],
    /// `HTTP/1.1`; a front end may say anything.
    pub version: &'a [u8],
    /// Status of the response.
    pub status: u16,
    /// Body bytes of the response.
    pub body_bytes: u64,
    /// Fields of the response.
    pub header_count: usize,
    /// Bytes of the response's head.
    pub header_bytes: usize,
    /// In the queue.
    pub queued: Duration,
    /// In the application.
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
    // A Vec takes everything, so these writes cannot fail.
    let _infallible = write!(out, "[pid: {pid}|worker: {worker}.{core}] ");
    escape(line.peer, out);
    let _infallible = write!(
        out,
        " () {{{request_fields} fields in {request_head_bytes} bytes}} ["
    );
    timestamp(now, out);
    out.extend_from_slice(b"] ");
    escape(or_dash(line.method), out);
    out.push(b' ');
    escape(or_dash(line.target), out);
    let _infallible = write!(out, " => generated {body_bytes} bytes in ");
    milliseconds(line.app, out);
    out.extend_from_slice(b" (");
    escape(or_dash(line.version), out);
    let _infallible = write!(
        out,
        " {status}) {header_count} headers in {header_bytes} bytes (queued "
    );
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

/// What nobody got to know is a dash, as in other servers' logs.
fn or_dash(bytes: &[u8]) -> &[u8] {
    if bytes.is_empty() { b"-" } else { bytes }
}

/// Controls and bytes beyond ASCII as `\xNN`: a client must not be able to write lines or colours into a log.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        if (0x20..0x7f).contains(&byte) && byte != b'\\' {
            out.push(byte);
        } else {
            let _infallible = write!(out, "\\x{byte:02x}");
        }
    }
}

/// With one digit behind the point: most requests take less than a millisecond.
fn milliseconds(time: Duration, out: &mut Vec<u8>) {
    let tenths = time.as_micros() / 100;
    let _infallible = write!(out, "{}.{} msecs", tenths / 10, tenths % 10);
}

/// UTC, `2026-11-21 03:50:16`.
fn timestamp(now: SystemTime, out: &mut Vec<u8>) {
    let start = out.len();
    // `2026-11-21T03:50:16Z`
    let _infallible = write!(out, "{}", humantime::format_rfc3339_seconds(now));
    if out.last() == Some(&b'Z') {
        out.pop();
    }
    if let Some(between) = out.get_mut(start + 10) {
        *between = b' ';
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

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
