//! Small complete answers that are made without the application: refusals, overload, deadlines, and
//! the page of a response that failed.
//!
//! Plain text, and nothing of the request in it. Pure; called by net and by workers.

use super::added_fields::AddedFields;
use super::response_state::{HttpDate, RequestFacts};
use crate::protocol::http::response as wire;

/// A complete answer, head and page. `facts` of a request that could not be read are
/// [`UNREAD`](super::UNREAD): HTTP/1.1, and the connection closes. `added` is what every response
/// says. `retry_after` is in seconds (RFC 9110, 10.2.3): say it with 503.
pub fn canned(
    status: u16,
    facts: RequestFacts,
    retry_after: Option<u32>,
    date: &HttpDate,
    added: &AddedFields,
) -> Vec<u8> {
    let (own, html) = (page(status), added.page(status));
    let page = html.unwrap_or(own.as_bytes());
    let facts = RequestFacts {
        keep_alive: facts.keep_alive && !added.closes(),
        ..facts
    };
    let plan = wire::choose(facts, status, Some(page.len() as u64));
    let mut out = Vec::with_capacity(256 + page.len());
    begin_page(facts.form, status, html.is_some(), &mut out);
    let (has_server, has_date) = added.replaces();
    added.write(&mut out);
    let is_http = facts.form == wire::Form::Http;
    if is_http && !has_server {
        wire::field(b"Server", b"singlemalt", &mut out);
    }
    if is_http && !has_date {
        wire::date(date, &mut out);
    }
    if let Some(seconds) = retry_after {
        wire::field(b"Retry-After", seconds.to_string().as_bytes(), &mut out);
    }
    if !wire::is_bodiless(status) {
        wire::content_length(page.len() as u64, &mut out);
    }
    wire::end_head(plan, facts.form, facts.version, &mut out);
    if plan.body != wire::BodyFraming::None {
        out.extend_from_slice(page);
    }
    out
}

/// Status line and `Content-Type` of a page.
pub(super) fn begin_page(form: wire::Form, status: u16, is_html: bool, head: &mut Vec<u8>) {
    wire::status_line(
        form,
        format!("{status} {}", wire::reason(status)).as_bytes(),
        head,
    );
    let media_type: &[u8] = if is_html {
        // The page says its charset itself, as under uWSGI.
        b"text/html"
    } else {
        b"text/plain; charset=utf-8"
    };
    wire::field(b"Content-Type", media_type, head);
}

/// The page: the status, and one sentence where a person can do something with it.
pub(super) fn page(status: u16) -> String {
    let reason = wire::reason(status);
    match explanation(status) {
        "" => format!("{status} {reason}\n"),
        sentence => format!("{status} {reason}\n{sentence}\n"),
    }
}

const fn explanation(status: u16) -> &'static str {
    match status {
        400 => "The request is malformed.",
        408 => "The request took too long to arrive.",
        413 => "The body of the request is larger than this server accepts.",
        414 => "The address is longer than this server accepts.",
        431 => "The headers of the request are larger than this server accepts.",
        500 => "The application failed; its log says why.",
        503 => "The server is busy. Try again in a moment.",
        504 => "The application did not answer in time.",
        _ => "",
    }
}
