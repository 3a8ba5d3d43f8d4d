//! Turns answered requests into lines of the request log.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use crossbeam::channel::Sender;

use crate::net::{Record, RequestLog};
use crate::reload::event::Event;
use crate::telemetry::{LogWriter, RequestLine, append, append_with_times};
use crate::wsgi::Head;

/// Writes a line for each request.
pub struct Lines {
    writer: LogWriter,
    pid: u32,
    /// `--log-times`
    has_times: bool,
    requests: AtomicU64,
}

impl Lines {
    /// Lines go to `writer`.
    pub fn new(writer: LogWriter, has_times: bool) -> Self {
        Self {
            writer,
            has_times,
            requests: AtomicU64::new(0),
            pid: std::process::id(),
        }
    }
}

impl RequestLog for Lines {
    fn record(&self, record: &Record<'_>) {
        let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        // `--disable-logging`
        if !record.is_wanted {
            return;
        }
        let answered = record.answered;
        let summary = &answered.summary;
        let line = RequestLine {
            worker: answered.worker,
            core: answered.core,
            application: answered.application,
            worker_requests: answered.requests,
            requests,
            peer: record
                .head
                .remote_address()
                .unwrap_or(record.peer.address()),
            user: record.head.remote_user().unwrap_or_default(),
            request_variables: variables(record.head),
            request_fields: record.head.field_count(),
            request_head_bytes: record.head.received_bytes(),
            method: record.head.method(),
            target: record.head.target(),
            version: record.head.protocol(),
            status: summary.status,
            body_bytes: summary.body_bytes,
            header_count: summary.header_count,
            header_bytes: summary.header_bytes,
            pieces: summary.pieces,
            queued: answered.queued,
            app: answered.app,
            sent: record.write,
            is_broken: record.broken,
        };
        let now = SystemTime::now();
        let format = if self.has_times {
            append_with_times
        } else {
            append
        };
        self.writer
            .append(|lines| format(&line, self.pid, now, lines));
    }
}

/// uWSGI counts the names and the values of the variables. Of an HTTP request it makes one of each
/// field, and nine more.
fn variables(head: &Head) -> usize {
    let own = match head {
        Head::Http(_) => 9,
        Head::Variables(_) => 0,
    };
    2 * (own + head.field_count())
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
