//! What the server says: operational messages, the request log, both through one writer.
//!
//! Nothing that serves a request ever waits for a terminal, a pipe or a disk: lines go into a buffer, and
//! a thread of its own writes them. Knows no other room.

mod messages;
mod request_line;
mod writer;

pub use messages::install;
pub use request_line::{RequestLine, append};
pub use writer::{Destination, LogWriter};
