//! The head of a request, however it came: as HTTP, or as the variables of a front end. What the
//! server itself asks of it.
//!
//! Owned and `Send`; made by net, read by the worker and by the request log.

use crate::protocol::cgi::Variables;
use crate::protocol::http::{FieldKind, Framing, RequestHead};

use super::rewritten::Rewritten;

/// One head. The default is an empty one of HTTP.
#[derive(Debug)]
pub enum Head {
    /// Read from HTTP.
    Http(RequestHead),
    /// Read from uwsgi, FastCGI or SCGI.
    Variables(Variables),
    /// Read from HTTP, and changed by rules.
    Rewritten(Box<Rewritten>),
}

impl Default for Head {
    fn default() -> Self {
        Self::Http(RequestHead::default())
    }
}

impl From<RequestHead> for Head {
    fn from(head: RequestHead) -> Self {
        Self::Http(head)
    }
}

impl From<Variables> for Head {
    fn from(variables: Variables) -> Self {
        Self::Variables(variables)
    }
}

impl Head {
    /// The method as received, case kept; empty while it is not known.
    pub fn method(&self) -> &[u8] {
        match self {
            Self::Http(head) => head.method(),
            Self::Variables(variables) => variables.method(),
            Self::Rewritten(rewritten) => rewritten.variables.method(),
        }
    }

    /// The method is HEAD: the response has no body.
    pub fn is_head(&self) -> bool {
        self.method() == b"HEAD"
    }

    /// The target as the client sent it, path and query (`REQUEST_URI`). From a front end that does
    /// not say: the path.
    pub fn target(&self) -> &[u8] {
        match self {
            Self::Http(head) => head.target(),
            Self::Variables(variables) => variables
                .uri()
                .or_else(|| variables.path())
                .unwrap_or_default(),
            Self::Rewritten(rewritten) => rewritten.variables.uri().unwrap_or_default(),
        }
    }

    /// The host that was asked for, with its port if it was said.
    pub fn host(&self) -> Option<&[u8]> {
        match self {
            Self::Http(head) => head.value_of(FieldKind::Host),
            Self::Variables(variables) => variables.host(),
            Self::Rewritten(rewritten) => rewritten.variables.host(),
        }
    }

    /// What the client speaks, `HTTP/1.1`: with us, or with the front end, which may say anything.
    pub fn protocol(&self) -> &[u8] {
        match self {
            Self::Http(head) => head.version().as_str().as_bytes(),
            Self::Variables(variables) => variables.protocol().unwrap_or_default(),
            Self::Rewritten(rewritten) => rewritten.variables.protocol().unwrap_or_default(),
        }
    }

    /// The address of the front end's client; `None` where the other end of the connection is the
    /// client.
    pub fn remote_address(&self) -> Option<&[u8]> {
        match self {
            Self::Http(_) => None,
            Self::Variables(variables) => variables.remote_address(),
            Self::Rewritten(rewritten) => rewritten.variables.remote_address(),
        }
    }

    /// The user that the front end has authenticated.
    pub fn remote_user(&self) -> Option<&[u8]> {
        match self {
            Self::Http(_) => None,
            Self::Variables(variables) => variables.remote_user(),
            Self::Rewritten(rewritten) => rewritten.variables.remote_user(),
        }
    }

    /// A body may follow.
    pub fn has_body(&self) -> bool {
        match self {
            Self::Http(head) => head.framing() != Framing::Empty,
            // It may turn out to be empty.
            Self::Variables(_) => true,
            Self::Rewritten(rewritten) => rewritten.received.framing() != Framing::Empty,
        }
    }

    /// The client waits for `100 Continue`. Behind a front end that is the front end's business.
    pub fn expects_continue(&self) -> bool {
        match self {
            Self::Http(head) => head.expects_continue(),
            Self::Variables(_) => false,
            Self::Rewritten(rewritten) => rewritten.received.expects_continue(),
        }
    }

    /// Fields of the request, or variables.
    pub fn field_count(&self) -> usize {
        match self {
            Self::Http(head) => head.fields().len(),
            Self::Variables(variables) => variables.len(),
            Self::Rewritten(rewritten) => rewritten.received.fields().len() + rewritten.added,
        }
    }

    /// Bytes of the head as received.
    pub fn received_bytes(&self) -> usize {
        match self {
            Self::Http(head) => head.received_bytes(),
            Self::Variables(variables) => variables.received_bytes(),
            Self::Rewritten(rewritten) => rewritten.received.received_bytes(),
        }
    }
}
