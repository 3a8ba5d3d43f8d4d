//! One process hands its server over to another: for applications of the main interpreter.
//!
//! The new process, the successor, loads the application; if it cannot, nothing has changed. Then
//! it serves, while its predecessor finishes the requests in progress and hands idle connections
//! over. The listening sockets stay open all the while. `waiter` starts the successor and waits for
//! both.
//!
//! - [`message`]: what they send each other; read it first
//! - [`successor_process`]: the successor, as seen by its predecessor
//! - [`drain`]: the predecessor, while both are there
//! - [`predecessor`]: the predecessor, as seen by its successor
//! - [`inherited`]: sockets and connections that the successor gets

pub mod drain;
pub mod inherited;
pub mod message;
pub mod predecessor;
pub mod successor_process;
