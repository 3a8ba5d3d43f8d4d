//! Requests of the control socket: HTTP, so that curl speaks it; no bodies, no keep-alive. Pure.

use crate::os::secret::Secret;
use crate::protocol::http::{Framing, Limits, RequestHead, RequestReader, Step};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRequest {
    /// `GET /`: what can be asked.
    Index,
    /// `GET /status`
    Status,
    /// `GET /stats`: what the stats server says.
    Stats,
    /// `POST /reload`
    Reload {
        /// One interpreter after the other (`?rolling`).
        rolling: bool,
        /// ControlResponse when it is done (`?wait`).
        wait: bool,
    },
    /// `GET /reload/N`: the outcome of the reload that `POST /reload` numbered N; answers when the
    /// reload has ended, or after a while.
    Outcome(u64),
    /// `POST /rollback`: back to the version before.
    Rollback,
    /// `GET /stacks`: where every worker stands.
    Stacks,
    /// `POST /stop`
    Stop {
        /// Without waiting for requests in progress (`?now`).
        now: bool,
        /// Keep the connection open until the process is gone (`?wait`).
        wait: bool,
    },
    /// `POST /log/reopen`
    ReopenLog,
}

/// The response to `GET /`.
pub const INDEX: &[(&str, &str)] = &[
    ("GET /status", "how the server is and what its workers do"),
    ("GET /stats", "the same in uWSGI's JSON"),
    (
        "POST /reload",
        "load the application anew; ?wait answers when it is done, ?rolling one interpreter after the other",
    ),
    (
        "GET /reload/N",
        "how the reload went that POST /reload answered N to",
    ),
    (
        "POST /rollback",
        "withdraw the canary, or put the version before back in charge (--keep-previous)",
    ),
    (
        "GET /stacks",
        "what every worker does, and where it stands in Python code; takes up to a second",
    ),
    (
        "POST /stop",
        "stop; ?now without waiting for requests, ?wait keeps the connection open until the process is gone",
    ),
    ("POST /log/reopen", "open the log anew"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub status: u16,
    pub why: &'static str,
}

const fn refused(status: u16, why: &'static str) -> Refused {
    Refused { status, why }
}

/// Bytes of a request: a request line, what curl sends along, and a secret.
pub const REQUEST_BYTES_MAX: usize = 8 << 10;

/// Whether the client sends the secret, once.
fn has_secret(head: &RequestHead, secret: &Secret) -> bool {
    let mut values = head.values(b"authorization");
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    secret.is_field(value)
}

/// Reads what has arrived so far; `None` wants more. `secret`: what a client on a port must know.
pub fn read(arrived: &[u8], secret: Option<&Secret>) -> Result<Option<ControlRequest>, Refused> {
    let limits = Limits {
        head_bytes_max: REQUEST_BYTES_MAX,
        fields_max: 32,
        body_bytes_max: 0,
        ..Limits::default()
    };
    let mut head = RequestHead::default();
    let mut reader = RequestReader::default();
    let mut rest = arrived;
    loop {
        match reader.read(rest, &limits, &mut head) {
            Ok((0, Step::NeedMore)) => return Ok(None),
            Ok((consumed, Step::NeedMore)) => rest = rest.get(consumed..).unwrap_or_default(),
            Ok(_) => break,
            Err(refusal) => return Err(refused(refusal.status, refusal.why)),
        }
    }
    if secret.is_some_and(|secret| !has_secret(&head, secret)) {
        return Err(refused(
            401,
            "the secret of --control-token is missing or wrong",
        ));
    }
    if !matches!(head.framing(), Framing::Empty | Framing::Length(0)) {
        return Err(refused(413, "no request here has a body"));
    }
    meaning(&head).map(Some)
}

fn meaning(head: &RequestHead) -> Result<ControlRequest, Refused> {
    let query = head.query().unwrap_or_default();
    let mut words: Vec<&[u8]> = query
        .split(|byte| *byte == b'&')
        .filter(|word| !word.is_empty())
        .collect();
    let mut has = |wanted: &[u8]| {
        let before = words.len();
        words.retain(|word| word.strip_suffix(b"=1").unwrap_or(word) != wanted);
        words.len() < before
    };
    let path = head.path();
    let (method, ask) = match path {
        b"/" => ("GET", ControlRequest::Index),
        b"/status" => ("GET", ControlRequest::Status),
        b"/stats" => ("GET", ControlRequest::Stats),
        b"/reload" => (
            "POST",
            ControlRequest::Reload {
                rolling: has(b"rolling"),
                wait: has(b"wait"),
            },
        ),
        b"/rollback" => ("POST", ControlRequest::Rollback),
        b"/stacks" => ("GET", ControlRequest::Stacks),
        b"/stop" => (
            "POST",
            ControlRequest::Stop {
                now: has(b"now"),
                wait: has(b"wait"),
            },
        ),
        b"/log/reopen" => ("POST", ControlRequest::ReopenLog),
        _ => match path.strip_prefix(b"/reload/").map(number) {
            Some(Some(ticket)) => ("GET", ControlRequest::Outcome(ticket)),
            _ => return Err(refused(404, "there is no such command; GET / lists them")),
        },
    };
    if head.method() != method.as_bytes() {
        return Err(refused(
            405,
            "what only tells is asked by GET, what changes something by POST",
        ));
    }
    if !words.is_empty() {
        // A misspelled ?wait would be answered too early.
        return Err(refused(
            400,
            "a word behind the ? is not known; GET / lists them",
        ));
    }
    Ok(ask)
}

fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// The request line of what is asked, and all else that a client sends.
pub fn request(ask: ControlRequest, secret: Option<&Secret>) -> String {
    let flags =
        |first: &str, is_first: bool, second: &str, is_second: bool| match (is_first, is_second) {
            (true, true) => format!("?{first}&{second}"),
            (true, false) => format!("?{first}"),
            (false, true) => format!("?{second}"),
            (false, false) => String::new(),
        };
    let (method, target) = match ask {
        ControlRequest::Index => ("GET", "/".to_owned()),
        ControlRequest::Status => ("GET", "/status".to_owned()),
        ControlRequest::Stats => ("GET", "/stats".to_owned()),
        ControlRequest::Reload { rolling, wait } => (
            "POST",
            format!("/reload{}", flags("rolling", rolling, "wait", wait)),
        ),
        ControlRequest::Outcome(ticket) => ("GET", format!("/reload/{ticket}")),
        ControlRequest::Rollback => ("POST", "/rollback".to_owned()),
        ControlRequest::Stacks => ("GET", "/stacks".to_owned()),
        ControlRequest::Stop { now, wait } => {
            ("POST", format!("/stop{}", flags("now", now, "wait", wait)))
        }
        ControlRequest::ReopenLog => ("POST", "/log/reopen".to_owned()),
    };
    let secret = secret.map_or_else(String::new, |secret| {
        format!("Authorization: {}\r\n", secret.field())
    });
    format!("{method} {target} HTTP/1.1\r\nHost: control\r\n{secret}Connection: close\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: &[ControlRequest] = &[
        ControlRequest::Index,
        ControlRequest::Status,
        ControlRequest::Stats,
        ControlRequest::Reload {
            rolling: false,
            wait: false,
        },
        ControlRequest::Reload {
            rolling: true,
            wait: true,
        },
        ControlRequest::Outcome(17),
        ControlRequest::Rollback,
        ControlRequest::Stacks,
        ControlRequest::Stop {
            now: true,
            wait: false,
        },
        ControlRequest::Stop {
            now: false,
            wait: true,
        },
        ControlRequest::ReopenLog,
    ];

    #[test]
    fn what_is_written_is_read() {
        for ask in ALL {
            let text = request(*ask, None);
            assert_eq!(read(text.as_bytes(), None), Ok(Some(*ask)), "{text}");
            for length in 0..text.len() {
                assert_eq!(read(&text.as_bytes()[..length], None), Ok(None), "{text}");
            }
        }
    }

    #[test]
    fn curl_and_nc_are_understood() {
        let curl = "POST /reload?wait=1 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";
        let waits = ControlRequest::Reload {
            rolling: false,
            wait: true,
        };
        assert_eq!(read(curl.as_bytes(), None), Ok(Some(waits)));
        let curl = "POST /stop HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
        let stop = ControlRequest::Stop {
            now: false,
            wait: false,
        };
        assert_eq!(read(curl.as_bytes(), None), Ok(Some(stop)));
        assert_eq!(
            read(b"GET /status HTTP/1.0\r\n\r\n", None),
            Ok(Some(ControlRequest::Status))
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let status = |text: &str| read(text.as_bytes(), None).map_err(|refused| refused.status);
        let line = |line: &str| status(&format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(line("GET /nothing"), Err(404));
        assert_eq!(line("GET /reload"), Err(405));
        assert_eq!(line("POST /status"), Err(405));
        assert_eq!(line("GET /rollback"), Err(405));
        assert_eq!(line("POST /stacks"), Err(405));
        assert_eq!(line("POST /reload?wiat"), Err(400));
        assert_eq!(line("GET /status?wait"), Err(400));
        assert_eq!(line("GET /reload/"), Err(404));
        assert_eq!(line("GET /reload/-1"), Err(404));
        assert_eq!(line("GET /reload/99999999999999999999"), Err(404));
        assert_eq!(status("GET /status HTTP/1.1\r\n\r\n"), Err(400), "no Host");
        assert_eq!(
            status("POST /stop HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"),
            Err(413)
        );
        assert_eq!(
            status("POST /stop HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Err(413)
        );
        let long = "x".repeat(REQUEST_BYTES_MAX);
        assert_eq!(
            status(&format!("GET /status HTTP/1.1\r\nA: {long}\r\n\r\n")),
            Err(431)
        );
    }

    #[test]
    fn a_port_wants_its_secret() {
        let secret = Secret::new("0123456789abcdef0123456789abcdef\n");
        let other = Secret::new("0123456789abcdef0123456789abcdee");
        assert!(secret.is_one() && !Secret::new("").is_one() && !Secret::new("abc").is_one());
        let status =
            |text: &str| read(text.as_bytes(), Some(&secret)).map_err(|refused| refused.status);
        assert_eq!(
            status(&request(ControlRequest::Status, Some(&secret))),
            Ok(Some(ControlRequest::Status))
        );
        assert_eq!(
            status(&request(ControlRequest::Status, Some(&other))),
            Err(401)
        );
        assert_eq!(status(&request(ControlRequest::Status, None)), Err(401));
        // Who has no secret does not learn what there is, either.
        assert_eq!(status("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"), Err(401));
        let field = format!("Authorization: {}\r\n", secret.field());
        let twice = format!("GET /status HTTP/1.1\r\nHost: x\r\n{field}{field}\r\n");
        assert!(status(&twice).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _read = read(&bytes, None);
        }

        #[test]
        fn no_target_is_too_strange(target in "/[ -~]{0,60}") {
            let _read = read(format!("POST {target} HTTP/1.0\r\n\r\n").as_bytes(), None);
        }
    }
}
