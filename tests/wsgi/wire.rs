//! The two ends that the tests hold: what an application does to a response, and a sink that writes down what leaves.

use singlemalt::protocol::http::response::Form;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use singlemalt::protocol::http::Version;
use singlemalt::wsgi::{ClientGone, RequestFacts, Response, Room, Sink, WriteError};

pub const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";
pub const GET: RequestFacts = RequestFacts {
    form: Form::Http,
    version: Version::Http11,
    is_head: false,
    keep_alive: true,
};
pub const GET_CLOSE: RequestFacts = RequestFacts {
    form: Form::Http,
    keep_alive: false,
    ..GET
};
pub const HEAD: RequestFacts = RequestFacts {
    form: Form::Http,
    is_head: true,
    ..GET
};
pub const OLD: RequestFacts = RequestFacts {
    form: Form::Http,
    version: Version::Http10,
    is_head: false,
    keep_alive: false,
};
pub const OLD_KEPT: RequestFacts = RequestFacts {
    form: Form::Http,
    keep_alive: true,
    ..OLD
};

/// A sink that writes down what it is given, as a person reads it.
#[derive(Default)]
pub struct Wire {
    /// Everything, in order.
    pub bytes: Vec<u8>,
    /// The same by calls.
    pub told: String,
    /// Calls that succeed before the client goes.
    pub sends_left: Option<usize>,
}

impl Wire {
    fn spend(&mut self) -> Result<(), ClientGone> {
        match &mut self.sends_left {
            Some(0) => {
                self.told.push_str("    (the client is gone)\n");
                Err(ClientGone)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub fn tell(&mut self, what: &str, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if bytes.is_empty() {
            return;
        }
        let _infallible = writeln!(self.told, "    {what}");
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = match line.len() {
                0..=100 => line.escape_ascii().to_string(),
                length => format!("({length} bytes)"),
            };
            let _infallible = writeln!(self.told, "      {line}");
        }
    }
}

impl Sink for Wire {
    fn send(&mut self, first: &[u8], second: &[u8]) -> Result<Room, ClientGone> {
        assert!(!first.is_empty(), "an empty send is a wasted system call");
        self.spend()?;
        self.tell("send", first);
        self.tell("and, without a copy,", second);
        Ok(Room::Ready)
    }

    fn send_file(
        &mut self,
        head: &[u8],
        mut file: File,
        offset: u64,
        length: u64,
    ) -> Result<Room, ClientGone> {
        self.spend()?;
        self.tell("send", head);
        file.seek(SeekFrom::Start(offset)).expect("a sound file");
        let mut part = Vec::new();
        file.take(length)
            .read_to_end(&mut part)
            .expect("a sound file");
        self.tell(
            &format!("and {length} bytes of a file from {offset} on"),
            &part,
        );
        Ok(Room::Ready)
    }

    fn wait_for_room(&mut self) -> Result<(), ClientGone> {
        Ok(())
    }
}

/// What an application and the Python layer do to a response.
#[derive(Clone, Copy, Debug)]
pub enum Act<'a> {
    Begin(&'a [u8]),
    Header(&'a [u8], &'a [u8]),
    Write(&'a [u8]),
    FinishWith(&'a [u8]),
    /// A file of 26 letters: offset, length.
    SendFile(u64, u64),
    Finish,
    Fail(u16),
    Withdraw,
}
pub use Act::{Begin, Fail, Finish, FinishWith, Header, SendFile, Withdraw, Write};

pub fn letters() -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(b"abcdefghijklmnopqrstuvwxyz")
        .expect("a sound file");
    file
}

/// Runs `acts`; errors are written down too, as the log would have them.
pub fn run(response: &mut Response, acts: &[Act<'_>], wire: &mut Wire) {
    for act in acts {
        let refused = match *act {
            Begin(status) => response.begin(status).err().map(|error| error.to_string()),
            Header(name, value) => response
                .header(name, value)
                .err()
                .map(|error| error.to_string()),
            Write(data) => shown(response.write(data, wire)),
            FinishWith(data) => shown(response.finish_with(data, wire)),
            SendFile(offset, length) => shown(response.send_file(letters(), offset, length, wire)),
            Finish => shown(response.finish(wire)),
            Fail(status) => {
                response.fail(status, wire);
                None
            }
            Withdraw => {
                response.withdraw();
                None
            }
        };
        if let Some(error) = refused {
            let _infallible = writeln!(wire.told, "    refused: {error}");
        }
    }
}

pub fn shown(outcome: Result<Room, WriteError>) -> Option<String> {
    outcome.err().map(|error| error.to_string())
}

/// The summary's counts against the wire itself.
pub fn check_counts(wire: &[u8], header_bytes: usize, header_count: usize) {
    let end = wire
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a complete head")
        + 4;
    assert_eq!(header_bytes, end);
    let lines = wire[..end].iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(
        header_count,
        lines - 2,
        "all lines but the status line and the empty one"
    );
}
