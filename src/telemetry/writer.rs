//! The one writer of the log: to standard error, or to where `--logto` points.
//!
//! Requests and lines wait in a queue, and a thread writes them, a batch at a time: a request costs
//! a copy, not a system call, and a stuck terminal delays no request. The queue is bounded; what
//! does not fit is counted and the count is written. Nothing is lost at a normal exit: `flush`
//! waits. The application's own lines are written at once, in order with its standard error and
//! with the lines before them, so that a crash loses none.

use std::io::{self, PipeReader};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::captured::Captured;
use super::chains::Chains;
use super::lines::RequestLines;
use super::message_style::MessageStyle;
use super::output::{Destination, MainFile, Output};
use super::queue::{Entry, Queue};
use super::record::{Capture, Figures, Record};

/// How long lines may wait for company. A person at a terminal does not notice; a busy server saves
/// a system call and a wake-up per line.
const BATCH_TIME: Duration = Duration::from_millis(10);
/// Past this a batch does not wait, and is written before more is made. Bytes.
const BATCH_BYTES: usize = 64 * 1024;

/// How often `flush` looks again.
const FLUSH_PAUSE: Duration = Duration::from_millis(10);
/// How often it looks at the pipe to which the process prints.
const PIPE_PAUSE: Duration = Duration::from_millis(1);
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
    /// Bytes that wait for slow loggers.
    pending: OnceLock<Vec<Arc<AtomicUsize>>>,
    /// Standard output and standard error, if they are a pipe to this process.
    captured: OnceLock<Captured>,
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

    /// How messages look from now on. Once, before other threads log.
    pub fn set_style(&self, style: MessageStyle) {
        self.0.style.get_or_init(|| style);
    }

    /// How requests become lines from now on.
    pub fn set_lines(&self, lines: RequestLines) {
        self.0.output.lock().requests = Some(lines);
    }

    /// Lines go through these chains from now on. Once.
    pub fn set_chains(&self, chains: Chains) {
        let mut output = self.0.output.lock();
        self.0.drain(&mut output);
        output.chains = Some(chains);
        self.0.pending.get_or_init(|| output.pending());
    }

    /// The file that lines go to, if it is to be rotated.
    pub fn set_main_file(&self, file: Option<MainFile>) {
        self.0.output.lock().main_file = file;
    }

    /// Rotates all log files.
    pub fn rotate(&self) {
        let mut output = self.0.output.lock();
        self.0.drain(&mut output);
        output.rotate();
    }

    /// Opens the files of loggers again.
    pub fn reopen_loggers(&self) {
        let mut output = self.0.output.lock();
        self.0.drain(&mut output);
        if let Some(chains) = &mut output.chains {
            chains.reopen();
        }
    }

    /// Reads what the process prints from `pipe`, on a thread of its own, as lines of the log.
    pub fn read_printed(&self, pipe: PipeReader) -> io::Result<()> {
        let writer = self.clone();
        let captured = self.0.captured.get_or_init(Captured::default);
        captured.watch(&pipe)?;
        std::thread::Builder::new()
            .name("sm-log-printed".to_owned())
            .spawn(move || read_lines(pipe, &writer.0))?;
        Ok(())
    }

    /// Appends a message of the server; without a level, its lines as they are.
    pub fn append_message(&self, level: &str, text: &str) {
        self.append(|lines| self.0.message(level, text, lines));
    }

    /// As [`append_message`](Self::append_message), and writes it before it returns. Waits for the
    /// reader of the log.
    pub(super) fn write_message(&self, level: &str, text: &str) {
        if self.0.is_child() {
            return write_in_child(|lines| self.0.message(level, text, lines));
        }
        let mut lines = Vec::new();
        self.0.message(level, text, &mut lines);
        let mut output = self.0.output.lock();
        self.0.drain(&mut output);
        self.0.write(&mut output, &lines);
        self.0.end_batch(&mut output);
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
    fn append(&self, format: impl FnOnce(&mut Vec<u8>)) {
        if self.0.is_child() {
            return write_in_child(format);
        }
        let mut lines = Vec::new();
        format(&mut lines);
        self.0.queue.push(Entry::Lines(lines));
    }

    /// Writes text that this thread's application put into the log, which may end within a line. The
    /// thread may go on with the line; if another one writes first, the line ends there.
    pub fn append_text(&self, text: &[u8]) {
        if self.0.is_child() {
            return write_in_child(|lines| lines.extend_from_slice(text));
        }
        let mut output = self.0.output.lock();
        self.0.drain(&mut output);
        output.write_text(std::thread::current().id(), text, self.0.style());
        self.0.end_batch(&mut output);
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
                output.destination.become_standard_error();
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
        if let Some(mut output) = self.0.output.try_lock_until(deadline) {
            output.end_texts(self.0.style());
            self.0.end_batch(&mut output);
        }
        self.0.wait_for_pipe(deadline);
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

/// Reads text from `pipe` until its other ends are closed; each whole line is appended.
fn read_lines(mut pipe: PipeReader, shared: &Shared) {
    let Some(captured) = shared.captured.get() else {
        return;
    };
    captured.read(&mut pipe, |line| shared.append_printed(line));
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

    fn style(&self) -> &MessageStyle {
        self.style.get_or_init(MessageStyle::default)
    }

    fn message(&self, level: &str, text: &str, lines: &mut Vec<u8>) {
        let has_time = self.has_times.load(Ordering::Relaxed);
        self.style().append(level, text, has_time, lines);
    }

    fn append_printed(&self, line: &[u8]) {
        let mut made = Vec::new();
        self.style().append_text(line, None, &mut made);
        self.queue.push(Entry::Lines(made));
    }

    /// Waits until what was printed has been read, and ends a line that has no end.
    fn wait_for_pipe(&self, deadline: Instant) {
        let Some(captured) = self.captured.get() else {
            return;
        };
        while captured.has_unread() && Instant::now() < deadline {
            std::thread::sleep(PIPE_PAUSE);
        }
        captured.end_line(|line| self.append_printed(line));
    }

    fn has_unwritten(&self) -> bool {
        let captured = self.captured.get();
        let pending = self.pending.get().into_iter().flatten();
        // In this order: text becomes entries, and entries are taken after the flag is set.
        captured.is_some_and(Captured::has_unread)
            || !self.queue.is_empty()
            || self.is_writing.load(Ordering::SeqCst)
            || pending
                .into_iter()
                .any(|bytes| bytes.load(Ordering::SeqCst) > 0)
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
            let from = batch.len();
            let is_request = matches!(entry, Entry::Request(_));
            match entry {
                Entry::Lines(lines) => batch.extend_from_slice(&lines),
                Entry::Request(record) => {
                    if let Some(requests) = &mut output.requests {
                        requests.append(&record, &mut batch);
                    }
                    self.queue.recycle(record);
                }
            }
            output.route(batch.get(from..).unwrap_or_default(), is_request);
            if batch.len() >= BATCH_BYTES {
                self.write_routed(output, &batch);
                self.end_batch(output);
                batch.clear();
            }
        }
        let dropped = self.queue.take_dropped();
        if dropped > 0 {
            let from = batch.len();
            let told = format!(
                "{dropped} log lines were dropped: the reader of this log does not keep up"
            );
            self.message("WARN", &told, &mut batch);
            output.route(batch.get(from..).unwrap_or_default(), false);
        }
        self.write_routed(output, &batch);
        output.give_buffer(batch);
        self.end_batch(output);
        self.is_writing.store(false, Ordering::SeqCst);
    }

    /// Writes lines that may go through chains.
    fn write(&self, output: &mut Output, lines: &[u8]) {
        output.route(lines, false);
        self.write_routed(output, lines);
    }

    /// Writes lines to the destination, unless they went through chains.
    fn write_routed(&self, output: &mut Output, lines: &[u8]) {
        if output.chains.is_none() {
            output.write_raw(lines);
        }
        self.observe(lines);
    }

    /// Loggers write. What they lost is told in the next batch.
    fn end_batch(&self, output: &mut Output) {
        if let Some(told) = output.end_batch() {
            let mut lines = Vec::new();
            self.message("WARN", &told, &mut lines);
            self.queue.push(Entry::Lines(lines));
        }
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
