//! Unix: the line between a process and the one that takes its place: a pair of sockets that
//! carries words and descriptors.
//!
//! The other process is a child, and its end of the line is its standard input. A descriptor
//! travels with the first bytes of a word (SCM_RIGHTS). The process at one end sees at once when
//! the other one is gone.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::child_process::Offspring;
use super::message::{HEAD_BYTES, Head, Word};
use crate::app::Deadlines;
use crate::os::held_signals;

/// A process that does not read for so long is taken for dead.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

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
    fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Self::over(ours)?, theirs.into()))
    }

    /// Starts a process, and talks to it from now on.
    ///
    /// # Errors
    /// In words: it cannot be started.
    pub fn to_new(
        mut command: Command,
        _patience: &Deadlines,
    ) -> Result<(Self, Offspring), String> {
        let told = |error| format!("cannot talk to a process: {error}");
        let (line, theirs) = Self::pair().map_err(told)?;
        // Until it has handlers a signal to the whole group would end it. This thread is thrown
        // away.
        held_signals::hold_signals().map_err(told)?;
        let program = command.get_program().to_owned();
        let child = command
            .stdin(Stdio::from(theirs))
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        // It holds a copy of the other end, which must be the only one.
        drop(command);
        let pid = i32::try_from(child.id()).map_err(|_| "no such process".to_owned())?;
        Ok((line, Offspring::of(pid)))
    }

    /// The line to the process that has started this one; in its place comes an empty standard
    /// input.
    ///
    /// # Errors
    /// There is none.
    pub fn to_starter() -> io::Result<Self> {
        let descriptor = io::stdin().as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        Self::from_descriptor(descriptor)
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

    /// Says something.
    ///
    /// # Errors
    /// The other end does not read, or not in time. Nothing more can be said then.
    pub fn say(&self, word: &Word) -> io::Result<()> {
        let head = word.head()?.to_bytes();
        // A word that was said in half by a thread that panicked: the other end notices.
        let _speaking = self.speaking.lock();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors: Vec<BorrowedFd<'_>> = word.socket().map(AsFd::as_fd).into_iter().collect();
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
        socket.write_all(&word.payload())
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
        let nonsense = || io::Error::new(io::ErrorKind::InvalidData, "an unknown message");
        let head = Head::read(bytes).ok_or_else(nonsense)?;
        let mut unread = vec![0; head.length()];
        socket.read_exact(&mut unread)?;
        let word = Word::of(head, descriptor, unread).ok_or_else(nonsense)?;
        Ok(Some(word))
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::FAILURE_BYTES_MAX;
    use super::*;
    use crate::net::ParkedConnection;
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
            Word::Keeper("127.0.0.1:1 secret".to_owned()),
            Word::Farewell("3 3 0 1 1 0 SIGHUP".to_owned()),
            Word::OneMore,
            Word::Stop,
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
            let socket = OwnedFd::from(socket.try_clone().expect("a descriptor"));
            let parked = ParkedConnection {
                socket,
                listener,
                unread: unread.clone(),
            };
            ours.say(&Word::Connection(parked)).expect("room");
        }
        for listener in [0, 3] {
            let Some(Word::Connection(parked)) = theirs.hear().expect("whole") else {
                panic!("a connection was sent");
            };
            assert_eq!((parked.listener, &parked.unread), (listener, &unread));
            assert_ne!(parked.socket.as_raw_fd(), socket.as_raw_fd());
            let flags = rustix::io::fcntl_getfd(&parked.socket).expect("it is open");
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            UnixStream::from(parked.socket)
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
