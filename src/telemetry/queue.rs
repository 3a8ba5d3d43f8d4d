//! What waits for the thread that writes: any thread appends, without a lock and without waiting.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::Thread;

use crossbeam::queue::{ArrayQueue, SegQueue};

use super::record::{Figures, Record};

/// Past this, lines are dropped and counted: the reader of our log is stuck.
pub(super) const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Records that are kept for the next requests.
const SPARE_MAX: usize = 256;
/// A record with more memory is not kept. Bytes.
const SPARE_BYTES_MAX: usize = 4096;

pub(super) enum Entry {
    /// Becomes a line.
    Request(Box<Record>),
    /// Whole lines.
    Lines(Vec<u8>),
}

impl Entry {
    fn memory_bytes(&self) -> usize {
        match self {
            Self::Request(record) => record.memory_bytes(),
            Self::Lines(lines) => lines.len(),
        }
    }
}

pub(super) struct Queue {
    entries: SegQueue<Entry>,
    bytes: AtomicUsize,
    dropped: AtomicU64,
    spare: ArrayQueue<Box<Record>>,
    /// The writer sleeps until there is an entry.
    is_writer_idle: AtomicBool,
    writer: OnceLock<Thread>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            entries: SegQueue::new(),
            bytes: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            spare: ArrayQueue::new(SPARE_MAX),
            is_writer_idle: AtomicBool::new(false),
            writer: OnceLock::new(),
        }
    }
}

impl Queue {
    /// Appends, or counts what finds no room.
    pub(super) fn push(&self, entry: Entry) {
        let bytes = entry.memory_bytes();
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) > BYTES_MAX {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.entries.push(entry);
        // The fence orders the entry before the flag, as the writer orders the flag before its last
        // look: one of the two sees the other.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.is_writer_idle.load(Ordering::Relaxed)
            && self.is_writer_idle.swap(false, Ordering::Relaxed)
        {
            self.wake();
        }
    }

    /// A record for a request, with the memory of an earlier one.
    pub(super) fn record(&self, figures: Figures) -> Box<Record> {
        match self.spare.pop() {
            Some(mut record) => {
                record.reset(figures);
                record
            }
            None => Box::new(Record::new(figures)),
        }
    }

    pub(super) fn pop(&self) -> Option<Entry> {
        let entry = self.entries.pop()?;
        self.bytes
            .fetch_sub(entry.memory_bytes(), Ordering::Relaxed);
        Some(entry)
    }

    /// Takes a record back.
    pub(super) fn recycle(&self, record: Box<Record>) {
        if record.memory_bytes() <= SPARE_BYTES_MAX {
            // There are enough.
            let _surplus = self.spare.push(record);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many entries found no room since the last call.
    pub(super) fn take_dropped(&self) -> u64 {
        match self.dropped.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.dropped.swap(0, Ordering::Relaxed),
        }
    }

    /// Names the thread that writes: the calling one.
    pub(super) fn set_writer(&self) {
        self.writer.get_or_init(std::thread::current);
    }

    /// Whether the calling thread is the writer.
    pub(super) fn is_writer(&self) -> bool {
        let writer = self.writer.get();
        writer.is_some_and(|writer| writer.id() == std::thread::current().id())
    }

    /// Lets the writer look.
    pub(super) fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    /// Waits for an entry. The writer's own.
    pub(super) fn wait(&self) {
        while self.is_empty() {
            self.is_writer_idle.store(true, Ordering::Relaxed);
            std::sync::atomic::fence(Ordering::SeqCst);
            if self.is_empty() {
                std::thread::park();
            }
            self.is_writer_idle.store(false, Ordering::Relaxed);
        }
    }
}
