//! JSON objects, one in each line (`--log-json`), with the names of the Elastic Common Schema. Valid
//! for any bytes of a client.

use std::time::SystemTime;

use super::record::{Capture, Record};
use super::text::{escape_json, number};

/// What a request line needs, in the order of these places.
pub(super) const CAPTURES: [Capture; 10] = [
    Capture::Method,
    Capture::Target,
    Capture::Protocol,
    Capture::Address,
    Capture::Host,
    Capture::UserAgent,
    Capture::Referer,
    Capture::User,
    Capture::RequestId,
    Capture::TraceParent,
];
/// Their names. Empty values are left out.
const NAMES: [&str; CAPTURES.len()] = [
    "http.request.method",
    "url.original",
    "http.version",
    "client.address",
    "url.domain",
    "user_agent.original",
    "http.request.referrer",
    "user.name",
    "http.request.id",
    "trace.parent",
];
const PROTOCOL: usize = 2;

/// Appends the line of a request.
pub(super) fn append_request(record: &Record, pid: u32, out: &mut Vec<u8>) {
    let figures = &record.figures;
    let level = if figures.status >= 500 {
        "error"
    } else {
        "info"
    };
    begin(figures.ended, level, "singlemalt.access", pid, out);
    for (place, name) in NAMES.iter().enumerate() {
        let mut value = record.captured(place);
        if place == PROTOCOL {
            value = value.strip_prefix(b"HTTP/").unwrap_or(value);
        }
        if !value.is_empty() {
            text(name, value, out);
        }
    }
    key("http.response.status_code", out);
    number(figures.status, out);
    key("http.response.body.bytes", out);
    number(figures.body_bytes, out);
    // Nanoseconds, as the schema has it.
    key("event.duration", out);
    number(figures.took().as_nanos(), out);
    key("singlemalt.queued_micros", out);
    number(figures.queued.as_micros(), out);
    key("singlemalt.sent_micros", out);
    number(figures.sent.as_micros(), out);
    if figures.worker > 0 {
        key("singlemalt.worker", out);
        number(figures.worker, out);
        key("singlemalt.generation", out);
        number(figures.generation, out);
    }
    if figures.is_broken {
        key("singlemalt.client_gone", out);
        out.extend_from_slice(b"true");
    }
    out.extend_from_slice(b"}\n");
}

/// Where a text comes from.
#[derive(Clone, Copy)]
pub(super) enum Dataset {
    /// A message of the server.
    Server,
    /// The application wrote it.
    Application,
}

/// Appends a line of text. `worker`: the worker whose thread wrote it.
pub(super) fn append_message(
    level: &str,
    dataset: Dataset,
    worker: Option<&str>,
    message: &[u8],
    out: &mut Vec<u8>,
) {
    let name = match dataset {
        Dataset::Server => "singlemalt.log",
        Dataset::Application => "singlemalt.app",
    };
    begin(SystemTime::now(), level, name, std::process::id(), out);
    if let Some(worker) = worker {
        key("singlemalt.worker", out);
        out.extend_from_slice(worker.as_bytes());
    }
    text("message", message, out);
    out.extend_from_slice(b"}\n");
}

/// The number of the worker whose thread this is.
pub(super) fn worker_of_this_thread() -> Option<String> {
    let thread = std::thread::current();
    let (worker, _core) = thread.name()?.strip_prefix("worker ")?.split_once('.')?;
    worker
        .parse::<usize>()
        .ok()
        .map(|worker| worker.to_string())
}

fn begin(time: SystemTime, level: &str, dataset: &str, pid: u32, out: &mut Vec<u8>) {
    use std::io::Write as _;
    let time = humantime::format_rfc3339_millis(time);
    // A Vec takes everything.
    let _infallible = write!(
        out,
        "{{\"@timestamp\":\"{time}\",\"log.level\":\"{level}\",\"event.dataset\":\"{dataset}\",\
         \"process.pid\":{pid}"
    );
}

fn key(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(name: &str, value: &[u8], out: &mut Vec<u8>) {
    key(name, out);
    out.push(b'"');
    escape_json(value, out);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::record::tests::{FIGURES, record};

    #[test]
    fn a_request_is_one_object_whatever_the_client_sent() {
        let every: Vec<u8> = (0..=255).collect();
        let captured: Vec<&[u8]> = CAPTURES.iter().map(|_| &every[..]).collect();
        let mut out = Vec::new();
        append_request(&record(FIGURES, &captured), 7, &mut out);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        let read: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(read["@timestamp"], "2001-09-09T01:46:40.000Z");
        assert_eq!(read["event.duration"], 1_260_000);
        assert!(
            read["url.original"]
                .as_str()
                .expect("text")
                .contains("\\xff")
        );
    }

    #[test]
    fn empty_values_are_left_out() {
        let mut out = Vec::new();
        append_request(&record(FIGURES, &[b"GET", b"/", b"HTTP/1.1"]), 7, &mut out);
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("\"http.version\":\"1.1\",\"http.response.status_code\":200,"));
    }
}
