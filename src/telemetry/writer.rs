//! The one writer of the log: to standard error, or to where `--logto` points.
//!
//! Lines are collected in memory and written by a thread, a batch at a time: a request costs a
//! copy, not a system call, and a stuck terminal delays no request. The buffer is bounded; what
//! does not fit is counted and the count is written. Nothing is lost at a normal exit: `flush`
//! waits. The application's own lines are written at once, in order with its standard error and
//! with the lines before them, so that a crash loses none.

use std::io::{self, Write};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use super::local_time::append_time;

/// How long lines may wait for company. A person at a terminal does not notice; a busy server saves
/// a system call and a wake-up per line.
const BATCH_TIME: Duration = Duration::from_millis(10);
/// Past this a batch does not wait.
const BATCH_BYTES: usize = 64 * 1024;
/// Past this, lines are dropped and counted: the reader of our log is stuck.
const BUFFER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How often, and after which pauses, a crash looks whether nothing is being written.
const CRASH_TRIES_MAX: u32 = 100;
const CRASH_PAUSE: Duration = Duration::from_millis(1);

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

/// Where lines go, and the line that is not complete there.
#[derive(Default)]
struct Output {
    destination: Destination,
    /// The thread whose text was the last and has no line end yet.
    unfinished: Option<ThreadId>,
    /// Threads whose line was ended by another's.
    interrupted: Vec<ThreadId>,
}

impl Output {
    fn write_lines(&mut self, lines: &[u8]) {
        if !lines.is_empty() {
            self.end_line();
            self.write(lines);
        }
    }

    fn write_text(&mut self, thread: ThreadId, text: &[u8]) {
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

pub type Observer = Box<dyn FnMut(&[u8]) + Send>;

#[derive(Default)]
struct Shared {
    /// Whether this process was made by a fork of the server's: threads that are not in it may hold
    /// the locks, so it writes by itself.
    is_child: Option<fn() -> bool>,
    /// Messages begin with the time of day.
    has_times: AtomicBool,
    state: Mutex<State>,
    output: Mutex<Output>,
    observer: Mutex<Option<Observer>>,
    has_lines: Condvar,
    is_written: Condvar,
}

/// A handle to the writer; clones share it. Any thread.
#[derive(Clone)]
pub struct LogWriter(Arc<Shared>);

impl LogWriter {
    /// `is_child`: whether the calling process was made by a fork of this one.
    pub fn start(is_child: fn() -> bool) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            is_child: Some(is_child),
            ..Shared::default()
        });
        let writer = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("sm-log".to_owned())
            .spawn(move || writer.run())?;
        Ok(Self(shared))
    }

    /// Whether each message begins with the time of day, as in a file: elsewhere its reader knows it.
    pub fn set_times(&self, has_times: bool) {
        self.0.has_times.store(has_times, Ordering::Relaxed);
    }

    /// Begins a message.
    pub fn begin_message(&self, lines: &mut Vec<u8>) {
        self.0.begin_message(lines);
    }

    /// Appends what `format` writes, as a whole: lines of several threads never mix.
    pub fn append(&self, format: impl FnOnce(&mut Vec<u8>)) {
        if self.0.is_child() {
            return write_in_child(format);
        }
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

    /// As [`append`](Self::append), and writes the lines before it returns. Waits for the reader of
    /// the log.
    pub fn append_now(&self, format: impl FnOnce(&mut Vec<u8>)) {
        if self.0.is_child() {
            return write_in_child(format);
        }
        let mut output = self.0.output.lock();
        let mut batch = self.0.take();
        format(&mut batch);
        output.write_lines(&batch);
        drop(output);
        self.0.observe(&batch);
        self.0.is_done();
    }

    /// Writes text that this thread's application put into the log, which may end within a line. The
    /// thread may go on with the line; if another one writes first, the line ends there.
    pub fn append_text(&self, text: &[u8]) {
        if self.0.is_child() {
            return write_in_child(|lines| lines.extend_from_slice(text));
        }
        let mut output = self.0.output.lock();
        let batch = self.0.take();
        output.write_lines(&batch);
        output.write_text(std::thread::current().id(), text);
        drop(output);
        self.0.observe(&batch);
        self.0.observe(text);
        self.0.is_done();
    }

    /// From the next batch on, lines go there.
    pub fn send_to(&self, destination: Destination) {
        self.0.output.lock().destination = destination;
    }

    /// Shows every batch, whole lines, to `observer` too, on the writing thread: it may append
    /// lines, but not wait for them.
    pub fn show_batches_to(&self, observer: Observer) {
        *self.0.observer.lock() = Some(observer);
    }

    /// Writes the lines that wait, and lets no thread write after them: the process crashes. May run
    /// in a handler of a signal, so it allocates nothing, and does not wait long for a lock, which
    /// the crashed thread may hold itself.
    pub fn write_in_crash(&self) {
        for _ in 0..CRASH_TRIES_MAX {
            if let Some(output) = self.0.output.try_lock() {
                if output.unfinished.is_some() {
                    write_unlocked(b"\n");
                }
                std::mem::forget(output);
                break;
            }
            std::thread::sleep(CRASH_PAUSE);
        }
        if let Some(state) = self.0.state.try_lock() {
            write_unlocked(&state.lines);
            std::mem::forget(state);
        }
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

/// Writes to standard error without a lock.
fn write_in_child(format: impl FnOnce(&mut Vec<u8>)) {
    let mut lines = Vec::new();
    format(&mut lines);
    write_unlocked(&lines);
}

fn write_unlocked(lines: &[u8]) {
    #[cfg(not(unix))]
    let _nothing_forks = lines;
    #[cfg(unix)]
    {
        let mut rest = lines;
        while let Ok(written @ 1..) = rustix::io::write(rustix::stdio::stderr(), rest) {
            rest = &rest[written..];
        }
    }
}

impl Shared {
    fn is_child(&self) -> bool {
        self.is_child.is_some_and(|is_child| is_child())
    }

    fn begin_message(&self, lines: &mut Vec<u8>) {
        if self.has_times.load(Ordering::Relaxed) {
            append_time(SystemTime::now(), lines);
            // uWSGI's, with `log-date`.
            lines.extend_from_slice(b" - ");
        }
    }

    fn run(&self) {
        loop {
            self.wait_for_lines();
            // Before lines are taken: batches are written in the order in which they are taken.
            let mut output = self.output.lock();
            let batch = self.take();
            output.write_lines(&batch);
            drop(output);
            self.observe(&batch);
            self.is_done();
        }
    }

    fn is_done(&self) {
        let mut state = self.state.lock();
        state.is_writing = false;
        if state.lines.is_empty() {
            state.is_urgent = false;
        }
        drop(state);
        self.is_written.notify_all();
    }

    fn observe(&self, batch: &[u8]) {
        if let Some(observer) = &mut *self.observer.lock() {
            observer(batch);
        }
    }

    /// Waits for a line, and gives it a moment to find company.
    fn wait_for_lines(&self) {
        let mut state = self.state.lock();
        while state.lines.is_empty() {
            state.is_waiting = true;
            self.has_lines.wait(&mut state);
        }
        state.is_waiting = false;
        if !state.is_urgent && state.lines.len() < BATCH_BYTES {
            self.has_lines.wait_for(&mut state, BATCH_TIME);
        }
    }

    /// Takes all lines that wait; the caller writes them.
    fn take(&self) -> Vec<u8> {
        let mut state = self.state.lock();
        let mut batch = std::mem::take(&mut state.lines);
        if state.dropped > 0 {
            let dropped = std::mem::take(&mut state.dropped);
            self.begin_message(&mut batch);
            // A Vec takes everything.
            let _infallible = writeln!(
                batch,
                "[WARN] {dropped} log lines were dropped: the reader of this log does not keep up"
            );
        }
        state.is_writing = !batch.is_empty();
        batch
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
        let batch = writer.0.take();
        assert!(batch.len() < BUFFER_BYTES_MAX + 2 * line.len());
        let text = String::from_utf8_lossy(&batch);
        assert!(
            text.ends_with("does not keep up\n"),
            "{}",
            &text[text.len() - 80..]
        );
    }

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

    #[test]
    fn flush_returns_when_nobody_writes() {
        let writer = unread();
        writer.append(|lines| lines.push(b'x'));
        let before = Instant::now();
        writer.flush(Duration::from_millis(20));
        assert!(before.elapsed() >= Duration::from_millis(20));
    }
}
