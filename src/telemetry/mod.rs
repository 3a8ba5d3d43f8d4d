//! The log: operational messages (`tracing` events) and the request log, both through one writer.
//!
//! Every room logs; `server` installs the subscriber and chooses the destination. Any thread
//! appends to a queue, and one thread, `sm-log`, makes lines and writes them: a thread that serves
//! requests never waits for a terminal, a pipe or a disk. Uses the types of `config`. Read `writer`
//! first.
//!
//! - `record`: a request on its way; `queue`: what waits; `writer`: the thread that writes
//! - `lines`: which line a request has; `request_line`: uWSGI's; `format`: by `--log-format`;
//!   `json_line`: JSON objects
//! - `messages`: `tracing` events; `message_style`: what they look like
//! - `output`: where lines go; `chains`: loggers, routes and what is left out; `encoder`; `target`:
//!   one logger, with `datagrams`, `slow` and, for files, `rotation`
//! - `captured`: what the process prints

mod captured;
mod chains;
mod datagrams;
mod encoder;
mod format;
pub mod in_progress;
mod json_line;
mod lines;
mod local_time;
mod memory;
mod message_style;
mod messages;
mod output;
mod queue;
mod record;
mod request_line;
mod rotation;
mod slow;
mod target;
mod text;
mod writer;

pub use chains::Chains;
pub use datagrams::DatagramTarget;
pub use lines::RequestLines;
pub use memory::MemoryUsed;
pub use message_style::MessageStyle;
pub use messages::install;
pub use output::{Destination, MainFile};
pub use record::{Capture, Figures, Record};
pub use rotation::FileRules;
pub use slow::SlowTarget;
pub use target::{FileTarget, Target};
pub use writer::LogWriter;
