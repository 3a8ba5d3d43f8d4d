//! FastCGI 1.0 as a pure state machine: bytes in, events out; and the records of responses. No I/O,
//! no clock, no Python. `net` calls it on the thread that reads the connection.
//!
//! Everything is a record: a header of eight bytes (version, type, the request's id, the content's
//! length, the padding's), content, padding. A request is a `BEGIN_REQUEST`, a stream of `PARAMS`
//! and a stream of `STDIN`, each ended by an empty record. The role is that of a responder; a
//! connection carries one request at a time, and another behind it if the front end asks to keep it
//! (`FCGI_KEEP_CONN`). Specification: Open Market, "FastCGI Specification", 29 April 1996.
//!
//! In reading order: [`record`]: the bytes of records; [`RecordReader`]: the machine.

mod pairs;
mod reader;
pub mod record;

pub use reader::RecordReader;
