//! Where lines go: to loggers, if there are any, else to one destination; and the line that is not
//! complete there.

use std::fs::File;
use std::io::{self, Write};
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::ThreadId;

use super::chains::Chains;
use super::json_line::worker_of_this_thread;
use super::lines::RequestLines;
use super::message_style::MessageStyle;
use super::rotation::FileRules;

/// A buffer with more memory than this is not kept. Bytes.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Where lines go.
#[derive(Debug, Default)]
pub enum Destination {
    #[default]
    Stderr,
    /// Where standard error cannot be redirected, or is a pipe to this process.
    File(File),
    Datagrams(UdpSocket),
}

impl Destination {
    /// For what others still print: the process crashes, and standard error may be a pipe to it.
    pub(super) fn become_standard_error(&self) {
        #[cfg(unix)]
        if let Self::File(file) = self {
            // The text stays in the pipe then.
            let _lost = rustix::stdio::dup2_stderr(file);
        }
    }

    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        match self {
            Destination::Stderr => io::stderr().lock().write_all(batch),
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

/// Makes the new file the destination, and returns how it is written from now on.
pub type Redirect = Box<dyn FnMut(&File) -> io::Result<Destination> + Send>;

/// The file of the log, which is rotated.
pub struct MainFile {
    rules: FileRules,
    file: File,
    redirect: Redirect,
}

impl MainFile {
    /// `file` is the destination already.
    pub fn new(rules: FileRules, file: File, redirect: Redirect) -> Self {
        Self {
            rules,
            file,
            redirect,
        }
    }
}

/// Makes lines and writes them. One thread at a time.
#[derive(Default)]
pub(super) struct Output {
    pub(super) destination: Destination,
    /// Makes lines of requests.
    pub(super) requests: Option<RequestLines>,
    pub(super) chains: Option<Chains>,
    pub(super) main_file: Option<MainFile>,
    /// What of the loggers' lines goes to the destination.
    main: Vec<u8>,
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

    /// Sends lines to the loggers, if there are any; else returns `false`.
    pub(super) fn route(&mut self, lines: &[u8], is_request: bool) -> bool {
        let Some(chains) = &mut self.chains else {
            return false;
        };
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            chains.add(line, is_request, &mut self.main);
        }
        true
    }

    /// The batch ends: loggers write. Returns what to tell about lines that are lost.
    pub(super) fn end_batch(&mut self) -> Option<String> {
        let told = self.chains.as_mut().and_then(Chains::flush);
        if !self.main.is_empty() {
            let main = std::mem::take(&mut self.main);
            self.write_raw(&main);
            self.main = main;
            self.main.clear();
            self.main.shrink_to(KEPT_BYTES_MAX);
        }
        if let Some(main) = &self.main_file
            && main.rules.is_due(&main.file)
        {
            self.rotate_main();
        }
        told
    }

    /// Writes lines to the destination.
    pub(super) fn write_raw(&mut self, lines: &[u8]) {
        if !lines.is_empty() {
            self.end_line();
            self.write(lines);
        }
    }

    /// Writes text of this thread's application.
    pub(super) fn write_text(&mut self, thread: ThreadId, text: &[u8], style: &MessageStyle) {
        let Some(chains) = &mut self.chains else {
            return self.write_raw_text(thread, text);
        };
        let worker = style.is_json().then(worker_of_this_thread).flatten();
        let main = &mut self.main;
        chains.add_text(thread, text, |chains, line| {
            let mut made = Vec::new();
            style.append_text(line, worker.as_deref(), &mut made);
            chains.add(&made, false, main);
        });
    }

    /// Text that has no line end yet gets one.
    pub(super) fn end_texts(&mut self, style: &MessageStyle) {
        if let Some(chains) = &mut self.chains {
            let main = &mut self.main;
            chains.end_texts(|chains, line| {
                let mut made = Vec::new();
                style.append_text(line, None, &mut made);
                chains.add(&made, false, main);
            });
        }
    }

    fn write_raw_text(&mut self, thread: ThreadId, text: &[u8]) {
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

    /// Rotates the files of the log and of the loggers.
    pub(super) fn rotate(&mut self) {
        self.rotate_main();
        if let Some(chains) = &mut self.chains {
            chains.rotate();
        }
    }

    fn rotate_main(&mut self) {
        let Some(main) = &mut self.main_file else {
            return;
        };
        let rotated = main.rules.rotate(&mut main.file).and_then(|new| {
            let destination = (main.redirect)(&new)?;
            main.file = new;
            Ok(destination)
        });
        match rotated {
            Ok(destination) => self.destination = destination,
            Err(error) => {
                let path = main.rules.path.display();
                tracing::error!("cannot rotate the log {path}: {error}");
                // Not again for each batch.
                main.rules.bytes_max = None;
            }
        }
    }

    /// Counters of the bytes that wait for slow loggers.
    pub(super) fn pending(&self) -> Vec<Arc<std::sync::atomic::AtomicUsize>> {
        self.chains
            .as_ref()
            .map(Chains::pending)
            .unwrap_or_default()
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
            output.write_raw_text(thread, text.as_bytes());
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
