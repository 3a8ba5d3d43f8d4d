//! Unix: a socket pair that carries messages and descriptors between two processes.
//!
//! A descriptor travels with the first bytes of a message (SCM_RIGHTS). The process at one end sees
//! at once when the other one has ended.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::child_process::ChildProcess;
use crate::os::{redirect, signals};

/// A descriptor that is sent with a message.
pub type Handle = OwnedFd;

/// A process that does not read for this long is taken for dead.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// A message is never longer: a connection has at most 16 MiB that were read ahead.
const MESSAGE_BYTES_MAX: u32 = 17 << 20;

/// One end. Any thread may send; one receives.
#[derive(Debug)]
pub struct Channel {
    socket: UnixStream,
    /// Messages of two threads must not mix.
    sending: Mutex<()>,
}

/// The log of this process: its standard error.
pub(super) fn log_handle() -> Option<Handle> {
    io::stderr().as_fd().try_clone_to_owned().ok()
}

/// A channel that another process is offered by way of the waiter.
#[derive(Debug)]
pub struct Offer {
    ours: Channel,
    theirs: OwnedFd,
}

impl Offer {
    /// Makes both ends.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn new() -> io::Result<Self> {
        let (ours, theirs) = Channel::pair()?;
        Ok(Self { ours, theirs })
    }

    /// Does not apply: the end is sent itself.
    pub fn invitation(&self) -> Option<String> {
        None
    }

    /// The end of the other process.
    pub fn handle(&self) -> Option<&Handle> {
        Some(&self.theirs)
    }

    /// This process's end, when the other one has its own.
    ///
    /// # Errors
    /// None on Unix.
    pub fn accept(self, _pid: u32) -> Result<Channel, String> {
        Ok(self.ours)
    }
}

impl Channel {
    /// One end for this process, and the descriptor of the other.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Self::over(ours.into())?, theirs.into()))
    }

    /// Both ends, for two threads of this process.
    ///
    /// # Errors
    /// No descriptor is free.
    pub(super) fn local_pair() -> io::Result<(Self, Self)> {
        let (ours, theirs) = Self::pair()?;
        Ok((ours, Self::over(theirs)?))
    }

    /// Starts a process with the other end as its standard input.
    ///
    /// # Errors
    /// In words: it cannot be started.
    pub(super) fn to_child(mut command: Command) -> Result<(Self, ChildProcess), String> {
        let failed = |error: io::Error| {
            let program = command.get_program().display();
            format!("cannot start {program}: {error}")
        };
        let (channel, theirs) = Self::pair().map_err(failed)?;
        // Until it has handlers, a signal to the whole process group would end it.
        signals::hold(&signals::ENDING).map_err(failed)?;
        let uncaptured = redirect::uncapture(&mut command);
        let child = uncaptured.and_then(|()| command.stdin(Stdio::from(theirs)).spawn());
        signals::release(&signals::ENDING);
        let child = child.map_err(|error| {
            let program = command.get_program().display();
            format!("cannot start {program}: {error}")
        })?;
        Ok((channel, ChildProcess::of(child.id())))
    }

    /// The channel to the process that has started this one. An empty standard input takes its
    /// place.
    ///
    /// # Errors
    /// Standard input is no channel.
    pub fn to_starter() -> io::Result<Self> {
        let descriptor = io::stdin().as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        Self::over(descriptor)
    }

    /// The end that was sent to this process.
    ///
    /// # Errors
    /// It is missing.
    pub fn accepted(handle: Option<Handle>, _invitation: Option<&str>) -> io::Result<Self> {
        Self::over(handle.ok_or(io::ErrorKind::InvalidData)?)
    }

    /// Does not apply: a descriptor can be sent to any process.
    pub fn with_peer(self, _pid: u32) -> Self {
        self
    }

    /// A channel over one end of a socket pair.
    ///
    /// # Errors
    /// It is no socket.
    pub fn over(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = UnixStream::from(descriptor);
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Self {
            socket,
            sending: Mutex::default(),
        })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The other end does not read, or not in time. Nothing more can be sent then.
    pub fn send<M: Serialize>(&self, message: &M, handle: Option<&Handle>) -> io::Result<()> {
        let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        let bytes = [&length.to_le_bytes(), body.as_slice()].concat();
        // A panic in the middle of a message: the other end notices.
        let _sending = self.sending.lock();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors: Vec<BorrowedFd<'_>> = handle.map(AsFd::as_fd).into_iter().collect();
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("no room for a descriptor"));
        }
        let sent = loop {
            let parts = [IoSlice::new(&bytes)];
            match sendmsg(&self.socket, &parts, &mut control, SendFlags::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                sent => break sent?,
            }
        };
        (&self.socket).write_all(bytes.get(sent..).unwrap_or_default())
    }

    /// Waits for a message and the descriptor that came with it. `None`: the other end is closed.
    ///
    /// # Errors
    /// It is no message, or the other end closed in the middle of one.
    pub fn receive<M: DeserializeOwned>(&self) -> io::Result<Option<(M, Option<Handle>)>> {
        let mut length = [0; 4];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        #[cfg(target_os = "linux")]
        let flags = RecvFlags::CMSG_CLOEXEC;
        #[cfg(not(target_os = "linux"))]
        let flags = RecvFlags::empty();
        let count = loop {
            let mut parts = [IoSliceMut::new(&mut length)];
            match recvmsg(&self.socket, &mut parts, &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                received => break received?.bytes,
            }
        };
        if count == 0 {
            return Ok(None);
        }
        let handle = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        #[cfg(not(target_os = "linux"))]
        if let Some(handle) = &handle {
            rustix::io::fcntl_setfd(handle, rustix::io::FdFlags::CLOEXEC)?;
        }
        let mut socket = &self.socket;
        socket.read_exact(length.get_mut(count..).unwrap_or_default())?;
        let length = u32::from_le_bytes(length);
        if length > MESSAGE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        socket.read_exact(&mut body)?;
        let message = postcard::from_bytes(&body).map_err(io::Error::other)?;
        Ok(Some((message, handle)))
    }

    /// Whether [`receive`](Self::receive) returns at once.
    pub(super) fn has_message(&self) -> bool {
        let mut polled = [PollFd::new(&self.socket, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec::default())).is_ok_and(|count| count > 0)
    }

    /// Closes both directions, though other processes may have copies of the ends.
    pub fn shut_down(&self) {
        // An error: the other end is closed already.
        let _closed = self.socket.shutdown(Shutdown::Both);
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;

    fn ends() -> (Channel, Channel) {
        let (ours, theirs) = Channel::pair().expect("a pair");
        (ours, Channel::over(theirs).expect("a socket"))
    }

    #[test]
    fn messages_arrive_in_their_order_and_then_the_end() {
        let (ours, theirs) = ends();
        for number in 0..100_u32 {
            let message = (number, "\u{1f4a5}".repeat(number as usize));
            ours.send(&message, None).expect("room");
            let received = theirs.receive::<(u32, String)>().expect("whole");
            let (received, handle) = received.expect("not the end");
            assert_eq!(received, message);
            assert!(handle.is_none());
        }
        drop(ours);
        assert!(theirs.receive::<u32>().expect("no error").is_none());
    }

    #[test]
    fn a_long_message_arrives_whole_with_its_descriptor() {
        let (ours, theirs) = ends();
        let (mut client, socket) = UnixStream::pair().expect("a pair");
        let socket = OwnedFd::from(socket);
        // More than the system has room for at once.
        let long = vec![b'x'; 3 << 20];
        let received = std::thread::scope(|scope| {
            scope.spawn(|| ours.send(&long, Some(&socket)).expect("room in time"));
            theirs.receive::<Vec<u8>>().expect("whole")
        });
        let (message, handle) = received.expect("not the end");
        let handle = handle.expect("it was sent");
        assert_eq!(message, long);
        assert_ne!(handle.as_raw_fd(), socket.as_raw_fd());
        let flags = rustix::io::fcntl_getfd(&handle).expect("it is open");
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        UnixStream::from(handle).write_all(b"a").expect("room");
        client.read_exact(&mut [0]).expect("it was written");
    }

    #[test]
    fn nonsense_is_an_error() {
        for bytes in [
            &b"\xff\xff\xff\xff"[..],
            b"\x02\0\0\0\x05x",
            b"\x05\0\0\0x",
            b"\x05",
        ] {
            let (mut ours, theirs) = UnixStream::pair().expect("a pair");
            ours.write_all(bytes).expect("room");
            drop(ours);
            let channel = Channel::over(theirs.into()).expect("a socket");
            assert!(channel.receive::<String>().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn sending_to_a_closed_end_is_an_error() {
        let (ours, theirs) = ends();
        drop(theirs);
        assert!(ours.send(&1, None).is_err());
    }
}
