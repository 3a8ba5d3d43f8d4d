//! The job in progress of each worker thread, in memory that the handler of a fatal signal may
//! read: static, never freed, made of atomics.
//!
//! A worker writes where a job begins and ends: a few plain stores. [`report`] writes all of them
//! to standard error without a lock and without an allocation, so it may run in a handler.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::app::worker_id::WorkerId;

/// Longer texts are cut.
const WORDS: usize = 64;
const TEXT_BYTES_MAX: usize = WORDS * 8;
/// Slots are allocated in blocks. Threads beyond the last block are not reported.
const BLOCK_SLOTS: usize = 32;
const BLOCKS: usize = 128;

static SLOTS: [OnceLock<Box<[Slot]>>; BLOCKS] = [const { OnceLock::new() }; BLOCKS];
static ORIGIN: OnceLock<(Instant, SystemTime)> = OnceLock::new();

struct Slot {
    is_taken: AtomicBool,
    worker: AtomicUsize,
    core: AtomicUsize,
    thread: AtomicU64,
    /// Bytes of the text; 0: nothing is in progress.
    length: AtomicUsize,
    since_micros: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Slot {
    const fn new() -> Self {
        Self {
            is_taken: AtomicBool::new(false),
            worker: AtomicUsize::new(0),
            core: AtomicUsize::new(0),
            thread: AtomicU64::new(0),
            length: AtomicUsize::new(0),
            since_micros: AtomicU64::new(0),
            words: [const { AtomicU64::new(0) }; WORDS],
        }
    }
}

/// A worker thread's own place for its job in progress.
pub(crate) struct InProgress(Option<&'static Slot>);

impl InProgress {
    /// A free place. `thread`: the system's number of the worker's thread.
    pub(crate) fn new(id: WorkerId, thread: u64) -> Self {
        ORIGIN.get_or_init(|| (Instant::now(), SystemTime::now()));
        let slot = SLOTS.iter().find_map(|block| {
            let block = block.get_or_init(|| (0..BLOCK_SLOTS).map(|_| Slot::new()).collect());
            block
                .iter()
                .find(|slot| !slot.is_taken.swap(true, Ordering::AcqRel))
        });
        if let Some(slot) = slot {
            slot.worker.store(id.worker, Ordering::Relaxed);
            slot.core.store(id.core, Ordering::Relaxed);
            slot.thread.store(thread, Ordering::Relaxed);
        }
        Self(slot)
    }

    /// A job begins: two words that say which.
    pub(crate) fn begin(&self, first: &[u8], second: &[u8], now: Instant) {
        let Some(slot) = self.0 else { return };
        slot.length.store(0, Ordering::Relaxed);
        let mut text = [0; TEXT_BYTES_MAX];
        let mut length = 0;
        for part in [first, b" ", second] {
            let part = &part[..part.len().min(text.len() - length)];
            text[length..length + part.len()].copy_from_slice(part);
            length += part.len();
        }
        let (pieces, _rest) = text.as_chunks::<8>();
        let pieces = pieces.iter().take(length.div_ceil(8));
        for (word, piece) in slot.words.iter().zip(pieces) {
            word.store(u64::from_ne_bytes(*piece), Ordering::Relaxed);
        }
        let since = ORIGIN
            .get()
            .map(|(origin, _)| now.saturating_duration_since(*origin));
        let micros = since.unwrap_or_default().as_micros();
        slot.since_micros
            .store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
        slot.length.store(length, Ordering::Release);
    }

    /// The job in progress, as far as there is room for its words; `None` also if it changes
    /// meanwhile. Any thread.
    pub(crate) fn text(&self) -> Option<String> {
        let slot = self.0?;
        let now = || {
            (
                slot.length.load(Ordering::Acquire),
                slot.since_micros.load(Ordering::Acquire),
            )
        };
        let before = now();
        let length = before.0.min(TEXT_BYTES_MAX);
        let words = slot.words.iter().take(length.div_ceil(8));
        let mut bytes: Vec<u8> = words
            .flat_map(|word| word.load(Ordering::Acquire).to_ne_bytes())
            .collect();
        bytes.truncate(length);
        let is_whole = length > 0 && now() == before;
        is_whole.then(|| bytes.escape_ascii().to_string())
    }

    /// The job has ended.
    pub(crate) fn end(&self) {
        if let Some(slot) = self.0 {
            slot.length.store(0, Ordering::Release);
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.end();
        if let Some(slot) = self.0 {
            slot.is_taken.store(false, Ordering::Release);
        }
    }
}

/// Writes the jobs in progress to standard error, a line each. `thread` is the one that ends the
/// process. Any thread, also in a handler of a signal.
pub fn report(thread: u64) {
    let Some((origin, started)) = ORIGIN.get() else {
        return;
    };
    let (now, started) = (origin.elapsed(), started.duration_since(UNIX_EPOCH));
    let started = started.unwrap_or_default();
    let slots = SLOTS.iter().map_while(OnceLock::get).flatten();
    let mut count = 0;
    for slot in slots {
        let length = slot.length.load(Ordering::Acquire).min(TEXT_BYTES_MAX);
        if length == 0 {
            continue;
        }
        count += 1;
        let since = Duration::from_micros(slot.since_micros.load(Ordering::Relaxed));
        let mut line = Line::default();
        line.push(b"[ERROR] in progress: ");
        for at in 0..length {
            let word = slot.words[at / 8].load(Ordering::Relaxed).to_ne_bytes();
            line.push_escaped(word[at % 8]);
        }
        line.push(b" (worker ");
        line.push_number(slot.worker.load(Ordering::Relaxed) as u64);
        line.push(b", core ");
        line.push_number(slot.core.load(Ordering::Relaxed) as u64);
        line.push(b"), since ");
        line.push_time((started + since).as_secs());
        line.push(b", for ");
        line.push_seconds(now.saturating_sub(since));
        if slot.thread.load(Ordering::Relaxed) == thread {
            line.push(b", in the thread that ends the process");
        }
        line.end();
    }
    if count == 0 {
        let mut line = Line::default();
        line.push(b"[ERROR] in progress: no request");
        line.end();
    }
}

/// A line of the log, in pieces: the stack of a handler has a few kilobytes.
pub struct Line {
    bytes: [u8; PIECE_BYTES],
    length: usize,
}

const PIECE_BYTES: usize = 256;

impl Default for Line {
    fn default() -> Self {
        Self {
            bytes: [0; PIECE_BYTES],
            length: 0,
        }
    }
}

impl Line {
    pub fn push(&mut self, text: &[u8]) {
        for byte in text {
            if self.length == self.bytes.len() {
                self.flush();
            }
            self.bytes[self.length] = *byte;
            self.length += 1;
        }
    }

    pub fn push_number(&mut self, number: u64) {
        self.push(itoa::Buffer::new().format(number).as_bytes());
    }

    fn push_digits(&mut self, number: u64, digits: u32) {
        for place in (0..digits).rev() {
            self.push(&[b'0' + (number / 10_u64.pow(place) % 10) as u8]);
        }
    }

    fn push_escaped(&mut self, byte: u8) {
        if (0x20..0x7f).contains(&byte) && byte != b'\\' {
            return self.push(&[byte]);
        }
        let digit = |number: u8| b"0123456789abcdef"[usize::from(number & 15)];
        self.push(&[b'\\', b'x', digit(byte >> 4), digit(byte)]);
    }

    fn push_seconds(&mut self, time: Duration) {
        self.push_number(time.as_secs());
        self.push(b".");
        self.push_digits(time.subsec_millis().into(), 3);
        self.push(b" s");
    }

    /// Seconds since 1970, as the time of day in UTC.
    pub fn push_time(&mut self, seconds: u64) {
        let (year, month, day) = date_of(seconds / 86_400);
        self.push_digits(year, 4);
        self.push(b"-");
        self.push_digits(month, 2);
        self.push(b"-");
        self.push_digits(day, 2);
        self.push(b" ");
        self.push_digits(seconds / 3600 % 24, 2);
        self.push(b":");
        self.push_digits(seconds / 60 % 60, 2);
        self.push(b":");
        self.push_digits(seconds % 60, 2);
        self.push(b" UTC");
    }

    /// Ends the line, which is in standard error then.
    pub fn end(&mut self) {
        self.push(b"\n");
        self.flush();
    }

    fn flush(&mut self) {
        #[cfg(unix)]
        {
            let mut rest = &self.bytes[..self.length];
            while let Ok(written @ 1..) = rustix::io::write(rustix::stdio::stderr(), rest) {
                rest = &rest[written..];
            }
        }
        self.length = 0;
    }
}

/// The date of a day since 1970, in the Gregorian calendar (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms").
fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_000_000_000, "2001-09-09 01:46:40 UTC"),
            (4_102_444_799, "2099-12-31 23:59:59 UTC"),
        ] {
            let mut line = Line::default();
            line.push_time(seconds);
            assert_eq!(&line.bytes[..line.length], text.as_bytes());
        }
    }

    #[test]
    fn a_place_is_used_again() {
        let id = WorkerId { worker: 1, core: 0 };
        let (first, second) = (InProgress::new(id, 1), InProgress::new(id, 2));
        let place = |one: &InProgress| one.0.map(std::ptr::from_ref);
        assert_ne!(place(&first), place(&second));
        let was = place(&first);
        drop(first);
        assert_eq!(place(&InProgress::new(id, 3)), was);
    }
}
