//! The messages between a process and its successor. `waiter::message::VERSION` is their version.

use serde::{Deserialize, Serialize};

use crate::waiter::message::SocketKind;

/// To a successor. The sockets that are named come with the messages.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToSuccessor {
    /// A socket of the server. All of them come before everything else, those of a kind in order.
    Socket(SocketKind),
    /// These were all: load the applications, of which those with their bits set are served now.
    Load {
        /// The bits.
        needed: u32,
    },
    /// Serve from now on.
    Serve,
    /// A connection with no request in progress.
    Connection {
        /// The place of its listener among the sockets.
        listener: usize,
        /// Bytes of its next request that were read already.
        unread: Vec<u8>,
    },
    /// One more reload was asked for meanwhile.
    Reload,
    /// Stop, as the whole server does.
    Stop,
    /// Nothing is in progress here any more: this process ends.
    Finished {
        /// Its reloads (`ReloadHistory::for_successor`).
        reloads: String,
    },
}

/// From a successor.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromSuccessor {
    /// The application is loaded.
    Ready,
    /// It cannot serve. The last line of a traceback says why.
    Failed(String),
}

/// What a successor notices of its predecessor while that ends.
#[derive(Debug)]
pub enum FromPredecessor {
    /// One more reload was asked for meanwhile.
    Reload,
    /// The server stops.
    Stop,
    /// Nothing is in progress there any more. Its reloads (`ReloadHistory::for_successor`).
    Finished(String),
    /// It is gone.
    Gone,
}

/// Of a longer text the beginning and the end are sent; the log has all of it.
const FAILURE_BYTES_MAX: usize = 64 << 10;
/// What stands for the rest.
const LEFT_OUT: &[u8] = b"\n...\n";

impl FromSuccessor {
    /// It cannot serve, for this reason. The beginning of a long text says what failed, and its end
    /// why.
    pub fn failed(why: &str) -> Self {
        if why.len() <= FAILURE_BYTES_MAX {
            return Self::Failed(why.to_owned());
        }
        let bytes = why.as_bytes();
        let half = (FAILURE_BYTES_MAX - LEFT_OUT.len()) / 2;
        let (begin, end) = (bytes.get(..half), bytes.get(bytes.len() - half..));
        let parts = [begin.unwrap_or_default(), LEFT_OUT, end.unwrap_or_default()];
        Self::Failed(String::from_utf8_lossy(&parts.concat()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_of_a_long_failure_are_sent() {
        let long = "\u{e9}".repeat(FAILURE_BYTES_MAX);
        let FromSuccessor::Failed(why) = FromSuccessor::failed(&format!("a{long}\nend")) else {
            unreachable!("it is a failure");
        };
        assert!(why.starts_with("a\u{e9}") && why.ends_with("\u{e9}\nend"));
        assert!(
            why.contains("\n...\n") && why.len() <= FAILURE_BYTES_MAX + 8,
            "{}",
            why.len()
        );
        assert!(matches!(FromSuccessor::failed("why"), FromSuccessor::Failed(why) if why == "why"));
    }
}
