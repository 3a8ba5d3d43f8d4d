//! Turns answered requests into lines of the request log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crossbeam::channel::Sender;

use crate::net::{Record, RequestLog};
use crate::reload::event::Event;
use crate::telemetry::{LogWriter, RequestLine, append};

/// Writes a line for each request.
pub struct Lines {
    writer: LogWriter,
    pid: u32,
}

impl Lines {
    /// Lines go to `writer`.
    pub fn new(writer: LogWriter) -> Self {
        Self {
            writer,
            pid: std::process::id(),
        }
    }
}

impl RequestLog for Lines {
    fn record(&self, record: &Record<'_>) {
        // `--disable-logging`
        if !record.is_wanted {
            return;
        }
        let answered = record.answered;
        let summary = &answered.summary;
        let line = RequestLine {
            worker: answered.worker,
            core: answered.core,
            peer: record
                .head
                .remote_address()
                .unwrap_or(record.peer.address()),
            request_fields: record.head.field_count(),
            request_head_bytes: record.head.received_bytes(),
            method: record.head.method(),
            target: record.head.target(),
            version: record.head.protocol(),
            status: summary.status,
            body_bytes: summary.body_bytes,
            header_count: summary.header_count,
            header_bytes: summary.header_bytes,
            queued: answered.queued,
            app: answered.app,
            sent: record.write,
            is_broken: record.broken,
        };
        let now = SystemTime::now();
        self.writer
            .append(|lines| append(&line, self.pid, now, lines));
    }
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
