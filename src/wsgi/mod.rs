//! PEP 3333 as data and rules: what an application is given and what it may answer. No Python, no
//! sockets, no clock.
//!
//! In reading order:
//! - [`Head`]: the head of a request, however it came;
//! - [`environ`]: every key of the environ and where its value comes from;
//! - [`Mounts`]: which application a request is for;
//! - [`RequestBody`]: the complete body, read as `io.BytesIO` is, and [`BodyMemory`], what all
//!   bodies hold together;
//! - [`Response`]: one response from `start_response` to its last byte, checked, framed and handed
//!   to a [`Sink`];
//! - [`Delivery`]: a file in place of its body, where the application names one;
//! - [`ResponseError`], [`WriteError`]: what can be wrong with it, and whose fault it is;
//! - [`AddedFields`]: what every response says besides;
//! - [`canned()`]: small complete answers that no application was asked for.
//!
//! The worker that serves the request runs all of it; `RequestBody::push`, [`environ::Peer`] and
//! [`canned()`] also whoever polls.

mod added_fields;
mod body;
mod canned;
mod delivery;
pub mod environ;
mod error;
mod file_piece;
mod head;
mod mounts;
mod response;
mod rules;
mod sink;

pub use added_fields::AddedFields;
pub use body::{BodyMemory, RequestBody, SeekError, Whence};
pub use canned::canned;
pub use delivery::Delivery;
pub use error::{Blame, ResponseError, WriteError};
pub use head::Head;
pub use mounts::{Chosen, FrontEnd, Mounts, Place, Rules};
pub use response::{HttpDate, RequestFacts, Response, Summary, UNREAD};
pub use sink::{ClientGone, Room, Sink};
