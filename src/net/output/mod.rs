//! The sending half of a connection: bytes and files that wait for the kernel, and how they get
//! there. Runs on the thread that owns the connection; never blocks. Read `io` first.

mod io;
mod queue;
mod records;
mod spool;

pub(super) use io::Io;
pub(super) use queue::Flushed;
pub(super) use records::Records;
