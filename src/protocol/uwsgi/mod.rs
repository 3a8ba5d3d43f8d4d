//! The uwsgi protocol as a pure state machine: bytes in, events out. No I/O, no clock, no Python.
//! `net` calls it on the thread that reads the connection.
//!
//! A request is one packet: a header of four bytes (`modifier1`, the size of what follows in two
//! bytes, low byte first, `modifier2`), then variables, each name and value with its own two-byte
//! length in front; then the body, of which `CONTENT_LENGTH` says the length. One request for each
//! connection; the response is that of HTTP, until the connection closes (uWSGI's `proto/uwsgi.c`,
//! `core/protocol.c` and its page "The uwsgi Protocol").
//!
//! In reading order: [`Modifier`]: what a packet asks for; [`PacketReader`]: the machine.

mod modifier;
mod reader;

pub use modifier::Modifier;
pub use reader::PacketReader;
