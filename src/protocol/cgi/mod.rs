//! The common part of uwsgi, FastCGI and SCGI: a request that a front end has read already and
//! passes on as variables (RFC 3875, CGI/1.1). No I/O, no clock, no Python.
//!
//! In reading order:
//! - [`Variables`]: one request: its bytes, and the offsets of names and values in them;
//! - `Progress`: the state of a codec for one request with a `CONTENT_LENGTH`;
//! - [`Step`]: a codec's result.
//!
//! Called by the codecs and by `net`; runs on the thread that reads the connection, and later on
//! the worker. The variables of any peer of such a socket are trusted: `REMOTE_USER`,
//! `REMOTE_ADDR` and the rest are what the front end says, as these protocols have it. A packet can
//! be a request and nothing else: no variable loads code, sets the environment or opens a file, as
//! `UWSGI_FILE`, `UWSGI_SETENV` and `UWSGI_POSTFILE` do in uWSGI.

mod progress;
mod step;
mod variables;

pub(in crate::protocol) use progress::Progress;
pub use step::{Reply, Step};
pub use variables::{BodyLength, Variable, Variables};
