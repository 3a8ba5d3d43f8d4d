//! What uwsgi, FastCGI and SCGI have in common: a request that a front end has read already and
//! passes on as variables (RFC 3875, CGI/1.1). No I/O, no clock, no Python.
//!
//! In reading order:
//! - [`Variables`]: one request, its bytes once, and where everything lies in them;
//! - [`KnownBody`]: a body of which `CONTENT_LENGTH` says the length;
//! - [`Step`]: what a codec says of the bytes it was given.
//!
//! Whoever can connect to such a socket is believed: `REMOTE_USER`, `REMOTE_ADDR` and the rest are
//! what the front end says. That is the protocols' nature; what a packet can do beyond being a
//! request is nothing (no variable loads code, sets the environment or opens a file, as
//! `UWSGI_FILE`, `UWSGI_SETENV` and `UWSGI_POSTFILE` do in uWSGI).

mod body;
mod step;
mod variables;

pub use body::KnownBody;
pub use step::{Reply, Step};
pub use variables::{BodyLength, Variable, Variables};
