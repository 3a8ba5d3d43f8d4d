//! SCGI as a pure state machine: bytes in, events out. No I/O, no clock, no Python. `net` calls it
//! on the thread that reads the connection. Read `reader`.
//!
//! A request is one netstring (`70:` ... `,`) of names and values, each ended by a NUL, of which
//! `CONTENT_LENGTH` is the first and `SCGI` says `1`; then the body. One request for each
//! connection; the response is that of CGI, until the connection closes
//! (python.ca/scgi/protocol.txt).

mod reader;

pub use reader::HeaderReader;
