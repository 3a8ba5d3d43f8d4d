//! The messages between the waiter and the processes of the server.
//!
//! Both ends are the same program, but perhaps of different versions, because a reload starts the
//! program that is installed now. So the first message to a process has the version of all others.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use super::channel::Handle;

/// The version of the messages to and from the waiter, and between a process and its successor.
pub const VERSION: u32 = 3;

/// A program to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The executable file.
    pub path: OsString,
    /// Its arguments, with its name as the first one.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub folder: OsString,
}

/// What a socket of the server is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketKind {
    /// It listens for clients.
    Listener,
    /// It listens for commands.
    Control,
    /// It listens for readers of the statistics.
    Stats,
    /// No socket: a locked file (`--flock`).
    Lock,
}

/// A socket of the server, or a locked file.
#[derive(Debug)]
pub struct SharedSocket {
    /// What it is for.
    pub kind: SocketKind,
    /// A second handle to it.
    pub handle: Handle,
}

/// What the waiter of `--supervise` knows of the server's crashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervision {
    /// A server has served before.
    pub has_served: bool,
    /// How often it has crashed.
    pub crashes: u32,
    /// The last crash.
    pub last_crash: Option<Crash>,
}

/// An end of the server that nothing has asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crash {
    /// When, in seconds since 1970.
    pub at: u64,
    /// How it ended, in words.
    pub how: String,
}

/// From a process of the server to the waiter.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Start a successor. On Unix its end of the channel to its predecessor comes with the message.
    Start {
        /// This program.
        program: Program,
        /// Elsewhere: how it connects to its predecessor.
        invitation: Option<String>,
    },
    /// Kill the process with this id that this process has asked for.
    Kill(u32),
    /// This process is the server from now on and gets the signals.
    Serving,
    /// This process ends, and a successor serves: no more signals.
    Leaving,
    /// Signals that this process was sent and has not handled. After [`Notice::Hold`].
    Unhandled(Vec<i32>),
    /// A message for the service manager, which may accept those of the first process only.
    Notify(String),
    /// This process, which the waiter has started, has loaded the application.
    Loaded {
        /// Its resident memory.
        resident_bytes: u64,
    },
    /// A socket comes with the message. Those before [`Serving`](Self::Serving) are for a server
    /// that the waiter starts.
    Keep(SocketKind),
    /// Memory comes with the message that has the requests in progress in this process.
    InProgress,
    /// The log comes with the message: the waiter's own lines go there from now on.
    Log,
    /// Another version of the application serves.
    Renewed,
    /// The server stops: its end is no crash.
    Stopping,
}

/// From the waiter to a process of the server.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// The first message to a successor. On Unix its end of the channel to its predecessor comes
    /// with the message. Stays the first variant with the version as its first field, so that
    /// every version can read that.
    Begin {
        /// [`VERSION`] of the waiter.
        version: u32,
        /// The waiter's process id.
        waiter: u32,
        /// Elsewhere: how it connects to its predecessor.
        invitation: Option<String>,
    },
    /// The second message: what there is with `--supervise`.
    Supervision(Option<Supervision>),
    /// To a process that the waiter has started itself: a socket comes with the message.
    Socket(SocketKind),
    /// These were all sockets: load the application.
    Load,
    /// Serve from now on.
    Serve(Supervision),
    /// The process that was asked for has this id; or why it could not be started.
    Started(Result<u32, String>),
    /// A process that this one has asked for has ended.
    Ended {
        /// Its process id.
        pid: u32,
        /// How, in words.
        how: String,
    },
    /// The waiter was sent this signal.
    Signal(i32),
    /// The waiter sends no more signals to this process.
    Hold,
}
