//! The one writer of the log: to standard error, or to where `--logto` points.
//!
//! Requests and lines wait in a queue, and a thread writes them, a batch at a time: a request costs
//! a copy, not a system call, and a stuck terminal delays no request. The queue is bounded; what
//! does not fit is counted and the count is written. Nothing is lost at a normal exit: `flush`
//! waits. The application's own lines are written at once, in order with its standard error and
//! with the lines before them, so that a crash loses none.

use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::lines::RequestLines;
use super::message_style::MessageStyle;
use super::output::{Destination, Output};
use super::queue::{Entry, Queue};
use super::record::{Capture, Figures, Record};

/// How long lines may wait for company. A person at a terminal does not notice; a busy server saves
/// a system call and a wake-up per line.
const BATCH_TIME: Duration = Duration::from_millis(10);
/// Past this a batch does not wait, and is written before more is made. Bytes.
const BATCH_BYTES: usize = 64 * 1024;

/// How often `flush` looks again.
const FLUSH_PAUSE: Duration = Duration::from_millis(10);
/// How often, and after which pauses, a crash looks whether nothing is being written.
const CRASH_TRIES_MAX: u32 = 100;
const CRASH_PAUSE: Duration = Duration::from_millis(1);

pub type Observer = Box<dyn FnMut(&[u8]) + Send>;

#[derive(Default)]
struct Shared {
    /// Whether this process was made by a fork of the server's: threads that are not in it may hold
    /// the locks, so it writes by itself.
    is_child: Option<fn() -> bool>,
    queue: Queue,
    /// Messages begin with the time of day.
    has_times: AtomicBool,
    style: OnceLock<MessageStyle>,
    /// Entries were taken and are being written.
    is_writing: AtomicBool,
    /// A thread waits in `flush`: write at once.
    is_urgent: AtomicBool,
    output: Mutex<Output>,
    observer: Mutex<Option<Observer>>,
    flushing: Mutex<()>,
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
    /// A style that says the time itself overrules it.
    pub fn set_times(&self, has_times: bool) {
        self.0.has_times.store(has_times, Ordering::Relaxed);
    }

    /// How messages look from now on. Once.
    pub fn set_style(&self, style: MessageStyle) {
        self.0.style.get_or_init(|| style);
    }

    /// How requests become lines from now on.
    pub fn set_lines(&self, lines: RequestLines) {
        self.0.output.lock().requests = Some(lines);
    }

    /// Begins a message.
    pub fn begin_message(&self, lines: &mut Vec<u8>) {
        self.0.begin_message(lines);
    }

    /// Appends a request. `captures` are those of its lines; `capture` pushes the bytes of one.
    pub fn append_request(
        &self,
        figures: Figures,
        captures: &[Capture],
        capture: impl Fn(&Capture, &mut Record),
    ) {
        let queue = &self.0.queue;
        let mut record = queue.record(figures);
        for one in captures {
            capture(one, &mut record);
        }
        queue.push(Entry::Request(record));
    }

    /// Appends what `format` writes, as a whole: lines of several threads never mix.
    pub fn append(&self, format: impl FnOnce(&mut Vec<u8>)) {
        if self.0.is_child() {
            return write_in_child(format);
        }
        let mut lines = Vec::new();
        format(&mut lines);
        self.0.queue.push(Entry::Lines(lines));
    }

    /// As [`append`](Self::append), and writes the lines before it returns. Waits for the reader of
    /// the log.
    pub fn append_now(&self, format: impl FnOnce(&mut Vec<u8>)) {
        if self.0.is_child() {
            return write_in_child(format);
        }
        let mut output = self.0.output.lock();
        let mut lines = Vec::new();
        format(&mut lines);
        self.0.drain(&mut output);
        self.0.write(&mut output, &lines);
    }

    /// Writes text that this thread's application put into the log, which may end within a line. The
    /// thread may go on with the line; if another one writes first, the line ends there.
    pub fn append_text(&self, text: &[u8]) {
        if self.0.is_child() {
            return write_in_child(|lines| lines.extend_from_slice(text));
        }
        let mut output = self.0.output.lock();
        self.0.drain(&mut output);
        output.write_text(std::thread::current().id(), text);
        drop(output);
        self.0.observe(text);
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
    /// in a handler of a signal, so it allocates nothing, and does not wait long for the writer or
    /// for a lock, which the crashed thread may hold itself.
    pub fn write_in_crash(&self) {
        let shared = &*self.0;
        shared.is_urgent.store(true, Ordering::SeqCst);
        shared.queue.wake();
        let mut tries = 0;
        while tries < CRASH_TRIES_MAX && !shared.queue.is_writer() && shared.has_unwritten() {
            std::thread::sleep(CRASH_PAUSE);
            tries += 1;
        }
        for _ in 0..CRASH_TRIES_MAX {
            if let Some(output) = shared.output.try_lock() {
                if output.is_within_line() {
                    write_unlocked(b"\n");
                }
                std::mem::forget(output);
                break;
            }
            std::thread::sleep(CRASH_PAUSE);
        }
    }

    /// Waits until everything that was appended before has been written, but no longer than
    /// `timeout`.
    pub fn flush(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut flushing = self.0.flushing.lock();
        while self.0.has_unwritten() && Instant::now() < deadline {
            self.0.is_urgent.store(true, Ordering::SeqCst);
            self.0.queue.wake();
            let left = deadline.saturating_duration_since(Instant::now());
            let pause = left.min(FLUSH_PAUSE);
            self.0.is_written.wait_for(&mut flushing, pause);
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
        match self.style.get() {
            Some(style) => style.begin(lines),
            None if self.has_times.load(Ordering::Relaxed) => MessageStyle::Ctime.begin(lines),
            None => {}
        }
    }

    fn has_unwritten(&self) -> bool {
        // In this order: entries are taken after the flag is set.
        !self.queue.is_empty() || self.is_writing.load(Ordering::SeqCst)
    }

    fn run(&self) {
        self.queue.set_writer();
        loop {
            self.wait_for_batch();
            let mut output = self.output.lock();
            self.drain(&mut output);
            drop(output);
            if self.is_urgent.swap(false, Ordering::SeqCst) {
                self.is_written.notify_all();
            }
        }
    }

    /// Waits for a line, and gives it a moment to find company.
    fn wait_for_batch(&self) {
        self.queue.wait();
        let began = Instant::now();
        while !self.is_urgent.load(Ordering::SeqCst) && self.queue.bytes() < BATCH_BYTES {
            match BATCH_TIME.checked_sub(began.elapsed()) {
                Some(left) if !left.is_zero() => std::thread::park_timeout(left),
                _ => return,
            }
        }
    }

    /// Writes everything that waits. Entries are written in the order in which they are taken,
    /// because the caller holds the output.
    fn drain(&self, output: &mut Output) {
        if self.queue.is_empty() {
            return;
        }
        self.is_writing.store(true, Ordering::SeqCst);
        let mut batch = output.take_buffer();
        while let Some(entry) = self.queue.pop() {
            match entry {
                Entry::Lines(lines) => batch.extend_from_slice(&lines),
                Entry::Request(record) => {
                    if let Some(requests) = &mut output.requests {
                        requests.append(&record, &mut batch);
                    }
                    self.queue.recycle(record);
                }
            }
            if batch.len() >= BATCH_BYTES {
                self.write(output, &batch);
                batch.clear();
            }
        }
        let dropped = self.queue.take_dropped();
        if dropped > 0 {
            self.begin_message(&mut batch);
            let told = format!(
                "[WARN] {dropped} log lines were dropped: the reader of this log does not keep up\n"
            );
            batch.extend_from_slice(told.as_bytes());
        }
        self.write(output, &batch);
        output.give_buffer(batch);
        self.is_writing.store(false, Ordering::SeqCst);
    }

    fn write(&self, output: &mut Output, lines: &[u8]) {
        output.write_lines(lines);
        self.observe(lines);
    }

    fn observe(&self, batch: &[u8]) {
        if let Some(observer) = &mut *self.observer.lock() {
            observer(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::queue::BYTES_MAX;

    /// A writer without its thread, so that a test sees the queue.
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
        assert!(writer.0.queue.bytes() < BYTES_MAX + 2 * line.len());
        assert_eq!(writer.0.queue.take_dropped(), 11);
    }

    #[test]
    fn flush_returns_when_no_thread_writes() {
        let writer = unread();
        writer.append(|lines| lines.push(b'x'));
        let before = Instant::now();
        writer.flush(Duration::from_millis(20));
        assert!(before.elapsed() >= Duration::from_millis(20));
    }
}
