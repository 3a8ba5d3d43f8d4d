//! The messages between the waiter and the processes of the server.
//!
//! Both ends are the same program, but perhaps of different versions, because a reload starts the
//! program that is installed now. So the first message to a process has the version of all others.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

/// The version of the messages to and from the waiter, and between a process and its successor.
pub const VERSION: u32 = 2;

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
