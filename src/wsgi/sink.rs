//! Where the bytes of a response go: the only thing this room knows about a connection.
//!
//! The net room implements it. Called by the worker that serves the request; only `wait_for_room`
//! may block, and its caller detaches from Python around it.

use std::fmt;
use std::fs::File;

/// Whether more may be sent right away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a full sink has to be waited for before more is sent"]
pub enum Room {
    /// Send on.
    Ready,
    /// Call [`Sink::wait_for_room`], detached from Python, before sending more.
    Full,
}

impl Room {
    /// The state after two sends: full if either said so.
    pub(super) fn and(self, other: Self) -> Self {
        match self {
            Self::Ready => other,
            Self::Full => Self::Full,
        }
    }
}

/// The connection is dead or was given up: nothing that is sent arrives any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientGone;

impl fmt::Display for ClientGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client is gone")
    }
}

impl std::error::Error for ClientGone {}

/// Takes the bytes of one response, in order.
pub trait Sink {
    /// Takes all of `first`, then all of `second` (which may be empty). Never blocks: what the
    /// kernel does not take is kept.
    ///
    /// # Errors
    /// The connection is gone; nothing further needs to be sent.
    fn send(&mut self, first: &[u8], second: &[u8]) -> Result<Room, ClientGone>;

    /// Takes `head`, then `length` bytes of `file` from `offset` on. Never blocks: the file is sent
    /// later, before anything that is sent after it. A file that turns out to be shorter aborts the
    /// connection.
    fn send_file(
        &mut self,
        head: &[u8],
        file: File,
        offset: u64,
        length: u64,
    ) -> Result<Room, ClientGone>;

    /// Takes the last bytes of a complete response, which may be none.
    fn end(&mut self, rest: &[u8]) -> Result<Room, ClientGone> {
        if rest.is_empty() {
            return Ok(Room::Ready);
        }
        self.send(rest, b"")
    }

    /// Blocks until there is room, or the write deadline has passed.
    ///
    /// # Errors
    /// The connection is gone, or was given up at the deadline.
    fn wait_for_room(&mut self) -> Result<(), ClientGone>;

    /// The response is complete, and more of it waits than there is room for: finds a place for it
    /// that costs no memory, or blocks until there is room. Called detached, as `wait_for_room`.
    ///
    /// # Errors
    /// As [`wait_for_room`](Self::wait_for_room).
    fn settle(&mut self) -> Result<(), ClientGone> {
        Ok(())
    }

    /// The body of this response ends with the connection and with nothing else (no length,
    /// and HTTP/1.0 or a front end's protocol): one that is cut short must not end in good order.
    fn ends_with_connection(&mut self) {}

    /// The connection will close after this response whatever it says: a server that is stopping.
    /// Asked when the head leaves, so that it can tell the client.
    fn is_last(&self) -> bool {
        false
    }
}
