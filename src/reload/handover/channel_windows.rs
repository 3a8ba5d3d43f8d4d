//! Windows: the line between a process and its successor: a connection of this machine that carries
//! words and sockets.
//!
//! The successor is a child. It reads from its standard input, which no other process sees, where
//! to connect and a secret that says who it is. A socket is sent as what the system says of a
//! duplicate of it that was made for the other process (`net::share`); so sockets go to the
//! successor only, whose process id is known. The process at one end sees at once when the other
//! one is gone.

use std::io::{self, BufRead as _, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use parking_lot::Mutex;

use super::child_process::Offspring;
use super::message::{HEAD_BYTES, Head, Word};
use super::rendezvous::{self, Meeting};
use crate::app::Deadlines;
use crate::net::os::share::{self, SHARED_BYTES};

/// A process that does not read for so long is taken for dead.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is looked at whether the child has connected.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// One end. Any thread may speak; one listens.
#[derive(Debug)]
pub struct Line {
    socket: TcpStream,
    /// Whom sockets can be sent to.
    other: Option<u32>,
    /// Words are not to be mixed.
    speaking: Mutex<()>,
}

impl Line {
    /// Starts a process, and talks to it from now on.
    ///
    /// # Errors
    /// In words: it cannot be started, or ends before it has said who it is, or the deadline has
    /// passed.
    pub fn to_new(
        mut command: Command,
        deadlines: &Deadlines,
    ) -> Result<(Self, Offspring), String> {
        let told = |error| format!("cannot talk to a process: {error}");
        let meeting = Meeting::open().and_then(Meeting::without_waiting);
        let meeting = meeting.map_err(told)?;
        let mut child = command.stdin(Stdio::piped()).spawn().map_err(|error| {
            format!("cannot start {}: {error}", command.get_program().display())
        })?;
        let met = child
            .stdin
            .take()
            .ok_or(ErrorKind::BrokenPipe.into())
            .and_then(|mut input| writeln!(input, "{}", meeting.invitation()))
            .map_err(told)
            .and_then(|()| wait(&meeting, &mut child, deadlines))
            .and_then(|socket| Self::over(socket, Some(child.id())).map_err(told));
        match met {
            Ok(line) => Ok((line, Offspring::of(child))),
            Err(why) => {
                let _gone = child.kill();
                Err(why)
            }
        }
    }

    /// The line to the process that has started this one.
    ///
    /// # Errors
    /// There is none.
    pub fn to_starter() -> io::Result<Self> {
        let mut text = String::new();
        io::stdin().lock().read_line(&mut text)?;
        let socket = rendezvous::attend(&text)?;
        Self::over(socket, None)
    }

    fn over(socket: TcpStream, other: Option<u32>) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Self {
            socket,
            other,
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
        let mut said = head.to_vec();
        if let Some(socket) = word.socket() {
            let other = self.other.ok_or(ErrorKind::Unsupported)?;
            said.extend_from_slice(&share::with(other, socket)?);
        }
        said.extend_from_slice(&word.payload());
        (&self.socket).write_all(&said)
    }

    /// Waits for what is said. `None`: the other end is gone.
    ///
    /// # Errors
    /// What was said makes no sense, or the line broke.
    pub fn hear(&self) -> io::Result<Option<Word>> {
        let mut socket = &self.socket;
        let mut bytes = [0; HEAD_BYTES];
        match socket.read(&mut bytes)? {
            0 => return Ok(None),
            count => socket.read_exact(bytes.get_mut(count..).unwrap_or_default())?,
        }
        let nonsense = || io::Error::new(ErrorKind::InvalidData, "an unknown message");
        let head = Head::read(bytes).ok_or_else(nonsense)?;
        let handle = if head.has_socket() {
            let mut shared = [0; SHARED_BYTES];
            socket.read_exact(&mut shared)?;
            Some(share::take(&shared)?)
        } else {
            None
        };
        let mut payload = vec![0; head.length()];
        socket.read_exact(&mut payload)?;
        let word = Word::of(head, handle, payload).ok_or_else(nonsense)?;
        Ok(Some(word))
    }
}

/// Waits until the child has connected.
fn wait(meeting: &Meeting, child: &mut Child, deadlines: &Deadlines) -> Result<TcpStream, String> {
    loop {
        match meeting.accept() {
            Ok(Some(socket)) => return Ok(socket),
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if let Ok(Some(status)) = child.try_wait() {
                    return Err(format!("the new process ended at once ({status})"));
                }
                deadlines
                    .pause(LOOK_INTERVAL)
                    .map_err(|why| why.to_string())?;
            }
            Err(error) => return Err(format!("cannot talk to a process: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Handle, ParkedConnection};
    use std::net::TcpListener;
    use std::os::windows::io::OwnedSocket;
    use std::time::Instant;

    fn hear(line: &Line) -> Word {
        line.hear().expect("whole").expect("not the end")
    }

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

    /// Not a test: what the child of the next one runs.
    #[test]
    #[ignore = "another test's child"]
    fn the_other_end() {
        let line = Line::to_starter().expect("a parent");
        let Word::Listener(socket) = hear(&line) else {
            panic!("a listener comes first");
        };
        let (mut poll, mut listener) = polled(TcpListener::from(socket));
        line.say(&Word::Ready).expect("room");
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
        // Its end is waited for.
        drop(accepted);
        let Word::Connection(parked) = hear(&line) else {
            panic!("a connection follows");
        };
        let mut moved = TcpStream::from(parked.socket);
        moved.write_all(b"moved: ").expect("room");
        moved.write_all(&parked.unread).expect("room");
        assert!(matches!(hear(&line), Word::Farewell(text) if text == "3 3"));
        line.say(&Word::Ready).expect("room");
    }

    #[test]
    fn sockets_become_those_of_another_process() {
        let mut command = Command::new(std::env::current_exe().expect("a program"));
        command.args(["--exact", "server::line::tests::the_other_end", "--ignored"]);
        let (_interest, cancelled) = crossbeam::channel::bounded(0);
        let deadlines = Deadlines {
            until: Some(Instant::now() + Duration::from_secs(60)),
            cancelled,
        };
        let (line, mut child) = Line::to_new(command, &deadlines).expect("a child");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut parked_client = TcpStream::connect(address).expect("a listener");
        let (parked, _) = listener.accept().expect("one came");
        let shared = listener.try_clone().expect("a handle");
        let (_poll, _polled) = polled(listener);
        line.say(&Word::Listener(OwnedSocket::from(shared)))
            .expect("room");
        assert!(matches!(hear(&line), Word::Ready));
        let mut text = String::new();
        let mut client = TcpStream::connect(address).expect("the child listens");
        client.read_to_string(&mut text).expect("text");
        assert_eq!(text, "accepted by the child");
        line.say(&Word::Connection(ParkedConnection {
            socket: Handle::from(parked),
            listener: 0,
            unread: b"GET /".to_vec(),
        }))
        .expect("room");
        text.clear();
        line.say(&Word::Farewell("3 3".to_owned())).expect("room");
        parked_client.read_to_string(&mut text).expect("text");
        assert_eq!(text, "moved: GET /");
        assert!(matches!(hear(&line), Word::Ready));
        assert!(!matches!(line.hear(), Ok(Some(_))));
        while child.ended().is_none() {
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    #[test]
    fn a_child_that_ends_at_once_is_not_waited_for() {
        let mut command = Command::new(std::env::current_exe().expect("a program"));
        command.arg("--no-such-argument");
        let (_interest, cancelled) = crossbeam::channel::bounded(0);
        let deadlines = Deadlines {
            until: None,
            cancelled,
        };
        let why = Line::to_new(command, &deadlines).expect_err("it ends");
        assert!(why.contains("ended at once"), "{why}");
    }
}
