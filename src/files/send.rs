//! Sends one open file as the answer to one request: evaluates conditions, adds the fields, sends
//! the bytes.
//!
//! The response was begun by the server, or by an application that named the file; the
//! application's own fields are kept. Runs on the thread that owns the connection; only the first
//! read of a small file may wait.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write as _};
use std::time::SystemTime;

use crate::wsgi::{Response, ResponseError, Sink, WriteError};

use super::condition::{Conditions, Validators, Verdict, verdict};
use super::encoding::Coding;
use super::entry::Opened;
use super::range::{Ranges, Span};

/// A file, its coding and its fields.
#[derive(Debug)]
pub struct Representation<'a> {
    pub opened: Opened,
    pub validators: Validators,
    /// `None` where the application has set it.
    pub media_type: Option<&'a str>,
    pub coding: Option<Coding>,
    /// Whether to send `Vary: Accept-Encoding`.
    pub varies: bool,
    pub expires: Option<SystemTime>,
    /// The application has set `ETag` and `Last-Modified`.
    pub is_validated: bool,
}

#[derive(Debug)]
pub enum SendError {
    /// The file's name cannot stand in a head.
    Head(ResponseError),
    Write,
}

impl From<ResponseError> for SendError {
    fn from(error: ResponseError) -> Self {
        Self::Head(error)
    }
}

impl From<WriteError> for SendError {
    fn from(_gone: WriteError) -> Self {
        Self::Write
    }
}

/// Answers with the file, or with the reason why the client needs none. Ignores the room in the
/// sink: only the head is in memory.
pub fn send(
    representation: Representation<'_>,
    conditions: &Conditions<'_>,
    is_head: bool,
    now: SystemTime,
    response: &mut Response,
    sink: &mut dyn Sink,
) -> Result<(), SendError> {
    let Representation {
        opened, validators, ..
    } = &representation;
    let length = opened.length;
    let wanted = match verdict(conditions, validators, length, is_head) {
        Verdict::PreconditionFailed => return without_body(412, None, response, sink),
        Verdict::NotModified => {
            response.restate(304);
            response.remove_header(b"Content-Type");
            describe(&representation, now, response)?;
            let _room = response.finish(sink)?;
            return Ok(());
        }
        Verdict::Send(wanted) => wanted,
    };
    match wanted {
        Ranges::Unsatisfiable => {
            without_body(416, Some(format!("bytes */{length}")), response, sink)
        }
        Ranges::Whole => whole(representation, now, response, sink),
        Ranges::One(span) => {
            response.restate(206);
            describe(&representation, now, response)?;
            name_type(representation.media_type, response)?;
            response.header(b"Content-Range", content_range(span, length).as_bytes())?;
            let file = representation.opened.file;
            let _room = response.send_file(file, span.from, span.length, sink)?;
            let _room = response.finish(sink)?;
            Ok(())
        }
        Ranges::Several(spans) => several(representation, &spans, now, response, sink),
    }
}

fn whole(
    representation: Representation<'_>,
    now: SystemTime,
    response: &mut Response,
    sink: &mut dyn Sink,
) -> Result<(), SendError> {
    name_type(representation.media_type, response)?;
    describe(&representation, now, response)?;
    response.header(b"Accept-Ranges", b"bytes")?;
    let Opened { file, length, .. } = representation.opened;
    let _room = response.send_file(file, 0, length, sink)?;
    let _room = response.finish(sink)?;
    Ok(())
}

/// `multipart/byteranges` (RFC 9110, 14.6).
fn several(
    representation: Representation<'_>,
    spans: &[Span],
    now: SystemTime,
    response: &mut Response,
    sink: &mut dyn Sink,
) -> Result<(), SendError> {
    let length = representation.opened.length;
    // A descriptor for each part, before anything is sent. Pieces are sent by offset.
    let files: io::Result<Vec<File>> = spans
        .iter()
        .map(|_| representation.opened.file.try_clone())
        .collect();
    let Ok(files) = files else {
        return whole(representation, now, response, sink);
    };
    let said_type = response.remove_header(b"Content-Type");
    let said_type = said_type.as_deref();
    let media_type = said_type.or(representation.media_type.map(str::as_bytes));
    let boundary = boundary();
    let mut heads: Vec<Vec<u8>> = Vec::with_capacity(spans.len());
    for span in spans {
        let mut head = Vec::with_capacity(128);
        let line = if heads.is_empty() { "" } else { "\r\n" };
        // Writing to a Vec never fails.
        let _infallible = write!(head, "{line}--{boundary}\r\n");
        if let Some(media_type) = media_type {
            head.extend_from_slice(b"Content-Type: ");
            head.extend_from_slice(media_type);
            head.extend_from_slice(b"\r\n");
        }
        let range = content_range(*span, length);
        let _infallible = write!(head, "Content-Range: {range}\r\n\r\n");
        heads.push(head);
    }
    let tail = format!("\r\n--{boundary}--\r\n");
    let framed: usize = heads.iter().map(Vec::len).sum::<usize>() + tail.len();
    let total = spans.iter().map(|span| span.length).sum::<u64>() + framed as u64;
    response.restate(206);
    describe(&representation, now, response)?;
    let multipart = format!("multipart/byteranges; boundary={boundary}");
    response.header(b"Content-Type", multipart.as_bytes())?;
    response.header(b"Content-Length", total.to_string().as_bytes())?;
    for ((head, span), file) in heads.iter().zip(spans).zip(files) {
        let _room = response.write(head, sink)?;
        let _room = response.send_file(file, span.from, span.length, sink)?;
    }
    let _room = response.finish_with(tail.as_bytes(), sink)?;
    Ok(())
}

/// Names the file for the front end, which sends it (`file-serve-mode`).
pub fn hand_over(
    representation: &Representation<'_>,
    field: &'static str,
    name: &[u8],
    now: SystemTime,
    response: &mut Response,
    sink: &mut dyn Sink,
) -> Result<(), SendError> {
    name_type(representation.media_type, response)?;
    describe(representation, now, response)?;
    response.header(field.as_bytes(), name)?;
    let _room = response.finish(sink)?;
    Ok(())
}

fn without_body(
    status: u16,
    content_range: Option<String>,
    response: &mut Response,
    sink: &mut dyn Sink,
) -> Result<(), SendError> {
    response.restate(status);
    response.remove_header(b"Content-Type");
    if let Some(range) = content_range {
        response.header(b"Content-Range", range.as_bytes())?;
    }
    // Not `finish`: also for HEAD the length is 0.
    response.header(b"Content-Length", b"0")?;
    let _room = response.finish(sink)?;
    Ok(())
}

fn name_type(media_type: Option<&str>, response: &mut Response) -> Result<(), ResponseError> {
    match media_type {
        Some(media_type) => response.header(b"Content-Type", media_type.as_bytes()),
        None => Ok(()),
    }
}

/// The fields of 200, 206 and 304 (RFC 9110, 15.4.5).
fn describe(
    representation: &Representation<'_>,
    now: SystemTime,
    response: &mut Response,
) -> Result<(), ResponseError> {
    if let Some(coding) = representation.coding {
        response.header(b"Content-Encoding", coding.name().as_bytes())?;
    }
    if representation.varies {
        response.header(b"Vary", b"Accept-Encoding")?;
    }
    if !representation.is_validated {
        let validators = &representation.validators;
        // A future time must not be sent (RFC 9110, 8.8.2.1).
        let modified = httpdate::fmt_http_date(validators.modified.min(now));
        response.header(b"Last-Modified", modified.as_bytes())?;
        if let Some(etag) = &validators.etag {
            response.header(b"ETag", etag.as_bytes())?;
        }
    }
    if let Some(expires) = representation.expires.filter(|at| *at <= last_date()) {
        let expires = httpdate::fmt_http_date(expires);
        response.header(b"Expires", expires.as_bytes())?;
    }
    Ok(())
}

/// The end of the year 9999, the last date that fits the format.
fn last_date() -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(253_402_300_799)
}

fn content_range(span: Span, length: u64) -> String {
    format!("bytes {}-{}/{length}", span.from, span.last())
}

/// Random, so that no file can contain it.
fn boundary() -> String {
    let random = |seed: u64| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(seed);
        hasher.finish()
    };
    format!("{:016x}{:016x}", random(1), random(2))
}
