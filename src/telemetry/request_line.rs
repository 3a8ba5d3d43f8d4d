//! The line of one request: uWSGI's, which fail2ban, GoAccess and log shippers know, or one with the
//! times that uWSGI has not (`--log-times`).
//!
//! `[pid: 7|app: 0|req: 1/3] 127.0.0.1 () {24 vars in 244 bytes} [Mon Nov 30 10:45:39 2026] GET / =>
//! generated 5 bytes in 0 msecs (HTTP/1.1 200) 1 headers in 45 bytes (1 switches on core 0)`
//!
//! `[pid: 7|worker: 1.0] 127.0.0.1 () {2 fields in 78 bytes} [Mon Nov 30 10:45:39 2026] GET / =>
//! generated 5 bytes in 0.3 msecs (HTTP/1.1 200) 4 headers in 120 bytes (queued 0.0 msecs, sent 0.0
//! msecs)`

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use super::local_time::append_time;

/// What the line says. All bytes are the client's or the application's own, unescaped.
#[derive(Debug)]
pub struct RequestLine<'a> {
    /// Which interpreter answered, from 1; 0: the server itself.
    pub worker: usize,
    pub core: usize,
    /// The number of the application; `None`: the server answered by itself.
    pub application: Option<usize>,
    /// Requests that the interpreter has answered.
    pub worker_requests: u64,
    /// Requests that the server has answered.
    pub requests: u64,
    /// The client's address; empty for a unix socket.
    pub peer: &'a [u8],
    /// The user that the front end has authenticated.
    pub user: &'a [u8],
    pub request_fields: usize,
    /// Names and values of the CGI variables that uWSGI makes of the request.
    pub request_variables: usize,
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
    /// Pieces of the body that the application gave.
    pub pieces: usize,
    pub queued: Duration,
    pub app: Duration,
    /// From the application's end to the last byte.
    pub sent: Duration,
    /// The client went away before the last byte.
    pub is_broken: bool,
}

/// Appends uWSGI's line for a request that was answered at `now`.
pub fn append(line: &RequestLine<'_>, pid: u32, now: SystemTime, out: &mut Vec<u8>) {
    out.extend_from_slice(b"[pid: ");
    number(pid, out);
    match line.application {
        Some(application) => {
            out.extend_from_slice(b"|app: ");
            number(application, out);
            out.extend_from_slice(b"|req: ");
            number(line.worker_requests, out);
        }
        None => out.extend_from_slice(b"|app: -1|req: -1"),
    }
    out.push(b'/');
    number(line.requests, out);
    client(line, out);
    number(line.request_variables, out);
    out.extend_from_slice(b" vars in ");
    let took = line.app + line.sent;
    let began = now.checked_sub(line.queued + took).unwrap_or(now);
    request(line, began, out);
    number(took.as_millis(), out);
    out.extend_from_slice(b" msecs");
    response(line, out);
    number(line.pieces, out);
    out.extend_from_slice(b" switches on core ");
    number(line.core, out);
    out.extend_from_slice(b")\n");
}

/// Appends the line with the times that the request was queued and sent.
pub fn append_with_times(line: &RequestLine<'_>, pid: u32, now: SystemTime, out: &mut Vec<u8>) {
    out.extend_from_slice(b"[pid: ");
    number(pid, out);
    out.extend_from_slice(b"|worker: ");
    number(line.worker, out);
    out.push(b'.');
    number(line.core, out);
    client(line, out);
    number(line.request_fields, out);
    out.extend_from_slice(b" fields in ");
    request(line, now, out);
    milliseconds(line.app, out);
    response(line, out);
    out.extend_from_slice(b"queued ");
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

fn client(line: &RequestLine<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"] ");
    escape(line.peer, out);
    out.extend_from_slice(b" (");
    escape(line.user, out);
    out.extend_from_slice(b") {");
}

fn request(line: &RequestLine<'_>, time: SystemTime, out: &mut Vec<u8>) {
    number(line.request_head_bytes, out);
    out.extend_from_slice(b" bytes} [");
    append_time(time, out);
    out.extend_from_slice(b"] ");
    escape(or_dash(line.method), out);
    out.push(b' ');
    escape(or_dash(line.target), out);
    out.extend_from_slice(b" => generated ");
    number(line.body_bytes, out);
    out.extend_from_slice(b" bytes in ");
}

fn response(line: &RequestLine<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b" (");
    escape(or_dash(line.version), out);
    out.push(b' ');
    number(line.status, out);
    out.extend_from_slice(b") ");
    number(line.header_count, out);
    out.extend_from_slice(b" headers in ");
    number(line.header_bytes, out);
    out.extend_from_slice(b" bytes (");
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

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: RequestLine<'_> = RequestLine {
        worker: 2,
        core: 1,
        application: Some(0),
        worker_requests: 3,
        requests: 12,
        peer: b"127.0.0.1",
        user: b"ann",
        request_fields: 3,
        request_variables: 24,
        request_head_bytes: 78,
        method: b"GET",
        target: b"/caf\xc3\xa9?a=\\1",
        version: b"HTTP/1.1",
        status: 200,
        body_bytes: 5,
        header_count: 4,
        header_bytes: 120,
        pieces: 1,
        queued: Duration::from_micros(40),
        app: Duration::from_micros(1_260),
        sent: Duration::ZERO,
        is_broken: false,
    };

    /// The time depends on the machine's zone.
    fn text(
        append: fn(&RequestLine<'_>, u32, SystemTime, &mut Vec<u8>),
        line: &RequestLine<'_>,
    ) -> String {
        let mut out = Vec::new();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        append(line, 7, now, &mut out);
        let mut text = String::from_utf8_lossy(&out).into_owned();
        let at = text
            .find('[')
            .and_then(|_| text.rfind('['))
            .expect("a time");
        text.replace_range(at + 1..at + 25, "ctime");
        text
    }

    #[test]
    fn the_line_is_uwsgis() {
        assert_eq!(
            text(append, &LINE),
            "[pid: 7|app: 0|req: 3/12] 127.0.0.1 (ann) {24 vars in 78 bytes} [ctime] \
             GET /caf\\xc3\\xa9?a=\\x5c1 => generated 5 bytes in 1 msecs (HTTP/1.1 200) \
             4 headers in 120 bytes (1 switches on core 1)\n"
        );
        let own = RequestLine {
            application: None,
            worker: 0,
            core: 0,
            pieces: 0,
            ..LINE
        };
        assert!(text(append, &own).starts_with("[pid: 7|app: -1|req: -1/12] "));
    }

    #[test]
    fn the_other_line_has_times() {
        assert_eq!(
            text(append_with_times, &LINE),
            "[pid: 7|worker: 2.1] 127.0.0.1 (ann) {3 fields in 78 bytes} [ctime] \
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
