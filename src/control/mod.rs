//! What can be asked of a running server, and how it is said: requests and answers of the control socket, the letters of the
//! master fifo, the JSON of status and statistics, the table that people read.
//!
//! Reading order: `ask` (a request and what it means), `answer` (what goes back, and how a client reads it), `status` (the
//! server in numbers), `stats` (the same as uWSGI's JSON), `table` (for people), `letter` (the fifo).
//!
//! Pure: no sockets, no clock, no Python. The server (`src/server/control.rs` and its neighbours) does the rest. Any thread.

pub mod answer;
pub mod ask;
pub mod letter;
pub mod stats;
pub mod status;
pub mod table;
