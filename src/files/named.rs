//! Files that an application names in its response: `X-Sendfile` with a path on disk,
//! `X-Accel-Redirect` with a mapped address.
//!
//! Only files in folders configured for this are sent: a bug that lets a client choose the name
//! must not expose the disk. Paths and links follow the rules of static files. Runs on the worker.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::wsgi::environ::decoded;
use crate::wsgi::{Delivery, Response, Sink};

use super::Place;
use super::asked::Asked;
use super::condition::{Conditions, Validators};
use super::entry::{Entry, Miss, Opened};
use super::media_type::MediaTypes;
use super::path::{Rules, behind, below};
use super::root::Root;
use super::send::{Representation, SendError, send};

pub const X_SENDFILE: &str = "X-Sendfile";
pub const X_ACCEL_REDIRECT: &str = "X-Accel-Redirect";

/// The configuration of files that applications name. Made once; any thread.
#[derive(Debug, Default)]
pub struct Named {
    /// The folders of `X-Sendfile`.
    pub roots: Vec<Root>,
    /// The mapping of `X-Accel-Redirect`.
    pub places: Vec<Place>,
    pub safe: Vec<PathBuf>,
    /// For responses without a media type.
    pub media_types: MediaTypes,
}

impl Named {
    pub fn offer(self: &Arc<Self>, asked: &(impl Asked + ?Sized)) -> Box<dyn Delivery> {
        let method = asked.method();
        let is_head = method == b"HEAD";
        Box::new(Offer {
            named: Arc::clone(self),
            is_head,
            // Conditions refer to the response to GET (RFC 9110, 13.1).
            conditions: if is_head || method == b"GET" {
                Conditions::of(asked).into_owned()
            } else {
                Conditions::default()
            },
        })
    }

    fn open(&self, header: &'static str, value: &[u8]) -> Result<Opened, Miss> {
        let is_address = header == X_ACCEL_REDIRECT;
        let value = if is_address {
            value.split(|byte| *byte == b'?').next().unwrap_or_default()
        } else {
            value
        };
        let as_it_stands = if is_address {
            Err(Miss::Absent)
        } else {
            self.open_exactly(header, value)
        };
        // An address is encoded. A path may be: a header cannot hold other than ASCII otherwise.
        match as_it_stands {
            Err(Miss::Absent) if is_address || value.contains(&b'%') => {
                self.open_exactly(header, &decoded(value))
            }
            found => found,
        }
    }

    fn open_exactly(&self, header: &'static str, value: &[u8]) -> Result<Opened, Miss> {
        let mut miss = Miss::Absent;
        let mut look = |root: &Root, rest: &[u8]| {
            let names = below(rest, Rules::OWN)?;
            match root.entry(&names.names, &self.safe) {
                Ok(Entry::File(opened)) if !names.wants_folder || rest.is_empty() => Some(opened),
                Ok(_) | Err(Miss::Absent) => None,
                Err(other) => {
                    miss = other;
                    None
                }
            }
        };
        let found = if header == X_ACCEL_REDIRECT {
            self.places.iter().find_map(|place| {
                let rest = behind(&place.prefix, value)?;
                look(&place.root, if place.keeps_prefix { value } else { rest })
            })
        } else {
            let value = with_slashes(value);
            self.roots.iter().find_map(|root| {
                let folder = with_slashes(root.path().as_os_str().as_encoded_bytes());
                look(root, behind(&folder, &value)?)
            })
        };
        found.ok_or(miss)
    }
}

#[cfg(windows)]
fn with_slashes(path: &[u8]) -> Vec<u8> {
    let slash = |byte: &u8| if *byte == b'\\' { b'/' } else { *byte };
    path.iter().map(slash).collect()
}

#[cfg(not(windows))]
fn with_slashes(path: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    path.into()
}

#[derive(Debug)]
struct Offer {
    named: Arc<Named>,
    is_head: bool,
    conditions: Conditions<'static>,
}

impl Delivery for Offer {
    fn header(&self, name: &[u8]) -> Option<&'static str> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // By length first: this runs for every header.
        match name.len() {
            10 if !self.named.roots.is_empty() && is(X_SENDFILE) => Some(X_SENDFILE),
            16 if !self.named.places.is_empty() && is(X_ACCEL_REDIRECT) => Some(X_ACCEL_REDIRECT),
            _ => None,
        }
    }

    fn deliver(
        &self,
        header: &'static str,
        value: &[u8],
        response: &mut Response,
        sink: &mut dyn Sink,
    ) {
        let opened = match self.named.open(header, value) {
            Ok(opened) => opened,
            Err(miss) => {
                let (status, why) = match miss {
                    Miss::Absent => (404, "there is no such file in the folders it may name"),
                    Miss::Outside => (404, "a symbolic link leads out of them"),
                    Miss::Denied => (403, "the server may not read it"),
                    Miss::Failed(_) => (503, "the system could not open it"),
                };
                tracing::error!(
                    target: "app",
                    "{header} names {}: {why}; answering {status}",
                    value.escape_ascii()
                );
                return response.fail(status, sink);
            }
        };
        let etag = response
            .said(b"ETag")
            .map(|etag| String::from_utf8_lossy(etag).into_owned());
        let modified = response
            .said(b"Last-Modified")
            .and_then(|date| httpdate::parse_http_date(&String::from_utf8_lossy(date)).ok());
        let is_validated = etag.is_some() || modified.is_some();
        let own = Validators::of(opened.modified, opened.length, "");
        let validators = Validators {
            etag: if is_validated { etag } else { own.etag },
            modified: modified.unwrap_or(own.modified),
        };
        let media_type = match response.said(b"Content-Type") {
            Some(_) => None,
            None => Some(self.named.media_types.of(value)),
        };
        let representation = Representation {
            opened,
            validators,
            media_type,
            coding: None,
            varies: false,
            expires: None,
            is_validated,
        };
        // The application's errors and new resources are sent whole.
        let none = Conditions::default();
        let conditions = if response.status() == 200 {
            &self.conditions
        } else {
            &none
        };
        let now = SystemTime::now();
        if let Err(SendError::Head(error)) = send(
            representation,
            conditions,
            self.is_head,
            now,
            response,
            sink,
        ) {
            tracing::error!(target: "app", %error, "{header}: the file cannot be sent");
            response.fail(500, sink);
        }
    }
}
