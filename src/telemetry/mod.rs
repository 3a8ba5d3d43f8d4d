//! The log: operational messages (`tracing` events) and the request log, both through one writer.
//!
//! Every room logs; `server` installs the subscriber and chooses the destination. Any thread
//! appends to a buffer, and one thread, `sm-log`, writes: a thread that serves requests never waits
//! for a terminal, a pipe or a disk. Imports no other room. Read `writer` first.

mod local_time;
mod messages;
mod request_line;
mod writer;

pub use messages::install;
pub use request_line::{RequestLine, append, append_with_times};
pub use writer::{Destination, LogWriter};
