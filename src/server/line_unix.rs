//! The line between a process that renews itself and its stand-in: a pair of sockets that carries words and descriptors.
//!
//! A word is twelve bytes, and the bytes behind it that were read from a connection; a descriptor travels with the first of
//! them (SCM_RIGHTS). Whoever holds an end sees at once when the other one is gone. Both ends are the same program, perhaps of
//! different versions: [`VERSION`] tells, before anything is said.

use std::borrow::Cow;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::net::Kept;

/// What both ends must have in common.
pub const VERSION: &str = "1";

/// Whoever does not take a word for so long is of no use.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Of why an application does not load; the log has all of it.
const FAILURE_BYTES_MAX: usize = 64 << 10;

/// What stands for the rest.
const LEFT_OUT: &[u8] = b"\n...\n";

/// More was never read ahead from a connection.
const UNREAD_BYTES_MAX: u32 = 16 << 20;

const HEAD_BYTES: usize = 12;

/// What is said.
#[derive(Debug)]
pub enum Word {
    /// To the stand-in: a listening socket. They come in their order, before everything else.
    Listener(OwnedFd),
    /// To the stand-in: these were all; of the applications, those of which the bit is set are served now.
    Load(u32),
    /// From the stand-in: the application is loaded.
    Ready,
    /// From the stand-in: it cannot serve, and why; of a traceback the last line says it. To an older image this is nonsense, and so an end like any other.
    Failed(String),
    /// To the stand-in: serve from now on.
    Serve,
    /// To either: go on with it.
    Connection(Kept),
    /// To the stand-in: give everything back, and leave when that is done.
    HandBack,
    /// From the stand-in: it takes no further request; what it has not begun comes over the line.
    Yours,
    /// To the stand-in: stop as at a stop of the server.
    Stop,
    /// From the stand-in: the application has called `uwsgi.reload()`.
    WishReload,
    /// From the stand-in: the application has called `uwsgi.stop()`.
    WishStop,
}

/// The twelve bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    kind: u8,
    number: u32,
    length: u32,
}

impl Head {
    fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let (kind, rest) = bytes.split_at_mut(4);
        let (number, length) = rest.split_at_mut(4);
        kind.fill(self.kind);
        number.copy_from_slice(&self.number.to_le_bytes());
        length.copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    /// `None`: nobody says that.
    fn read(bytes: [u8; HEAD_BYTES]) -> Option<Self> {
        let [kind, second, third, fourth, a, b, c, d, e, f, g, h] = bytes;
        let length = u32::from_le_bytes([e, f, g, h]);
        let is_whole = [second, third, fourth] == [kind; 3] && length <= UNREAD_BYTES_MAX;
        is_whole.then_some(Self {
            kind,
            number: u32::from_le_bytes([a, b, c, d]),
            length,
        })
    }
}

impl Word {
    fn head(&self) -> io::Result<Head> {
        let (kind, number, length) = match self {
            Word::Listener(_) => (b'l', 0, 0),
            Word::Load(needed) => (b'a', *needed, 0),
            Word::Ready => (b'r', 0, 0),
            Word::Failed(why) => (b'f', 0, small(failure(why).len())?),
            Word::Serve => (b's', 0, 0),
            Word::Connection(kept) => (b'c', small(kept.listener)?, small(kept.unread.len())?),
            Word::HandBack => (b'h', 0, 0),
            Word::Yours => (b'y', 0, 0),
            Word::Stop => (b'q', 0, 0),
            Word::WishReload => (b'w', 0, 0),
            Word::WishStop => (b'x', 0, 0),
        };
        Ok(Head {
            kind,
            number,
            length,
        })
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Word::Listener(descriptor) => Some(descriptor.as_fd()),
            Word::Connection(kept) => Some(kept.descriptor.as_fd()),
            _ => None,
        }
    }

    fn of(head: Head, descriptor: Option<OwnedFd>, unread: Vec<u8>) -> Option<Self> {
        Some(match (head.kind, descriptor) {
            (b'l', Some(descriptor)) => Word::Listener(descriptor),
            (b'a', None) => Word::Load(head.number),
            (b'r', None) => Word::Ready,
            (b'f', None) => Word::Failed(String::from_utf8_lossy(&unread).into_owned()),
            (b's', None) => Word::Serve,
            (b'c', Some(descriptor)) => Word::Connection(Kept {
                descriptor,
                listener: usize::try_from(head.number).ok()?,
                unread,
            }),
            (b'h', None) => Word::HandBack,
            (b'y', None) => Word::Yours,
            (b'q', None) => Word::Stop,
            (b'w', None) => Word::WishReload,
            (b'x', None) => Word::WishStop,
            _ => return None,
        })
    }
}

/// As much of it as is said: of a long one the beginning, which says what failed, and the end, which says why.
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

/// One end. Any thread may speak; one listens.
#[derive(Debug)]
pub struct Line {
    socket: UnixStream,
    /// Words are not to be mixed.
    speaking: Mutex<()>,
}

impl Line {
    /// Both ends: ours, and what a process is to be given for a standard input.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Self::over(ours)?, theirs.into()))
    }

    /// The end that this process was left with.
    ///
    /// # Errors
    /// It is no socket.
    pub fn from_descriptor(descriptor: OwnedFd) -> io::Result<Self> {
        Self::over(descriptor.into())
    }

    fn over(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Self {
            socket,
            speaking: Mutex::default(),
        })
    }

    /// The descriptor, for a process that starts anew.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Says something.
    ///
    /// # Errors
    /// Nobody listens, or not in time. Nothing more can be said then.
    pub fn say(&self, word: &Word) -> io::Result<()> {
        let head = word.head()?.to_bytes();
        // A word that was said in half by a thread that panicked: the other end notices.
        let _speaking = self.speaking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors: Vec<BorrowedFd<'_>> = word.descriptor().into_iter().collect();
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("no room for a descriptor"));
        }
        let sent = loop {
            let parts = [IoSlice::new(&head)];
            match sendmsg(&self.socket, &parts, &mut control, SendFlags::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                sent => break sent?,
            }
        };
        let mut socket = &self.socket;
        socket.write_all(head.get(sent..).unwrap_or_default())?;
        match word {
            Word::Connection(kept) => socket.write_all(&kept.unread),
            Word::Failed(why) => socket.write_all(&failure(why)),
            _ => Ok(()),
        }
    }

    /// Waits for what is said. `None`: the other end is gone.
    ///
    /// # Errors
    /// What was said makes no sense, or the line broke.
    pub fn hear(&self) -> io::Result<Option<Word>> {
        let mut bytes = [0; HEAD_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        #[cfg(target_os = "linux")]
        let flags = RecvFlags::CMSG_CLOEXEC;
        #[cfg(not(target_os = "linux"))]
        let flags = RecvFlags::empty();
        let count = loop {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            match recvmsg(&self.socket, &mut parts, &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                received => break received?.bytes,
            }
        };
        if count == 0 {
            return Ok(None);
        }
        let descriptor = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        #[cfg(not(target_os = "linux"))]
        if let Some(descriptor) = &descriptor {
            rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?;
        }
        let mut socket = &self.socket;
        socket.read_exact(bytes.get_mut(count..).unwrap_or_default())?;
        let nonsense = || io::Error::new(io::ErrorKind::InvalidData, "nobody says that");
        let head = Head::read(bytes).ok_or_else(nonsense)?;
        let mut unread = vec![0; usize::try_from(head.length).unwrap_or_default()];
        socket.read_exact(&mut unread)?;
        let word = Word::of(head, descriptor, unread).ok_or_else(nonsense)?;
        Ok(Some(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;

    fn ends() -> (Line, Line) {
        let (ours, theirs) = Line::pair().expect("a pair");
        (ours, Line::from_descriptor(theirs).expect("a socket"))
    }

    #[test]
    fn words_arrive_in_their_order_and_then_the_end() {
        let (ours, theirs) = ends();
        for word in [
            Word::Load(5),
            Word::Ready,
            Word::Failed("LookupError: the database is gone \u{1f4a5}".to_owned()),
            Word::Failed(String::new()),
            Word::Serve,
            Word::HandBack,
            Word::Yours,
            Word::Stop,
            Word::WishReload,
            Word::WishStop,
        ] {
            ours.say(&word).expect("room");
            let heard = theirs.hear().expect("whole").expect("not the end");
            assert_eq!(format!("{heard:?}"), format!("{word:?}"));
        }
        drop(ours);
        assert!(theirs.hear().expect("no error").is_none());
    }

    #[test]
    fn of_a_long_failure_the_beginning_and_the_end_arrive() {
        let (ours, theirs) = ends();
        let long = "\u{e9}".repeat(FAILURE_BYTES_MAX);
        // More than some systems have room for at once.
        let why = std::thread::scope(|scope| {
            scope.spawn(|| {
                ours.say(&Word::Failed(format!("begin\n{long}\nend")))
                    .and_then(|()| ours.say(&Word::Ready))
                    .expect("room in time");
            });
            match theirs.hear().expect("whole") {
                Some(Word::Failed(why)) => why,
                other => panic!("a failure was sent, not {other:?}"),
            }
        });
        assert!(why.starts_with("begin\n\u{e9}") && why.ends_with("\u{e9}\nend"));
        // Letters that were cut are replaced.
        assert!(why.len() <= FAILURE_BYTES_MAX + 8, "{}", why.len());
        assert!(matches!(theirs.hear(), Ok(Some(Word::Ready))));
    }

    #[test]
    fn a_connection_arrives_with_what_was_read_from_it() {
        let (ours, theirs) = ends();
        let (mut client, socket) = UnixStream::pair().expect("a pair");
        let unread = vec![b'x'; 30_000];
        for listener in [0, 3] {
            let descriptor = OwnedFd::from(socket.try_clone().expect("a descriptor"));
            let kept = Kept {
                descriptor,
                listener,
                unread: unread.clone(),
            };
            ours.say(&Word::Connection(kept)).expect("room");
        }
        for listener in [0, 3] {
            let Some(Word::Connection(kept)) = theirs.hear().expect("whole") else {
                panic!("a connection was sent");
            };
            assert_eq!((kept.listener, &kept.unread), (listener, &unread));
            assert_ne!(kept.descriptor.as_raw_fd(), socket.as_raw_fd());
            let flags = rustix::io::fcntl_getfd(&kept.descriptor).expect("it is open");
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            UnixStream::from(kept.descriptor)
                .write_all(b"a")
                .expect("room");
        }
        let mut said = [0; 2];
        client.read_exact(&mut said).expect("both have written");
    }

    #[test]
    fn nonsense_is_an_error() {
        for bytes in [
            &b"garbage garbage"[..],
            b"cccc\0\0\0\0\xff\xff\xff\xff",
            b"cccc\0\0\0\0\0\0\0\0",
            b"zzzz\0\0\0\0\0\0\0\0",
            b"rr",
        ] {
            let (mut ours, theirs) = UnixStream::pair().expect("a pair");
            ours.write_all(bytes).expect("room");
            drop(ours);
            let line = Line::over(theirs).expect("a socket");
            assert!(line.hear().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_word_to_nobody_is_an_error() {
        let (ours, theirs) = ends();
        drop(theirs);
        assert!(ours.say(&Word::Serve).is_err());
    }
}
