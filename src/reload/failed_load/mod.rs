//! In development (`--py-autoreload`): answers requests while the version that was saved last does
//! not load.
//!
//! In production the old version answers. In development an answer of the old version would be
//! mistaken for one of the new. So a browser gets the traceback on a page that reloads itself as
//! soon as a version loads, and other clients get it as plain text, both with status 500. A cookie
//! selects the old version until the next save.
//!
//! Only clients on this machine that ask for it by a loopback name see tracebacks; others get the old version's answer, unless
//! `--catch-exceptions` allows tracebacks for all. Without `--py-autoreload` none of this runs.
//!
//! The main thread notes failures; the thread that polls answers requests.

mod page;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use self::page::{Answer, COOKIE, FailedLoad, POLL};
use crate::config::Config;
use crate::files::asked::Asked;
use crate::net::{FileService, Given};
use crate::protocol::proxy::forwarded;
use crate::wsgi::environ::Peer;
use crate::wsgi::{Delivery, Head, Response, ResponseError, Sink};

/// The result of the last attempt to load the application.
#[derive(Debug, Default)]
pub struct LastLoad(Mutex<Option<Arc<FailedLoad>>>);

impl LastLoad {
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

    /// The load succeeded, or the operator has decided which version serves.
    pub fn is_settled(&self) {
        *self.0.lock() = None;
    }

    fn failed(&self) -> Option<Arc<FailedLoad>> {
        self.0.lock().clone()
    }
}

/// The service that answers requests before they are queued: static files, and in development the
/// page about the failed load.
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
        shows_all: config.app.catch_exceptions,
    }))
}

struct Development {
    files: Option<Box<dyn FileService>>,
    last_load: Arc<LastLoad>,
    shows_all: bool,
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
        let may_see = || self.shows_all || is_local(head, peer);
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
    // The connection keeps the rest, and notices a client that has gone.
    let _sent = response.finish_with(answer.body.as_bytes(), sink);
}

/// Whether the client is on this machine, no proxy forwards for another one, and the name that it
/// asked for is this machine's own: a page of another site can reach this address under the site's
/// name (DNS rebinding), and could read the answer.
fn is_local(head: &Head, peer: &Peer) -> bool {
    let host = head.host();
    let Some(head) = head.received() else {
        // A front end serves other clients.
        return false;
    };
    let address = std::str::from_utf8(peer.address()).ok();
    let address = address.and_then(|text| text.parse::<IpAddr>().ok());
    address.is_some_and(|address| address.is_loopback())
        && host.is_none_or(is_loopback_name)
        && !head.fields().any(|field| {
            forwarded::is_about_the_client(field.name) || field.name.eq_ignore_ascii_case(b"Via")
        })
}

/// Whether the value of a `Host` field means this machine wherever it is looked up (RFC 6761, 6.3).
/// An empty one is no site's.
fn is_loopback_name(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    if let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let address = address.parse::<IpAddr>();
        return is_port(port) && address.is_ok_and(|address| address.to_canonical().is_loopback());
    }
    let name = match host.split_once(':') {
        Some((name, port)) if is_port(&format!(":{port}")) => name,
        Some(_) => return false,
        None => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name.is_empty()
        || name == "localhost"
        || name.ends_with(".localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether this is nothing, or a colon and digits.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether `Accept` names HTML (RFC 9110, 12.5.1), as browsers do for a page. A range like `*/*`
/// does not count.
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

/// Whether the client's cookie selects the loaded version while this failure is the last one.
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
    fn only_loopback_names_are_this_machines() {
        for host in [
            "localhost",
            "localhost:8000",
            "LocalHost.",
            "app.localhost:80",
            "127.0.0.1",
            "127.1.2.3:8080",
            "[::1]",
            "[::1]:8000",
            "[::ffff:127.0.0.1]:1",
            "",
        ] {
            assert!(is_loopback_name(host.as_bytes()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "localhost:80.evil.example",
            "127.0.0.1.evil.example:8000",
            "192.0.2.1",
            "0.0.0.0",
            "[2001:db8::1]",
            "[::1].evil.example",
            "2130706433",
        ] {
            assert!(!is_loopback_name(host.as_bytes()), "{host}");
        }
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
