//! PEP 3333 as data and rules: what an application is given and what it may answer. No Python, no sockets, no clock.
//!
//! In reading order:
//! - [`environ`]: every key of the environ and where its value comes from;
//! - [`Mounts`]: which application a request is for;
//! - [`RequestBody`]: the complete body, read as `io.BytesIO` is;
//! - [`Response`]: one response from `start_response` to its last byte, checked, framed and handed to a [`Sink`];
//! - [`ResponseError`], [`WriteError`]: what can be wrong with it, and whose fault it is;
//! - [`AddedFields`]: what every response says besides;
//! - [`canned()`]: small complete answers that no application was asked for.
//!
//! The worker that serves the request runs all of it; `RequestBody::push`, [`environ::Peer`] and [`canned()`] also whoever polls.

mod added_fields;
mod body;
mod canned;
pub mod environ;
mod error;
mod mounts;
mod response;
mod rules;
mod sink;

pub use added_fields::AddedFields;
pub use body::{RequestBody, SeekError, Whence};
pub use canned::canned;
pub use error::{Blame, ResponseError, WriteError};
pub use mounts::{Chosen, Mounts, Place, Rules, Variables};
pub use response::{HttpDate, RequestFacts, Response, Summary, UNREAD};
pub use sink::{ClientGone, Room, Sink};
