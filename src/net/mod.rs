//! Sockets, the poll, and everything that happens to a connection while no application code runs.
//!
//! `app` calls this room: a worker or the acceptor takes a [`Turn`], which waits in the poll, reads
//! requests and passes complete ones to a [`Dispatch`]; the worker that answered one returns it
//! with [`Turn::complete`]. Polling is a role that any idle thread takes, so all code here runs on
//! workers, the acceptor, or threads that open files. It never blocks except in the wait itself and
//! in `ResponseSink`, which a worker calls detached from Python. It does not know Python or `app`.
//!
//! Read `connection` first, then [`turn`] (one pass over what is ready), `slots` (who owns a
//! connection) and `state` (what the threads share).

mod address;
mod client;
mod connection;
mod date;
mod deadlines;
mod handover;
mod listener;
mod occasionally;
mod os;
mod output;
mod parked;
mod plain_stream;
mod poll;
mod reader;
mod response_sink;
mod services;
mod settings;
mod site;
mod slots;
mod spare_heads;
mod state;
mod stream;
mod tls_stream;
pub mod turn;

pub mod ownership;
pub mod vital;

pub use address::Address;
pub use connection::{Answered, Exchange};
pub use listener::Listener;
pub use parked::ParkedConnection;
pub use plain_stream::Handle;
pub use poll::SharedPoll;
pub use services::{
    Dispatch, FileService, Finished, Given, Record, Rejected, RequestLog, Routable, RouteService,
    RouteVerdict,
};
pub use settings::Settings;
pub use site::Site;
pub use state::Net;
pub use turn::Turn;
