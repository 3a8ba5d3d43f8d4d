//! Turns answered requests into records of the request log.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crossbeam::channel::Sender;

use crate::config::{LogConfig, LoggedRequests};
use crate::net::{Record, RequestLog};
use crate::os::memory;
use crate::protocol::cgi::BodyLength;
use crate::protocol::http::{FieldKind, Framing, RequestHead};
use crate::reload::event::Event;
use crate::telemetry::{self, Capture, Figures, LogWriter, MemoryUsed, RequestLines};
use crate::wsgi::Head;
use crate::wsgi::environ::decoded;

/// Writes a line for each request.
pub struct Lines {
    writer: LogWriter,
    /// The bytes that a line needs.
    captures: Box<[Capture]>,
    which: LoggedRequests,
    requests: AtomicU64,
}

impl Lines {
    /// Lines go to `writer`.
    pub fn new(writer: LogWriter, config: &LogConfig) -> Self {
        let lines = RequestLines::new(config, memory_used);
        let captures = lines.captures().into();
        writer.set_lines(lines);
        Self {
            writer,
            captures,
            which: config.which,
            requests: AtomicU64::new(0),
        }
    }
}

fn memory_used(has_shares: bool) -> MemoryUsed {
    let (resident, address_space) = memory::of_this_process();
    let (unshared, proportional) = if has_shares { memory::shares() } else { (0, 0) };
    MemoryUsed {
        resident,
        address_space,
        unshared,
        proportional,
    }
}

impl RequestLog for Lines {
    fn record(&self, record: &Record<'_>) {
        let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let notes = record.answered.notes.as_ref();
        if notes.is_some_and(|notes| notes.is_unlogged) {
            return;
        }
        // `--disable-logging`
        if !record.is_wanted && !is_logged_anyway(&self.which, record) {
            return;
        }
        let answered = record.answered;
        let summary = &answered.summary;
        let figures = Figures {
            ended: SystemTime::now(),
            worker: answered.worker,
            core: answered.core,
            application: answered.application,
            generation: answered.generation,
            worker_requests: answered.requests,
            requests,
            request_variables: variables(record),
            request_fields: record.head.field_count(),
            request_head_bytes: record.head.received_bytes(),
            request_body_bytes: body_bytes(record.head),
            status: summary.status,
            body_bytes: summary.body_bytes,
            header_count: summary.header_count,
            header_bytes: summary.header_bytes,
            pieces: summary.pieces,
            queued: answered.queued,
            gil: answered.gil,
            app: answered.app,
            sent: record.write,
            is_broken: record.broken,
            is_file: summary.is_file,
        };
        self.writer
            .append_request(figures, &self.captures, |capture, line| {
                push(record, capture, line);
            });
    }
}

/// Whether the request has a line although lines are off.
fn is_logged_anyway(which: &LoggedRequests, record: &Record<'_>) -> bool {
    let answered = record.answered;
    let summary = &answered.summary;
    let took: Duration = answered.app + record.write;
    answered.notes.as_ref().is_some_and(|notes| notes.is_wanted)
        || which.empty && summary.body_bytes == 0
        || which.slow.is_some_and(|slow| took >= slow)
        || which.client_errors && (400..500).contains(&summary.status)
        || which.server_errors && (500..600).contains(&summary.status)
        || which.big.is_some_and(|bytes| summary.body_bytes >= bytes)
        || which.files && summary.is_file
        || which.broken && record.broken
}

/// uWSGI counts the names and the values of the variables. Of an HTTP request it makes one of each
/// field, and nine more.
fn variables(record: &Record<'_>) -> usize {
    let own = match record.head {
        Head::Http(_) | Head::Rewritten(_) => 9,
        Head::Variables(_) => 0,
    };
    let notes = record.answered.notes.as_ref();
    let added = notes.map_or(0, |notes| notes.variable_count());
    2 * (own + added + record.head.field_count())
}

/// As the head announces it; 0 if it does not.
fn body_bytes(head: &Head) -> u64 {
    match (head.received(), head) {
        (Some(head), _) => match head.framing() {
            Framing::Length(bytes) => bytes,
            Framing::Empty | Framing::Chunked => 0,
        },
        (None, Head::Http(_) | Head::Rewritten(_)) => 0,
        (None, Head::Variables(variables)) => match variables.body() {
            BodyLength::Known(bytes) => bytes,
            BodyLength::Unsaid => 0,
        },
    }
}

/// Pushes the bytes of one capture.
fn push(record: &Record<'_>, capture: &Capture, line: &mut telemetry::Record) {
    let head = record.head;
    let notes = record.answered.notes.as_deref();
    line.push(match capture {
        Capture::Address => head.remote_address().unwrap_or(record.peer.address()),
        Capture::User => head.remote_user().unwrap_or_default(),
        Capture::Method => head.method(),
        Capture::Target => head.target(),
        Capture::Protocol => head.protocol(),
        Capture::Host => head.host().unwrap_or_default(),
        Capture::UserAgent => field(head, b"HTTP_USER_AGENT"),
        Capture::Referer => field(head, b"HTTP_REFERER"),
        Capture::RequestId => field(head, b"HTTP_X_REQUEST_ID"),
        Capture::TraceParent => field(head, b"HTTP_TRACEPARENT"),
        Capture::Application(name) => notes
            .and_then(|notes| notes.get(name.as_bytes()))
            .unwrap_or_default(),
        Capture::Variable(name) => {
            if let Some(value) = notes.and_then(|notes| notes.variable(name.as_bytes())) {
                value
            } else if let (b"PATH_INFO", Head::Http(http)) = (name.as_bytes(), head) {
                return line.push(&decoded(http.path()));
            } else {
                variable(record, name.as_bytes())
            }
        }
    });
}

/// A CGI variable of the request, or nothing.
fn variable<'a>(record: &Record<'a>, name: &[u8]) -> &'a [u8] {
    let Head::Http(head) = record.head else {
        return field(record.head, name);
    };
    match name {
        b"REQUEST_METHOD" => head.method(),
        b"REQUEST_URI" => head.target(),
        b"QUERY_STRING" => head.query().unwrap_or_default(),
        b"SERVER_PROTOCOL" => head.version().as_str().as_bytes(),
        b"REMOTE_ADDR" => record.peer.address(),
        b"REMOTE_PORT" => record.peer.port(),
        b"CONTENT_LENGTH" => head.value_of(FieldKind::ContentLength).unwrap_or_default(),
        b"CONTENT_TYPE" => head.value_of(FieldKind::ContentType).unwrap_or_default(),
        _ => field(record.head, name),
    }
}

/// The field of the request that a variable of CGI names, or nothing.
fn field<'a>(head: &'a Head, name: &[u8]) -> &'a [u8] {
    match head {
        Head::Variables(variables) => variables.value(name).unwrap_or_default(),
        Head::Rewritten(rewritten) => rewritten.variables().value(name).unwrap_or_default(),
        Head::Http(head) => match name.strip_prefix(b"HTTP_") {
            Some(name) => field_of(head, name),
            None => b"",
        },
    }
}

fn field_of<'a>(head: &'a RequestHead, name: &[u8]) -> &'a [u8] {
    let is_same = |field: &[u8]| {
        field.len() == name.len()
            && field.iter().zip(name).all(|(one, other)| {
                one.to_ascii_uppercase() == *other || (*one == b'-' && *other == b'_')
            })
    };
    let found = head.fields().find(|field| is_same(field.name));
    found.map_or(b"", |field| field.value)
}

/// Writes nothing.
#[cfg(test)]
pub struct Silence;

#[cfg(test)]
impl RequestLog for Silence {
    fn record(&self, _record: &Record<'_>) {}
}

/// Asks the server to stop when the first request has been answered (`--once`).
pub struct Once {
    log: Box<dyn RequestLog>,
    events: Sender<Event>,
    is_over: AtomicBool,
}

impl Once {
    /// `log` gets the requests; the stop goes to `events`.
    pub fn new(log: Box<dyn RequestLog>, events: Sender<Event>) -> Self {
        Self {
            log,
            events,
            is_over: AtomicBool::new(false),
        }
    }
}

impl RequestLog for Once {
    fn record(&self, record: &Record<'_>) {
        self.log.record(record);
        if !self.is_over.swap(true, Ordering::Relaxed) {
            // The supervisor has ended: the server stops already.
            let _gone = self.events.send(Event::stop("--once", 0));
        }
    }
}
