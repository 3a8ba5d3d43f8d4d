//! What is said between a process and the one that takes its place.
//!
//! A word is twelve bytes, and bytes behind them: what was read from a connection, or a text. A
//! socket comes with some of them, and how depends on the system (`line`). Both ends are the same
//! program, perhaps of different versions: [`VERSION`] tells, before anything is said.

use std::borrow::Cow;
use std::io;

use crate::net::{Handle, ParkedConnection};

/// What both ends must have in common.
pub const VERSION: &str = "1";

/// Of why an application does not load; the log has all of it.
pub(crate) const FAILURE_BYTES_MAX: usize = 64 << 10;

/// What stands for the rest.
const LEFT_OUT: &[u8] = b"\n...\n";

/// More was never read ahead from a connection.
const UNREAD_BYTES_MAX: u32 = 16 << 20;

/// What every word begins with.
pub const HEAD_BYTES: usize = 12;

/// What is said.
#[derive(Debug)]
pub enum Word {
    /// To a successor: a listening socket. They come in their order, before everything else.
    Listener(Handle),
    /// To a successor: a control socket. They come in their order.
    Control(Handle),
    /// To a successor: the socket of statistics.
    Stats(Handle),
    /// To a successor: a file that is locked (`--flock`).
    Lock(Handle),
    /// To a successor: how it finds the process that waits for the server's end (`keeper`).
    Keeper(String),
    /// To a successor: these were all; of the applications, those of which the bit is set are
    /// served now.
    Load(u32),
    /// From a successor: the application is loaded.
    Ready,
    /// From a successor: it cannot serve, and why; of a traceback the last line says it.
    Failed(String),
    /// To a successor: serve from now on.
    Serve,
    /// To a successor: go on with it.
    Connection(ParkedConnection),
    /// To a successor: this process has finished, and nothing is left here. What its reloads were
    /// (`ReloadHistory::for_successor`).
    Farewell(String),
    /// To a successor: one more reload was asked for meanwhile.
    OneMore,
    /// To a successor: stop as at a stop of the server.
    Stop,
}

/// The twelve bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    kind: u8,
    number: u32,
    length: u32,
}

impl Head {
    /// As it is sent.
    pub fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let (kind, rest) = bytes.split_at_mut(4);
        let (number, length) = rest.split_at_mut(4);
        kind.fill(self.kind);
        number.copy_from_slice(&self.number.to_le_bytes());
        length.copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    /// `None`: an unknown message.
    pub fn read(bytes: [u8; HEAD_BYTES]) -> Option<Self> {
        let [kind, second, third, fourth, a, b, c, d, e, f, g, h] = bytes;
        let length = u32::from_le_bytes([e, f, g, h]);
        let is_whole = [second, third, fourth] == [kind; 3] && length <= UNREAD_BYTES_MAX;
        is_whole.then_some(Self {
            kind,
            number: u32::from_le_bytes([a, b, c, d]),
            length,
        })
    }

    /// How many bytes follow.
    pub fn length(self) -> usize {
        usize::try_from(self.length).unwrap_or_default()
    }

    /// Whether a socket comes with it.
    #[cfg_attr(unix, expect(dead_code, reason = "here the system tells"))]
    pub fn has_socket(self) -> bool {
        matches!(self.kind, b'l' | b'd' | b't' | b'c')
    }
}

impl Word {
    /// Its first bytes.
    ///
    /// # Errors
    /// It is too long.
    pub fn head(&self) -> io::Result<Head> {
        let (kind, number) = match self {
            Word::Listener(_) => (b'l', 0),
            Word::Control(_) => (b'd', 0),
            Word::Stats(_) => (b't', 0),
            Word::Lock(_) => (b'o', 0),
            Word::Keeper(_) => (b'k', 0),
            Word::Load(needed) => (b'a', *needed),
            Word::Ready => (b'r', 0),
            Word::Failed(_) => (b'f', 0),
            Word::Serve => (b's', 0),
            Word::Connection(parked) => (b'c', small(parked.listener)?),
            Word::Farewell(_) => (b'e', 0),
            Word::OneMore => (b'm', 0),
            Word::Stop => (b'q', 0),
        };
        let length = small(self.payload().len())?;
        Ok(Head {
            kind,
            number,
            length,
        })
    }

    /// The socket that goes with it.
    pub fn socket(&self) -> Option<&Handle> {
        match self {
            Word::Listener(socket)
            | Word::Control(socket)
            | Word::Stats(socket)
            | Word::Lock(socket) => Some(socket),
            Word::Connection(parked) => Some(&parked.socket),
            _ => None,
        }
    }

    /// What stands behind its first bytes.
    pub fn payload(&self) -> Cow<'_, [u8]> {
        match self {
            Word::Connection(parked) => Cow::Borrowed(&parked.unread),
            Word::Failed(why) => failure(why),
            Word::Keeper(text) | Word::Farewell(text) => Cow::Borrowed(text.as_bytes()),
            _ => Cow::Borrowed(&[]),
        }
    }

    /// What was said. `None`: an unknown message.
    pub fn of(head: Head, socket: Option<Handle>, payload: Vec<u8>) -> Option<Self> {
        let text = |payload: Vec<u8>| String::from_utf8_lossy(&payload).into_owned();
        Some(match (head.kind, socket) {
            (b'l', Some(socket)) => Word::Listener(socket),
            (b'd', Some(socket)) => Word::Control(socket),
            (b't', Some(socket)) => Word::Stats(socket),
            (b'o', Some(socket)) => Word::Lock(socket),
            (b'k', None) => Word::Keeper(text(payload)),
            (b'a', None) => Word::Load(head.number),
            (b'r', None) => Word::Ready,
            (b'f', None) => Word::Failed(text(payload)),
            (b's', None) => Word::Serve,
            (b'c', Some(socket)) => Word::Connection(ParkedConnection {
                socket,
                listener: usize::try_from(head.number).ok()?,
                unread: payload,
            }),
            (b'e', None) => Word::Farewell(text(payload)),
            (b'm', None) => Word::OneMore,
            (b'q', None) => Word::Stop,
            _ => return None,
        })
    }
}

/// As much of it as is said: of a long one the beginning, which says what failed, and the end,
/// which says why.
fn failure(why: &str) -> Cow<'_, [u8]> {
    let bytes = why.as_bytes();
    if bytes.len() <= FAILURE_BYTES_MAX {
        return Cow::Borrowed(bytes);
    }
    let half = (FAILURE_BYTES_MAX - LEFT_OUT.len()) / 2;
    let (begin, end) = (bytes.get(..half), bytes.get(bytes.len() - half..));
    let parts = [begin.unwrap_or_default(), LEFT_OUT, end.unwrap_or_default()];
    Cow::Owned(parts.concat())
}

fn small(number: usize) -> io::Result<u32> {
    u32::try_from(number)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too much for one word"))
}
