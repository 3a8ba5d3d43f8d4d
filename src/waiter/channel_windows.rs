//! Windows: a connection over the loopback interface that carries messages and sockets between two
//! processes.
//!
//! One side listens at a port for a client that knows a secret (`rendezvous`). The secret reaches a
//! child through its standard input, and another process by way of the waiter. A socket travels as
//! the description of a duplicate (`share`), which only the process that it was made for can
//! use.

use std::io::{self, BufRead as _, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::windows::io::OwnedSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::child_process::ChildProcess;
use super::rendezvous::{Rendezvous, connect};
use super::share::{self, SHARED_BYTES};

/// A socket that is sent with a message.
pub type Handle = OwnedSocket;

/// A process that does not read for this long is taken for dead.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// A message is never longer: a connection has at most 16 MiB that were read ahead.
const MESSAGE_BYTES_MAX: u32 = 17 << 20;

/// How long a process may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a connection is looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// One end. Any thread may send; one receives.
#[derive(Debug)]
pub struct Channel {
    socket: TcpStream,
    /// The process that sockets are sent to.
    other: Option<u32>,
    /// Messages of two threads must not mix.
    sending: Mutex<()>,
}

/// Does not apply: only sockets can be sent.
pub(super) fn log_handle() -> Option<Handle> {
    None
}

/// A channel that another process is offered by way of the waiter.
#[derive(Debug)]
pub struct Offer(Rendezvous);

impl Offer {
    /// Listens for the other process.
    ///
    /// # Errors
    /// No port is free, or there is no randomness.
    pub fn new() -> io::Result<Self> {
        Rendezvous::open().map(Self)
    }

    /// How the other process connects.
    pub fn invitation(&self) -> Option<String> {
        Some(self.0.invitation())
    }

    /// Does not apply: the other process connects by itself.
    pub fn handle(&self) -> Option<&Handle> {
        None
    }

    /// This process's end, when the other process has connected.
    ///
    /// # Errors
    /// In words: it has not connected in time.
    pub fn accept(self, pid: u32) -> Result<Channel, String> {
        let socket = accept(&self.0, || None)?;
        Channel::over(socket, Some(pid)).map_err(|error| format!("cannot talk to it: {error}"))
    }
}

impl Channel {
    /// Both ends, for two threads of this process.
    ///
    /// # Errors
    /// No port is free.
    pub(super) fn local_pair() -> io::Result<(Self, Self)> {
        let rendezvous = Rendezvous::open()?;
        let theirs = connect(&rendezvous.invitation())?;
        let ours = accept(&rendezvous, || None).map_err(io::Error::other)?;
        Ok((Self::over(ours, None)?, Self::over(theirs, None)?))
    }

    /// Starts a process that has the other end.
    ///
    /// # Errors
    /// In words: it cannot be started, or ends before it has connected, or does not connect in
    /// time.
    pub(super) fn to_child(mut command: Command) -> Result<(Self, ChildProcess), String> {
        let failed = |error: io::Error| format!("cannot talk to a process: {error}");
        let rendezvous = Rendezvous::open().map_err(failed)?;
        let program = command.get_program().display().to_string();
        let mut child = command
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {program}: {error}"))?;
        let invited = child
            .stdin
            .take()
            .ok_or(ErrorKind::BrokenPipe.into())
            .and_then(|mut input| writeln!(input, "{}", rendezvous.invitation()))
            .map_err(failed);
        let pid = child.id();
        let mut child = ChildProcess::of(child);
        let connected = invited
            .and_then(|()| {
                accept(&rendezvous, || {
                    let how = child.ended()?;
                    Some(format!("the new process {how} at once"))
                })
            })
            .and_then(|socket| Self::over(socket, Some(pid)).map_err(failed));
        match connected {
            Ok(channel) => Ok((channel, child)),
            Err(why) => {
                child.kill();
                Err(why)
            }
        }
    }

    /// The channel to the process that has started this one.
    ///
    /// # Errors
    /// There is none.
    pub fn to_starter() -> io::Result<Self> {
        let mut text = String::new();
        io::stdin().lock().read_line(&mut text)?;
        Self::over(connect(&text)?, None)
    }

    /// The end that this process was invited to.
    ///
    /// # Errors
    /// The other process is gone.
    pub fn accepted(_handle: Option<Handle>, invitation: Option<&str>) -> io::Result<Self> {
        Self::over(connect(invitation.ok_or(ErrorKind::InvalidData)?)?, None)
    }

    /// The other end is this process: sockets can be sent to it.
    pub fn with_peer(mut self, pid: u32) -> Self {
        self.other = Some(pid);
        self
    }

    fn over(socket: TcpStream, other: Option<u32>) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Self {
            socket,
            other,
            sending: Mutex::default(),
        })
    }

    /// Sends a message. The socket that comes with it has to stay open until the other end has
    /// received it.
    ///
    /// # Errors
    /// The other end does not read, or not in time. Nothing more can be sent then.
    pub fn send<M: Serialize>(&self, message: &M, handle: Option<&Handle>) -> io::Result<()> {
        let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.push(u8::from(handle.is_some()));
        // A panic in the middle of a message: the other end notices.
        let _sending = self.sending.lock();
        if let Some(handle) = handle {
            let other = self.other.ok_or(ErrorKind::Unsupported)?;
            bytes.extend_from_slice(&share::with(other, handle)?);
        }
        bytes.extend_from_slice(&body);
        (&self.socket).write_all(&bytes)
    }

    /// Waits for a message and the socket that came with it. `None`: the other end is closed.
    ///
    /// # Errors
    /// It is no message, or the other end closed in the middle of one.
    pub fn receive<M: DeserializeOwned>(&self) -> io::Result<Option<(M, Option<Handle>)>> {
        let mut socket = &self.socket;
        let mut head = [0; 5];
        match socket.read(&mut head)? {
            0 => return Ok(None),
            count => socket.read_exact(head.get_mut(count..).unwrap_or_default())?,
        }
        let [a, b, c, d, has_handle] = head;
        let length = u32::from_le_bytes([a, b, c, d]);
        if length > MESSAGE_BYTES_MAX || has_handle > 1 {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut handle = None;
        if has_handle == 1 {
            let mut shared = [0; SHARED_BYTES];
            socket.read_exact(&mut shared)?;
            handle = Some(share::take(&shared)?);
        }
        let mut body = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        socket.read_exact(&mut body)?;
        let message = postcard::from_bytes(&body).map_err(io::Error::other)?;
        Ok(Some((message, handle)))
    }

    /// Whether a message waits for which nothing else listens: the thread that listens to a process
    /// reads to the end before it looks for the process's end.
    pub(super) fn has_message(&self) -> bool {
        false
    }

    /// Closes both directions.
    pub fn shut_down(&self) {
        // An error: the other end is closed already.
        let _closed = self.socket.shutdown(Shutdown::Both);
    }
}

/// Waits for a connection. `has_failed`: why there will be none.
fn accept(
    rendezvous: &Rendezvous,
    mut has_failed: impl FnMut() -> Option<String>,
) -> Result<TcpStream, String> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    loop {
        match rendezvous.accept() {
            Ok(Some(socket)) => return Ok(socket),
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if let Some(why) = has_failed() {
                    return Err(why);
                }
                if Instant::now() > deadline {
                    return Err("the new process does not connect".to_owned());
                }
                std::thread::sleep(LOOK_INTERVAL);
            }
            Err(error) => return Err(format!("cannot talk to a process: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// In a poll, as in a server.
    fn polled(listener: TcpListener) -> (mio::Poll, mio::net::TcpListener) {
        listener.set_nonblocking(true).expect("a socket");
        let poll = mio::Poll::new().expect("a poll");
        let mut listener = mio::net::TcpListener::from_std(listener);
        poll.registry()
            .register(&mut listener, mio::Token(0), mio::Interest::READABLE)
            .expect("a socket can be in the polls of two processes");
        (poll, listener)
    }

    fn receive(channel: &Channel) -> (u32, Option<Handle>) {
        channel.receive().expect("whole").expect("not the end")
    }

    /// Not a test: the child of the next one runs it.
    #[test]
    #[ignore = "another test's child"]
    fn the_other_end() {
        let channel = Channel::to_starter().expect("a parent");
        let (_, listener) = receive(&channel);
        let (mut poll, mut listener) = polled(TcpListener::from(listener.expect("a listener")));
        channel.send(&1_u32, None).expect("room");
        let (accepted, _) = loop {
            let mut events = mio::Events::with_capacity(8);
            poll.poll(&mut events, None).expect("the poll works");
            match listener.accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                accepted => break accepted.expect("one comes"),
            }
        };
        poll.registry()
            .deregister(&mut listener)
            .expect("it was registered");
        let mut accepted = TcpStream::from(accepted);
        accepted.set_nonblocking(false).expect("a socket");
        accepted.write_all(b"accepted by the child").expect("room");
        drop(accepted);
        let (_, moved) = receive(&channel);
        let mut moved = TcpStream::from(moved.expect("a connection"));
        moved.write_all(b"moved").expect("room");
        channel.send(&2_u32, None).expect("room");
    }

    #[test]
    fn sockets_become_those_of_another_process() {
        let mut command = Command::new(std::env::current_exe().expect("a program"));
        let name = "waiter::channel::tests::the_other_end";
        command.args(["--exact", name, "--ignored"]);
        let (channel, mut child) = Channel::to_child(command).expect("a child");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut kept_client = TcpStream::connect(address).expect("a listener");
        let (kept, _) = listener.accept().expect("one came");
        let shared = listener.try_clone().expect("a handle");
        let (_poll, _polled) = polled(listener);
        channel
            .send(&0_u32, Some(&OwnedSocket::from(shared)))
            .expect("room");
        assert_eq!(receive(&channel).0, 1);
        let mut text = String::new();
        let mut client = TcpStream::connect(address).expect("the child listens");
        client.read_to_string(&mut text).expect("text");
        assert_eq!(text, "accepted by the child");
        let kept = OwnedSocket::from(kept);
        channel.send(&0_u32, Some(&kept)).expect("room");
        assert_eq!(receive(&channel).0, 2);
        drop(kept);
        text.clear();
        kept_client.read_to_string(&mut text).expect("text");
        assert_eq!(text, "moved");
        while child.ended().is_none() {
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    #[test]
    fn a_child_that_ends_at_once_is_not_waited_for() {
        let mut command = Command::new(std::env::current_exe().expect("a program"));
        command.arg("--no-such-argument");
        let why = Channel::to_child(command).map(drop).expect_err("it ends");
        assert!(why.contains("at once"), "{why}");
    }
}
