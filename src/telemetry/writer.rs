//! The one writer of the log: to standard error, or to where `--logto` points.
//!
//! Lines are collected in memory and written by a thread, a batch at a time: a request costs a
//! copy, not a system call, and a stuck terminal delays no request. The buffer is bounded; what
//! does not fit is counted and the count is written. Nothing is lost at a normal exit: `flush`
//! waits.

use std::io::{self, Write};
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How long lines may wait for company. A person at a terminal does not notice; a busy server saves
/// a system call and a wake-up per line.
const BATCH_TIME: Duration = Duration::from_millis(10);
/// Past this a batch does not wait.
const BATCH_BYTES: usize = 64 * 1024;
/// Past this, lines are dropped and counted: the reader of our log is stuck.
const BUFFER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Where lines go.
#[derive(Debug, Default)]
pub enum Destination {
    /// Standard error.
    #[default]
    Stderr,
    /// A connected socket: a datagram for each line.
    Datagrams(UdpSocket),
}

impl Destination {
    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        match self {
            Destination::Stderr => io::stderr().lock().write_all(batch),
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

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    dropped: u64,
    /// The thread waits for the first line of a batch.
    is_waiting: bool,
    /// A thread waits in `flush`: write at once.
    is_urgent: bool,
    /// Lines were taken and are being written.
    is_writing: bool,
}

/// Is shown what is written.
pub type Observer = Box<dyn FnMut(&[u8]) + Send>;

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    destination: Mutex<Destination>,
    observer: Mutex<Option<Observer>>,
    has_lines: Condvar,
    is_written: Condvar,
}

/// A handle to the writer; clones share it. Any thread.
#[derive(Clone)]
pub struct LogWriter(Arc<Shared>);

impl LogWriter {
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("sm-log".to_owned())
            .spawn(move || writer.run())?;
        Ok(Self(shared))
    }

    /// Appends what `format` writes, as a whole: lines of several threads never mix.
    pub fn append(&self, format: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.state.lock();
        if state.lines.len() > BUFFER_BYTES_MAX {
            state.dropped += 1;
            return;
        }
        format(&mut state.lines);
        if state.is_waiting {
            state.is_waiting = false;
            drop(state);
            self.0.has_lines.notify_one();
        }
    }

    /// From the next batch on, lines go there.
    pub fn send_to(&self, destination: Destination) {
        *self.0.destination.lock() = destination;
    }

    /// Shows every batch, whole lines, to `observer` too, on the writing thread: it may append
    /// lines, but not wait for them.
    pub fn show_batches_to(&self, observer: Observer) {
        *self.0.observer.lock() = Some(observer);
    }

    /// Waits until everything that was appended before has been written, but no longer than
    /// `timeout`.
    pub fn flush(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut state = self.0.state.lock();
        while !state.lines.is_empty() || state.is_writing {
            state.is_urgent = true;
            self.0.has_lines.notify_one();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.0.is_written.wait_for(&mut state, left);
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut batch = Vec::new();
        loop {
            self.collect(&mut batch);
            // A log that cannot be written has no place to report that.
            let _unread = self.destination.lock().write(&batch);
            if let Some(observer) = &mut *self.observer.lock() {
                observer(&batch);
            }
            batch.clear();
            let mut state = self.state.lock();
            state.is_writing = false;
            if state.lines.is_empty() {
                state.is_urgent = false;
            }
            drop(state);
            self.is_written.notify_all();
        }
    }

    /// Waits for a line, gives it a moment to find company, and takes all there are.
    fn collect(&self, batch: &mut Vec<u8>) {
        let mut state = self.state.lock();
        while state.lines.is_empty() {
            state.is_waiting = true;
            self.has_lines.wait(&mut state);
        }
        state.is_waiting = false;
        if !state.is_urgent && state.lines.len() < BATCH_BYTES {
            self.has_lines.wait_for(&mut state, BATCH_TIME);
        }
        std::mem::swap(batch, &mut state.lines);
        if state.dropped > 0 {
            let dropped = std::mem::take(&mut state.dropped);
            // A Vec takes everything.
            let _infallible = writeln!(
                batch,
                "[WARN] {dropped} log lines were dropped: the reader of this log does not keep up"
            );
        }
        state.is_writing = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer without its thread, so that a test sees the buffer.
    fn unread() -> LogWriter {
        LogWriter(Arc::new(Shared::default()))
    }

    #[test]
    fn a_stuck_reader_costs_bounded_memory_and_is_counted() {
        let writer = unread();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            writer.append(|lines| lines.extend_from_slice(&line));
        }
        let mut batch = Vec::new();
        writer.0.collect(&mut batch);
        assert!(batch.len() < BUFFER_BYTES_MAX + 2 * line.len());
        let text = String::from_utf8_lossy(&batch);
        assert!(
            text.ends_with("does not keep up\n"),
            "{}",
            &text[text.len() - 80..]
        );
    }

    #[test]
    fn flush_returns_when_nobody_writes() {
        let writer = unread();
        writer.append(|lines| lines.push(b'x'));
        let before = Instant::now();
        writer.flush(Duration::from_millis(20));
        assert!(before.elapsed() >= Duration::from_millis(20));
    }
}
