//! Where lines go, and the line that is not complete there.

use std::io::{self, Write};
use std::net::UdpSocket;
use std::thread::ThreadId;

use super::lines::RequestLines;

/// A buffer with more memory than this is not kept. Bytes.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Where lines go.
#[derive(Debug, Default)]
pub enum Destination {
    #[default]
    Stderr,
    /// Where standard error cannot be redirected.
    #[cfg(windows)]
    File(std::fs::File),
    Datagrams(UdpSocket),
}

impl Destination {
    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        match self {
            Destination::Stderr => io::stderr().lock().write_all(batch),
            #[cfg(windows)]
            Destination::File(file) => file.write_all(batch),
            Destination::Datagrams(socket) => {
                for line in batch.split_inclusive(|byte| *byte == b'\n') {
                    // A line that does not fit a datagram is lost; the next one may fit.
                    let _lost = socket.send(line);
                }
                Ok(())
            }
        }
    }
}

/// Makes lines and writes them. One thread at a time.
#[derive(Default)]
pub(super) struct Output {
    pub(super) destination: Destination,
    /// Makes lines of requests.
    pub(super) requests: Option<RequestLines>,
    buffer: Vec<u8>,
    /// The thread whose text was the last and has no line end yet.
    unfinished: Option<ThreadId>,
    /// Threads whose line was ended by another's.
    interrupted: Vec<ThreadId>,
}

impl Output {
    /// An empty buffer for a batch.
    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Takes the buffer back.
    pub(super) fn give_buffer(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.shrink_to(KEPT_BYTES_MAX);
        self.buffer = buffer;
    }

    /// The last text has no line end.
    pub(super) fn is_within_line(&self) -> bool {
        self.unfinished.is_some()
    }

    pub(super) fn write_lines(&mut self, lines: &[u8]) {
        if !lines.is_empty() {
            self.end_line();
            self.write(lines);
        }
    }

    pub(super) fn write_text(&mut self, thread: ThreadId, text: &[u8]) {
        let mut text = text;
        if self.unfinished != Some(thread) {
            self.end_line();
            if let Some(at) = self.interrupted.iter().position(|one| *one == thread) {
                self.interrupted.swap_remove(at);
                text = text.strip_prefix(b"\n").unwrap_or(text);
            }
        }
        if !text.is_empty() {
            self.write(text);
            self.unfinished = (!text.ends_with(b"\n")).then_some(thread);
        }
    }

    fn end_line(&mut self) {
        if let Some(thread) = self.unfinished.take() {
            self.write(b"\n");
            if !self.interrupted.contains(&thread) {
                self.interrupted.push(thread);
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        // A log that cannot be written has no place to report that.
        let _unread = self.destination.write(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_another_one_interrupts_ends_there() {
        // Not connected: nothing is sent.
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let mut output = Output {
            destination: Destination::Datagrams(socket),
            ..Output::default()
        };
        let (one, other) = (std::thread::current().id(), spawned());
        let mut told = |thread, text: &str| {
            output.write_text(thread, text.as_bytes());
            (output.unfinished, output.interrupted.clone())
        };
        assert_eq!(told(one, "a"), (Some(one), vec![]));
        assert_eq!(told(one, "b\n"), (None, vec![]));
        assert_eq!(told(one, "c"), (Some(one), vec![]));
        assert_eq!(told(other, "d\n"), (None, vec![one]));
        assert_eq!(told(one, "\n"), (None, vec![]), "its line has ended");
    }

    fn spawned() -> ThreadId {
        let thread = std::thread::spawn(|| std::thread::current().id());
        thread.join().expect("it returns")
    }
}
