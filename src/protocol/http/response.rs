//! The response side of HTTP/1.1: how a body is delimited, and the bytes of heads and chunks.
//!
//! Pure: bytes are appended to the caller's buffer. It checks nothing that an application said;
//! names and values were checked by `wsgi::Response`, which is the only user beside the canned
//! answers. Run by the worker that answers.

use super::Version;

/// How the body of a response is delimited (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// No body is sent, whatever the application yields: HEAD, 1xx, 204, 304.
    None,
    /// As many bytes, with `Content-Length`.
    Length(u64),
    /// Chunks: HTTP/1.1 without a known length.
    Chunked,
    /// By nothing in the body: HTTP/1.0 without a known length, which ends with the connection; and
    /// a front end's protocol that says itself where a response ends.
    Unframed,
}

/// How a head begins, and whether HTTP's framing is ours to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// HTTP/1.1, with everything that belongs to a connection.
    #[default]
    Http,
    /// `HTTP/1.1 200 OK` and fields, for a front end that frames them anew: uwsgi, and the `nph`
    /// kinds of FastCGI and SCGI.
    StatusLine,
    /// `Status: 200 OK` and fields, likewise (RFC 3875, 6.3.3): FastCGI, SCGI.
    StatusField,
}

/// What decides over the framing, beside the status and the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// How the response is written down.
    pub form: Form,
    /// Of the request.
    pub version: Version,
    /// The request's method is HEAD.
    pub is_head: bool,
    /// The client wants the connection to stay, and we too.
    pub keep_alive: bool,
}

/// How a response will be framed, and whether the connection outlives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How the body is delimited.
    pub body: BodyFraming,
    /// The connection stays. False always where the body ends with it.
    pub keep_alive: bool,
}

/// Whether a status never has a body (RFC 9112, 6.3, rule 1): 1xx, 204, 304.
pub const fn is_bodiless(status: u16) -> bool {
    matches!(status, 100..=199 | 204 | 304)
}

/// Decides the framing, in the order of RFC 9112, 6.3. `length` is the body's length where it is
/// known.
pub const fn choose(exchange: Exchange, status: u16, length: Option<u64>) -> Plan {
    let Exchange {
        form,
        version,
        is_head,
        keep_alive,
    } = exchange;
    let body = match (length, form, version) {
        _ if is_head || is_bodiless(status) => BodyFraming::None,
        (Some(length), ..) => BodyFraming::Length(length),
        (None, Form::StatusLine | Form::StatusField, _) => BodyFraming::Unframed,
        (None, Form::Http, Version::Http11) => BodyFraming::Chunked,
        (None, Form::Http, Version::Http10) => {
            return Plan {
                body: BodyFraming::Unframed,
                keep_alive: false,
            };
        }
    };
    Plan { body, keep_alive }
}

/// Whether a field of this name is about one connection, which is the server's: the list of
/// wsgiref.util.is_hop_by_hop, which PEP 3333 points to, with RFC 9110's spelling of `Trailer` and
/// with `Proxy-Connection`. `Connection` itself is not among them: an application may close.
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    // By length first: most names are compared with nothing at all.
    match name.len() {
        2 => is("te"),
        7 => is("upgrade") || is("trailer"),
        8 => is("trailers"),
        10 => is("keep-alive"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        18 => is("proxy-authenticate"),
        19 => is("proxy-authorization"),
        _ => false,
    }
}

/// The interim answer to `Expect: 100-continue`, complete.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Ends a chunked body; there are never trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// Follows the data of every chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// Bytes of a `Date` value (RFC 9110, 5.6.7).
pub const DATE_BYTES: usize = 29;

/// The status line. `status` is code and reason (`200 OK`), checked. Always HTTP/1.1, also for an
/// HTTP/1.0 request: the version is the server's own (RFC 9110, 6.2). Or the field that says the
/// same.
pub fn status_line(form: Form, status: &[u8], out: &mut Vec<u8>) {
    out.reserve(256);
    out.extend_from_slice(match form {
        Form::Http | Form::StatusLine => b"HTTP/1.1 ",
        Form::StatusField => b"Status: ",
    });
    out.extend_from_slice(status);
    out.extend_from_slice(b"\r\n");
}

/// One field line; name and value are checked.
pub fn field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// `Date`, from a value as [`httpdate`] writes it.
pub fn date(value: &[u8; DATE_BYTES], out: &mut Vec<u8>) {
    field(b"Date", value, out);
}

/// `Content-Length`.
pub fn content_length(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Content-Length: ");
    decimal(length, out);
    out.extend_from_slice(b"\r\n");
}

/// What the plan itself has to say, and the empty line: the last call of a head. `Content-Length`
/// is the caller's ([`content_length`]): it knows whether the application sent its own.
pub fn end_head(plan: Plan, form: Form, version: Version, out: &mut Vec<u8>) {
    if form != Form::Http {
        out.extend_from_slice(b"\r\n");
        return;
    }
    if plan.body == BodyFraming::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    // RFC 9112, 9.3: 1.1 stays unless told otherwise, 1.0 leaves unless told otherwise. `close` is
    // said to both, so that no proxy between us keeps a 1.0 connection by mistake.
    out.extend_from_slice(match (plan.keep_alive, version) {
        (true, Version::Http11) => b"\r\n".as_slice(),
        (true, Version::Http10) => b"Connection: keep-alive\r\n\r\n",
        (false, _) => b"Connection: close\r\n\r\n",
    });
}

/// The size line of a chunk. `length` must not be 0: that would end the body.
pub fn chunk_prefix(length: usize, out: &mut Vec<u8>) {
    debug_assert_ne!(length, 0, "an empty chunk is the last one");
    let mut digits = [0; 16];
    let mut at = digits.len();
    let mut rest = length;
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// A number in decimal digits, without the formatting machinery: it is in every response.
fn decimal(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The reason phrase of a status that the server itself sends or a person may read; `Unknown` for
/// others (IANA HTTP Status Code Registry).
pub const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        511 => "Network Authentication Required",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole decision, as a table that is reviewed like code.
    #[test]
    fn framing_table() {
        use std::fmt::Write as _;
        let mut table = String::from("request    status length   body         connection\n");
        for version in [Version::Http11, Version::Http10] {
            for (is_head, keep_alive) in [(false, true), (false, false), (true, true)] {
                for status in [200, 304] {
                    for length in [Some(0), Some(5), None] {
                        let plan = choose(
                            Exchange {
                                form: Form::Http,
                                version,
                                is_head,
                                keep_alive,
                            },
                            status,
                            length,
                        );
                        writeln!(
                            table,
                            "{} {:<5} {status:<6} {:<8} {:<12} {}",
                            if is_head { "HEAD" } else { "GET " },
                            format!(
                                "{}{}",
                                &version.as_str()[5..],
                                if keep_alive { "+" } else { "-" }
                            ),
                            length.map_or("unknown".to_owned(), |length: u64| length.to_string()),
                            format!("{:?}", plan.body),
                            if plan.keep_alive { "stays" } else { "closes" },
                        )
                        .expect("a string");
                    }
                }
            }
        }
        insta::with_settings!({
            snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!("http__response_framing", table) });
    }

    /// RFC 9112, 6.3, rule 1.
    #[test]
    fn statuses_without_a_body() {
        let bodiless: Vec<u16> = (100..600).filter(|&status| is_bodiless(status)).collect();
        assert_eq!(bodiless, (100..200).chain([204, 304]).collect::<Vec<u16>>());
    }

    fn head(plan: Plan, version: Version) -> String {
        let mut out = Vec::new();
        status_line(Form::Http, b"200 OK", &mut out);
        date(b"Sun, 06 Nov 1994 08:49:37 GMT", &mut out);
        field(b"Content-Type", b"text/plain", &mut out);
        if let BodyFraming::Length(length) = plan.body {
            content_length(length, &mut out);
        }
        end_head(plan, Form::Http, version, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn heads() {
        let front = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n";
        for (body, keep_alive, version, rest) in [
            (
                BodyFraming::Length(1234567890),
                true,
                Version::Http11,
                "Content-Length: 1234567890\r\n\r\n",
            ),
            (
                BodyFraming::Length(0),
                false,
                Version::Http11,
                "Content-Length: 0\r\nConnection: close\r\n\r\n",
            ),
            (
                BodyFraming::Length(u64::MAX),
                true,
                Version::Http10,
                "Content-Length: 18446744073709551615\r\nConnection: keep-alive\r\n\r\n",
            ),
            (
                BodyFraming::Chunked,
                true,
                Version::Http11,
                "Transfer-Encoding: chunked\r\n\r\n",
            ),
            (
                BodyFraming::Chunked,
                false,
                Version::Http11,
                "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
            ),
            (
                BodyFraming::Unframed,
                false,
                Version::Http10,
                "Connection: close\r\n\r\n",
            ),
            (BodyFraming::None, true, Version::Http11, "\r\n"),
        ] {
            assert_eq!(
                head(Plan { body, keep_alive }, version),
                format!("{front}{rest}")
            );
        }
    }

    /// Neither chunks nor `Connection`: both are the front end's. Where the response ends the
    /// protocol says, so a connection that it keeps stays.
    #[test]
    fn a_front_end_frames_responses_itself() {
        for form in [Form::StatusLine, Form::StatusField] {
            for keep_alive in [false, true] {
                let exchange = Exchange {
                    form,
                    version: Version::Http11,
                    is_head: false,
                    keep_alive,
                };
                let plan = choose(exchange, 200, None);
                let body = BodyFraming::Unframed;
                assert_eq!(plan, Plan { body, keep_alive });
                let mut out = Vec::new();
                status_line(form, b"200 OK", &mut out);
                end_head(plan, form, exchange.version, &mut out);
                let first: &[u8] = match form {
                    Form::StatusField => b"Status: 200 OK\r\n\r\n",
                    _ => b"HTTP/1.1 200 OK\r\n\r\n",
                };
                assert_eq!(out, first);
                assert_eq!(choose(exchange, 204, None).body, BodyFraming::None);
            }
        }
    }

    #[test]
    fn chunk_sizes_are_hex() {
        for length in [1, 9, 10, 15, 16, 255, 4096, 65_535, 1 << 20, usize::MAX] {
            let mut out = Vec::new();
            chunk_prefix(length, &mut out);
            assert_eq!(out, format!("{length:x}\r\n").into_bytes());
        }
    }

    #[test]
    fn dates_have_the_size_that_is_promised() {
        let text = httpdate::fmt_http_date(std::time::SystemTime::UNIX_EPOCH);
        assert_eq!(text.len(), DATE_BYTES);
    }
}
