//! A request that the server sends to a newly loaded application inside its interpreter. If the
//! answer is wrong, the interpreter does not serve. Runs on the thread that made the interpreter,
//! without a socket.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use crate::config::ProbeRules;
use crate::protocol::http::response::Form;
use crate::protocol::http::{Limits, RequestHead, RequestReader, Step, Version};
use crate::python::{Call, InterpreterThread};
use crate::wsgi::environ::{Link, Peer};
use crate::wsgi::{ClientGone, Head, Mounts, RequestBody, RequestFacts, Response, Room, Sink};

pub const USER_AGENT: &str = concat!("singlemalt-probe/", env!("CARGO_PKG_VERSION"));

/// Bytes of a wrong answer's body that are logged.
const TOLD_BYTES_MAX: usize = 512;
/// Bytes of an answer that are kept: its head and the beginning of its body.
const KEPT_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub rules: ProbeRules,
    /// The listener that the request appears to come from.
    pub listener: usize,
    /// A wrong answer is logged, and the application serves.
    pub is_lenient: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    Status {
        target: String,
        status: u16,
        /// The beginning of the body, for the log.
        body: String,
    },
    BrokenOff {
        target: String,
    },
    TooLate {
        target: String,
        timeout: Duration,
    },
    Impossible {
        target: String,
        why: String,
    },
}

impl fmt::Display for Unanswered {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status {
                target,
                status,
                body,
            } => {
                write!(
                    out,
                    "the application answers GET {target} with {status} (--reload-probe)"
                )?;
                if body.is_empty() {
                    return Ok(());
                }
                write!(out, ": {body}")
            }
            Self::BrokenOff { target } => write!(
                out,
                "the application breaks off its answer to GET {target}, see above (--reload-probe)"
            ),
            Self::TooLate { target, timeout } => write!(
                out,
                "the application has not answered GET {target} within {} s (--reload-probe-timeout)",
                timeout.as_secs_f64()
            ),
            Self::Impossible { target, why } => {
                write!(out, "--reload-probe: GET {target} cannot be asked: {why}")
            }
        }
    }
}

impl Probe {
    pub(super) fn too_late(&self) -> Unanswered {
        Unanswered::TooLate {
            target: self.rules.target.clone(),
            timeout: self.rules.timeout,
        }
    }

    /// Sends the request to this interpreter's applications.
    pub(super) fn ask(
        &self,
        python: &mut InterpreterThread,
        mounts: &Mounts,
    ) -> Result<(), Unanswered> {
        let impossible = |why: &dyn fmt::Display| Unanswered::Impossible {
            target: self.rules.target.clone(),
            why: why.to_string(),
        };
        let head = self.head().map_err(|why| impossible(&why))?;
        let Some(chosen) = mounts.choose_for(&head) else {
            return Err(impossible(&"no application is mounted there"));
        };
        let date = httpdate::fmt_http_date(SystemTime::now());
        let mut response = Response::default();
        let facts = RequestFacts {
            form: Form::StatusLine,
            version: Version::Http11,
            is_head: false,
            keep_alive: false,
        };
        match date.as_bytes().try_into() {
            Ok(date) => response.reset(facts, date),
            Err(_) => return Err(impossible(&"this year has too many digits")),
        }
        let mut answer = Answer::default();
        let peer = Peer::new(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        let is_https = self.rules.target.starts_with("https://").then_some(true);
        let served = catch_unwind(AssertUnwindSafe(|| {
            python.attached(|py| {
                py.serve(Call {
                    listener: self.listener,
                    head: &head,
                    peer: &peer,
                    link: Link {
                        identity: None,
                        is_https,
                    },
                    chosen,
                    body: RequestBody::default(),
                    response: &mut response,
                    sink: &mut answer,
                })
            })
        }));
        let summary = response.summary();
        if served.is_err() || summary.aborted || summary.status == 0 {
            return Err(Unanswered::BrokenOff {
                target: self.rules.target.clone(),
            });
        }
        let will_do = match self.rules.status {
            Some(wanted) => summary.status == wanted,
            None => (200..400).contains(&summary.status),
        };
        if will_do {
            return Ok(());
        }
        Err(Unanswered::Status {
            target: self.rules.target.clone(),
            status: summary.status,
            body: answer.body(),
        })
    }

    fn head(&self) -> Result<Head, String> {
        let wire = format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n\r\n",
            self.rules.target
        );
        let mut head = RequestHead::default();
        let read = RequestReader::default().read(wire.as_bytes(), &Limits::default(), &mut head);
        match read {
            Ok((_, Step::Head | Step::End)) => Ok(Head::from(head)),
            Ok(_) => Err("it is not complete".to_owned()),
            Err(refusal) => Err(refusal.why.to_string()),
        }
    }
}

#[derive(Default)]
struct Answer(Vec<u8>);

impl Answer {
    fn keep(&mut self, bytes: &[u8]) {
        let room = KEPT_BYTES_MAX.saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The beginning of the body, on one line and without control characters.
    fn body(&self) -> String {
        const HEAD_END: &[u8] = b"\r\n\r\n";
        let end = self.0.windows(HEAD_END.len()).position(|at| at == HEAD_END);
        let body = end.map_or(&[][..], |end| &self.0[end + HEAD_END.len()..]);
        let told = &body[..body.len().min(TOLD_BYTES_MAX)];
        let words: Vec<String> = String::from_utf8_lossy(told)
            .split_whitespace()
            .map(|word| word.chars().filter(|c| !c.is_control()).collect())
            .collect();
        let mut text = words.join(" ");
        if body.len() > told.len() {
            text.push_str(" ...");
        }
        text
    }
}

impl Sink for Answer {
    fn send(&mut self, first: &[u8], second: &[u8]) -> Result<Room, ClientGone> {
        self.keep(first);
        self.keep(second);
        Ok(Room::Ready)
    }

    fn send_file(
        &mut self,
        head: &[u8],
        mut file: File,
        offset: u64,
        length: u64,
    ) -> Result<Room, ClientGone> {
        self.keep(head);
        let mut beginning = Vec::new();
        let length = length.min(KEPT_BYTES_MAX as u64);
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(length).read_to_end(&mut beginning))
            .map_err(|_| ClientGone)?;
        self.keep(&beginning);
        Ok(Room::Ready)
    }

    fn wait_for_room(&mut self) -> Result<(), ClientGone> {
        Ok(())
    }

    fn is_last(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(target: &str) -> Probe {
        Probe {
            rules: ProbeRules {
                target: target.to_owned(),
                status: None,
                timeout: Duration::from_secs(10),
            },
            listener: 0,
            is_lenient: false,
        }
    }

    #[test]
    fn requests_are_made_of_paths_and_urls() {
        let read = |target: &str| {
            let head = probe(target).head().ok()?;
            let host = head.host().unwrap_or_default().escape_ascii().to_string();
            Some((head.target().escape_ascii().to_string(), host))
        };
        let some = |target: &str, host: &str| Some((target.to_owned(), host.to_owned()));
        assert_eq!(read("/healthz?a=1"), some("/healthz?a=1", "localhost"));
        let url = "https://shop.example/up";
        assert_eq!(
            read(url).map(|(_, host)| host).as_deref(),
            Some("shop.example")
        );
        assert_eq!(read("/\u{0}"), None);
    }

    #[test]
    fn the_beginning_of_a_body_is_told() {
        let told = |body: &[u8]| {
            let mut answer = Answer::default();
            answer.keep(b"HTTP/1.1 500 Oh\r\nA: b\r\n\r\n");
            answer.keep(body);
            answer.body()
        };
        assert_eq!(told(b""), "");
        assert_eq!(
            told(b"<h1>no\r\n  database</h1>\x1b[31m\xff"),
            "<h1>no database</h1>[31m\u{fffd}"
        );
        let long = told(&[b'a'; 100_000]);
        assert_eq!(long.len(), TOLD_BYTES_MAX + " ...".len());
        assert_eq!(Answer(b"HTTP/1.1 500".to_vec()).body(), "");
    }
}
