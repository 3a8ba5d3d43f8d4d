//! HTTP/1.1 as a room without windows: bytes in, events out. No I/O, no clock, no Python.
//!
//! In reading order:
//! - [`Limits`]: how much of a request a stranger may make us hold;
//! - [`Refusal`]: why a request is refused;
//! - [`RequestHead`]: one head, its bytes and where everything lies in them;
//! - [`RequestReader`]: the machine, from bytes to `Head`, `Data`, `End`;
//! - [`response`]: how a response is delimited, and its bytes.
//!
//! The machine decides everything that two parsers could disagree about, once, in the order of RFC
//! 9112, and refuses what is not plainly one thing. Nobody behind it looks at framing again.

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
