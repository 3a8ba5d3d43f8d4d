//! One open file becomes the answer to one request: what is asked for under which conditions, the
//! fields that say what it is, and the bytes of it that go out.
//!
//! The response has been begun, by the server for a file that a path leads to or by an application
//! that named one; what the application said about the file stands. Runs on the thread that holds
//! the connection; only the first read of a small file may wait.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write as _};
use std::time::SystemTime;

use crate::wsgi::{Response, ResponseError, Sink, WriteError};

use super::condition::{Conditions, Validators, Verdict, verdict};
use super::encoding::Coding;
use super::entry::Opened;
use super::range::{Ranges, Span};

/// A file as it is sent: this coding of it, under these names.
#[derive(Debug)]
pub struct Representation<'a> {
    pub opened: Opened,
    /// What `If-None-Match` and its relatives are held against.
    pub validators: Validators,
    /// `Content-Type`; `None` where the application has said it.
    pub media_type: Option<&'a str>,
    /// `Content-Encoding`
    pub coding: Option<Coding>,
    /// Another client may get another coding: `Vary: Accept-Encoding`.
    pub varies: bool,
    /// `Expires`
    pub expires: Option<SystemTime>,
    /// `ETag` and `Last-Modified` are the application's own, and there already.
    pub is_validated: bool,
}

/// Why an answer could not be given.
#[derive(Debug)]
pub enum SendError {
    /// A name on the disk that cannot stand in a head.
    Head(ResponseError),
    /// The client is gone.
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

/// Answers with the file, or says why the client needs none. Room in the sink is not checked: only
/// the head of a file's response is in memory.
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
    // A descriptor for each part, all of them before anything is said. The file was opened for this
    // request, and its place is in no one's way: pieces are sent by their offset.
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
        // Writing to a Vec never fails; the type says it could.
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

/// Names the file for a front end that sends it itself (`file-serve-mode`), which finds out length,
/// tag and ranges.
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
    // Not `finish`: to HEAD too the length is known to be 0.
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

/// What is the same for 200, 206 and 304 (RFC 9110, 15.4.5).
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
        // A time that is still to come must not be said (RFC 9110, 8.8.2.1).
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

/// The end of the year 9999: later dates do not fit into the format.
fn last_date() -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(253_402_300_799)
}

fn content_range(span: Span, length: u64) -> String {
    format!("bytes {}-{}/{length}", span.from, span.last())
}

/// Random, so that no file can contain it on purpose.
fn boundary() -> String {
    let random = |seed: u64| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(seed);
        hasher.finish()
    };
    format!("{:016x}{:016x}", random(1), random(2))
}
