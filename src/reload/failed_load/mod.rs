//! In development (`--py-autoreload`): what answers in the application's place while what was saved last does not load.
//!
//! The old version could answer, and does so in production. But whoever has just saved a file and asks wants to know what became
//! of it, and takes an answer of the version before for one of theirs. So a browser is shown the traceback on a page that gives way
//! as soon as a version loads, and everybody else gets it as plain text; both with 500. Whoever wants the old version all the same
//! says so with a cookie, until the next save.
//!
//! Tracebacks are for those who develop: for clients on this machine. Others get the old version's answer, unless
//! `--catch-exceptions` says that tracebacks may be seen. Without `--py-autoreload` nobody looks here at all.
//!
//! What failed is noted by the main thread; requests are answered by whoever polls.

mod page;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::config::Config;
use crate::files::asked::Asked;
use crate::net::{FileService, Given};
use crate::protocol::proxy::forwarded;
use crate::wsgi::environ::Peer;
use crate::wsgi::{Delivery, Head, Response, ResponseError, Sink};

/// A request with this field comes from the page, which asks whether it still tells the truth.
const POLL: &str = "Singlemalt-Poll";

/// The cookie of whoever wants the version that is loaded. Its value is the number of one failure: the next one is shown again.
const COOKIE: &str = "singlemalt-loaded";

/// A version that did not load.
#[derive(Debug)]
struct FailedLoad {
    /// No other has it, in no other process either: milliseconds since 1970.
    number: u64,
    /// What the log says: what failed in the first line, then what can be done about it, and the traceback.
    text: String,
    /// The generation that is loaded; `None` if no version has loaded yet.
    loaded: Option<u64>,
}

/// What became of the last attempt to load the application.
#[derive(Debug, Default)]
pub struct LastLoad(Mutex<Option<Arc<FailedLoad>>>);

impl LastLoad {
    /// It failed, and this generation is still loaded.
    pub fn has_failed(&self, text: String, loaded: Option<u64>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_millis() as u64);
        let mut last = self.0.lock();
        let before = last.as_ref().map_or(0, |failed| failed.number);
        *last = Some(Arc::new(FailedLoad {
            number: now.max(before + 1),
            text,
            loaded,
        }));
    }

    /// It succeeded, or somebody has decided who serves.
    pub fn is_settled(&self) {
        *self.0.lock() = None;
    }

    fn failed(&self) -> Option<Arc<FailedLoad>> {
        self.0.lock().clone()
    }
}

/// Who answers requests before they are queued: static files, and in development what is told here.
pub fn service(
    config: &Config,
    files: Option<Box<dyn FileService>>,
    last_load: &Arc<LastLoad>,
) -> Option<Box<dyn FileService>> {
    if !config.reload.watches_modules {
        return files;
    }
    Some(Box::new(Development {
        files,
        last_load: Arc::clone(last_load),
        shows_everybody: config.app.catch_exceptions,
    }))
}

struct Development {
    files: Option<Box<dyn FileService>>,
    last_load: Arc<LastLoad>,
    shows_everybody: bool,
}

impl FileService for Development {
    fn concerns(&self, head: &Head) -> bool {
        self.files
            .as_ref()
            .is_some_and(|files| files.concerns(head))
    }

    fn answer(
        &self,
        head: &Head,
        peer: &Peer,
        response: &mut Response,
        sink: &mut dyn Sink,
    ) -> Given {
        let may_see = || self.shows_everybody || is_local(head, peer);
        if head.field(POLL).is_some() && may_see() {
            let number = self.last_load.failed().map(|failed| failed.number);
            let number = number.map_or_else(String::new, |number| number.to_string());
            respond(&page::poll(&number), response, sink);
            return Given::Unlogged;
        }
        if let Some(files) = &self.files {
            let given = files.answer(head, peer, response, sink);
            if given != Given::Nothing {
                return given;
            }
        }
        let Some(failed) = self.last_load.failed().filter(|_| may_see()) else {
            return Given::Nothing;
        };
        if failed.loaded.is_some() && wants_loaded(head, failed.number) {
            return Given::Nothing;
        }
        let answer = if wants_html(head) {
            page::html(&failed, &page::nonce())
        } else {
            page::plain(&failed)
        };
        respond(&answer, response, sink);
        Given::Notice
    }

    fn offer(&self, head: &Head) -> Option<Box<dyn Delivery>> {
        self.files.as_ref().and_then(|files| files.offer(head))
    }
}

/// A complete answer.
struct Answer {
    status: &'static [u8],
    fields: Vec<(&'static [u8], Vec<u8>)>,
    body: String,
}

fn respond(answer: &Answer, response: &mut Response, sink: &mut dyn Sink) {
    let mut begin = || -> Result<(), ResponseError> {
        response.begin(answer.status)?;
        let mut fields = answer.fields.iter();
        fields.try_for_each(|(name, value)| response.header(name, value))
    };
    if let Err(error) = begin() {
        tracing::error!(%error, "the answer about a failed load cannot be sent; this is a bug");
        response.fail(500, sink);
        return;
    }
    // What the client does not take now waits in the connection; one that has gone is noticed there.
    let _sent = response.finish_with(answer.body.as_bytes(), sink);
}

/// The client is on this machine, and no proxy speaks for another one.
fn is_local(head: &Head, peer: &Peer) -> bool {
    let Head::Http(head) = head else {
        // A front end, which is there to serve others.
        return false;
    };
    let address = std::str::from_utf8(peer.address()).ok();
    let address = address.and_then(|text| text.parse::<IpAddr>().ok());
    address.is_some_and(|address| address.is_loopback())
        && !head.fields().any(|field| {
            forwarded::is_about_the_client(field.name) || field.name.eq_ignore_ascii_case(b"Via")
        })
}

/// Whether `Accept` names HTML (RFC 9110, 12.5.1). Browsers do so where a page is to be shown; a range like `*/*` does not count.
fn wants_html(head: &Head) -> bool {
    let accept = head.field("Accept").unwrap_or_default();
    accept.split(|byte| *byte == b',').any(|range| {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let is_html = parts.next().is_some_and(|media_type| {
            media_type.eq_ignore_ascii_case(b"text/html")
                || media_type.eq_ignore_ascii_case(b"application/xhtml+xml")
        });
        let is_refused = |part: &[u8]| {
            let weight = part.strip_prefix(b"q=").or(part.strip_prefix(b"Q="));
            weight.is_some_and(|weight| weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
        };
        is_html && !parts.any(is_refused)
    })
}

/// Whether the client has said that the version that is loaded is to answer while this failure is the last one.
fn wants_loaded(head: &Head, number: u64) -> bool {
    let cookies = head.field("Cookie").unwrap_or_default();
    let wanted = format!("{COOKIE}={number}");
    // Browsers separate by semicolons; several fields are joined by commas.
    cookies
        .split(|byte| matches!(byte, b';' | b','))
        .any(|cookie| cookie.trim_ascii() == wanted.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http::{Limits, RequestHead, RequestReader};

    fn head(fields: &str) -> Head {
        let wire = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let mut head = RequestHead::default();
        let read = RequestReader::default().read(wire.as_bytes(), &Limits::default(), &mut head);
        read.expect("a good request");
        Head::from(head)
    }

    #[test]
    fn browsers_want_html_and_programs_do_not() {
        let wants = |accept: &str| wants_html(&head(&format!("Accept: {accept}\r\n")));
        assert!(wants(
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
        ));
        assert!(wants("application/json, TEXT/HTML;level=1;q=0.1"));
        for programs in [
            "*/*",
            "text/*",
            "application/json",
            "text/html;q=0, */*",
            "",
        ] {
            assert!(!wants(programs), "{programs}");
        }
        assert!(!wants_html(&head("")));
        assert!(wants_html(&head("Accept: */*\r\nAccept: text/html\r\n")));
    }

    #[test]
    fn only_clients_on_this_machine_are_local() {
        let is_local = |address: &str, fields: &str| {
            let peer = Peer::of(address.parse().expect("an address"), Some(4711));
            super::is_local(&head(fields), &peer)
        };
        for address in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert!(is_local(address, ""), "{address}");
        }
        for address in ["192.0.2.1", "10.0.0.1", "2001:db8::1", "0.0.0.0"] {
            assert!(!is_local(address, ""), "{address}");
        }
        for proxied in [
            "X-Forwarded-For: ::1",
            "forwarded: for=_",
            "X-Real-Ip: 127.0.0.1",
            "Via: 1.1 a",
        ] {
            assert!(
                !is_local("127.0.0.1", &format!("{proxied}\r\n")),
                "{proxied}"
            );
        }
        assert!(
            !super::is_local(&head(""), &Peer::default()),
            "a unix socket"
        );
    }

    #[test]
    fn the_cookie_is_for_one_failure() {
        let wants = |cookie: &str| wants_loaded(&head(&format!("Cookie: {cookie}\r\n")), 17);
        assert!(wants("singlemalt-loaded=17"));
        assert!(wants("session=abc; singlemalt-loaded=17; theme=dark"));
        assert!(!wants("singlemalt-loaded=16"));
        assert!(!wants("singlemalt-loaded=170"));
        assert!(!wants("other-singlemalt-loaded=17"));
        assert!(!wants_loaded(&head(""), 17));
    }

    #[test]
    fn each_failure_has_a_number_of_its_own() {
        let last = LastLoad::default();
        assert!(last.failed().is_none());
        last.has_failed(String::from("one"), None);
        let first = last.failed().expect("it failed").number;
        last.has_failed(String::from("two"), Some(1));
        let second = last.failed().expect("it failed");
        assert!(second.number > first);
        assert_eq!((second.text.as_str(), second.loaded), ("two", Some(1)));
        last.is_settled();
        assert!(last.failed().is_none());
    }
}
