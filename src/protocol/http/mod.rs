//! HTTP/1.1 as a pure state machine: bytes in, events out. No I/O, no clock, no Python. `net` calls
//! the reader on the thread that reads the connection, workers call [`response`].
//!
//! In reading order:
//! - [`Limits`]: how much of a request a client may make the server hold;
//! - [`Refusal`]: why a request is refused;
//! - [`RequestHead`]: one head: its bytes, and the spans of its parts;
//! - [`RequestReader`]: the state machine, from bytes to `Head`, `Data`, `End`;
//! - [`response`]: how a response is delimited, and its bytes.
//!
//! The reader decides everything that two parsers could disagree about, once, in the order of RFC
//! 9112, and refuses ambiguous input. No code behind it parses framing again.

mod chunked;
mod field;
mod framing;
mod head;
mod limits;
mod name;
mod parse;
mod reader;
mod refusal;
pub mod response;
mod target;

pub use framing::content_length;
pub use head::{Field, FieldKind, Fields, Framing, Repeat, RequestHead, Version};
pub use limits::Limits;
pub use name::name_hash;
pub use reader::{RequestReader, Step};
pub use refusal::Refusal;
