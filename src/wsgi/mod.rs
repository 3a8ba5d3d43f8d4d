//! PEP 3333 as data and rules: the input and output of an application. No Python, no sockets, no
//! clock. Called by `net`, `files`, `python` and the workers of `app`.
//!
//! In reading order:
//! - [`Head`]: the head of a request, however it came; [`Rewritten`]: with other variables;
//! - [`environ`]: every key of the environ and where its value comes from;
//! - [`Mounts`]: which application a request is for;
//! - [`RequestBody`]: the complete body, read as `io.BytesIO` is, and [`BodyMemory`], what all
//!   bodies hold together;
//! - [`Response`]: one response from `start_response` to its last byte, checked, framed and handed
//!   to a [`Sink`];
//! - [`Delivery`]: a file in place of its body, where the application names one;
//! - [`HeadFilter`]: rules that look at its head;
//! - [`ResponseError`], [`WriteError`]: its errors;
//! - [`AddedFields`]: the operator's fields in every response;
//! - [`canned()`]: small complete responses of the server itself.
//!
//! The worker that serves the request runs all of it; `RequestBody::push`, [`environ::Peer`] and
//! [`canned()`] also run on net's thread.

mod added_fields;
mod app_chunks;
mod body;
mod canned;
mod delivery;
pub mod environ;
mod error;
mod file_piece;
mod head;
mod head_filter;
mod log_notes;
mod mounts;
mod request_variables;
mod response;
mod response_state;
mod rewritten;
mod rules;
mod sink;
mod spool_space;
mod unchunk;

pub use added_fields::AddedFields;
pub use body::{BodyMemory, RequestBody, SeekError, Whence};
pub use canned::canned;
pub use error::{ResponseError, WriteError};
pub use head::Head;
pub use head_filter::Routed;
pub use log_notes::LogNotes;
pub use mounts::{Chosen, FrontEnd, Mounts, Place, Rules};
pub use request_variables::{field_of, path_of};
pub use response_state::{Delivery, HeadFilter, HttpDate, RequestFacts, Response, Summary, UNREAD};
pub use rewritten::Rewritten;
pub use sink::{ClientGone, Room, Sink};
pub use spool_space::SpoolSpace;
