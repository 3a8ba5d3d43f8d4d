//! The job in progress of each worker thread, in memory that the handler of a fatal signal may
//! read: static, never freed, made of atomics. With `--supervise` another process may read it too,
//! when this one has been killed.
//!
//! A worker writes where a job begins and ends: a few plain stores. [`report`] writes all of them
//! to standard error without a lock and without an allocation, so it may run in a handler.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longer texts are cut.
const TEXT_WORDS: usize = 64;
const TEXT_BYTES_MAX: usize = TEXT_WORDS * 8;
/// Slots are allocated in blocks. Threads beyond the last block are not reported.
const BLOCK_SLOTS: usize = 32;
const BLOCKS: usize = 128;

/// The head of shared memory: when the process began, and whether it has reported its jobs itself.
#[cfg(target_os = "linux")]
const BEGAN_MICROS: usize = 0;
const IS_REPORTED: usize = 1;
const HEAD_WORDS: usize = 8;

/// Bytes of shared memory.
#[cfg(target_os = "linux")]
pub const SHARED_BYTES: usize = (HEAD_WORDS + BLOCKS * BLOCK_SLOTS * SLOT_WORDS) * 8;

/// The words of a slot, and then its text.
const IS_TAKEN: usize = 0;
const WORKER: usize = 1;
const CORE: usize = 2;
const THREAD: usize = 3;
/// Bytes of the text; 0: nothing is in progress.
const LENGTH: usize = 4;
const SINCE_MICROS: usize = 5;
/// What [`SINCE_MICROS`] and 1 were when [`report`] has named the job.
const REPORTED: usize = 6;
const TEXT: usize = 7;
const SLOT_WORDS: usize = TEXT + TEXT_WORDS;

type Slot = [AtomicU64; SLOT_WORDS];

static SLOTS: [OnceLock<Box<[Slot]>>; BLOCKS] = [const { OnceLock::new() }; BLOCKS];
/// Takes the place of the slots in this process's own memory.
static SHARED: OnceLock<&'static [AtomicU64]> = OnceLock::new();
static ORIGIN: OnceLock<(Instant, SystemTime)> = OnceLock::new();

/// Jobs are noted in this memory from now on, which is empty and has [`SHARED_BYTES`]. Before the
/// first worker starts.
#[cfg(target_os = "linux")]
pub fn share(memory: &'static [AtomicU64]) {
    let (_, began) = origin();
    let shared = SHARED.get_or_init(|| memory);
    if let Some(word) = shared.get(BEGAN_MICROS) {
        word.store(micros_of(since_1970(*began)), Ordering::Relaxed);
    }
}

fn origin() -> &'static (Instant, SystemTime) {
    ORIGIN.get_or_init(|| (Instant::now(), SystemTime::now()))
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn micros_of(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn slots_of<T>(memory: &[T]) -> &[[T; SLOT_WORDS]] {
    memory.get(HEAD_WORDS..).unwrap_or_default().as_chunks().0
}

/// A worker thread's own place for its job in progress.
pub(crate) struct InProgress(Option<&'static Slot>);

impl InProgress {
    /// A free place for a worker's core. `thread`: the system's number of its thread.
    pub(crate) fn new(worker: usize, core: usize, thread: u64) -> Self {
        origin();
        let is_free = |slot: &&Slot| slot[IS_TAKEN].swap(1, Ordering::AcqRel) == 0;
        let slot = match SHARED.get() {
            Some(memory) => slots_of(memory).iter().find(is_free),
            None => SLOTS.iter().find_map(|block| {
                let empty = || [const { AtomicU64::new(0) }; SLOT_WORDS];
                let block = block.get_or_init(|| (0..BLOCK_SLOTS).map(|_| empty()).collect());
                block.iter().find(is_free)
            }),
        };
        if let Some(slot) = slot {
            slot[WORKER].store(worker as u64, Ordering::Relaxed);
            slot[CORE].store(core as u64, Ordering::Relaxed);
            slot[THREAD].store(thread, Ordering::Relaxed);
        }
        Self(slot)
    }

    /// A job begins: two words that say which.
    pub(crate) fn begin(&self, first: &[u8], second: &[u8], now: Instant) {
        let Some(slot) = self.0 else { return };
        slot[LENGTH].store(0, Ordering::Relaxed);
        let mut text = [0; TEXT_BYTES_MAX];
        let mut length = 0;
        for part in [first, b" ", second] {
            let part = &part[..part.len().min(text.len() - length)];
            text[length..length + part.len()].copy_from_slice(part);
            length += part.len();
        }
        let (pieces, _rest) = text.as_chunks::<8>();
        let pieces = pieces.iter().take(length.div_ceil(8));
        for (word, piece) in slot[TEXT..].iter().zip(pieces) {
            word.store(u64::from_ne_bytes(*piece), Ordering::Relaxed);
        }
        let since = now.saturating_duration_since(origin().0);
        slot[SINCE_MICROS].store(micros_of(since), Ordering::Relaxed);
        slot[LENGTH].store(length as u64, Ordering::Release);
    }

    /// The job in progress, as far as there is room for its words; `None` also if it changes
    /// meanwhile. Any thread.
    pub(crate) fn text(&self) -> Option<String> {
        let slot = self.0?;
        let now = || [LENGTH, SINCE_MICROS].map(|at| slot[at].load(Ordering::Acquire));
        let before = now();
        let length = usize::try_from(before[0]).ok()?.min(TEXT_BYTES_MAX);
        let words = slot[TEXT..].iter().take(length.div_ceil(8));
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
            slot[LENGTH].store(0, Ordering::Release);
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.end();
        if let Some(slot) = self.0 {
            slot[IS_TAKEN].store(0, Ordering::Release);
        }
    }
}

/// Writes the jobs in progress to standard error, a line each. `thread` is the one that ends the
/// process. Any thread, also in a handler of a signal.
pub fn report(thread: u64) {
    let Some((origin, began)) = ORIGIN.get() else {
        return;
    };
    let (now, began) = (origin.elapsed(), since_1970(*began));
    let shared = SHARED.get().map(|memory| slots_of(memory));
    let own = SLOTS.iter().map_while(OnceLock::get).flatten();
    let mut count = 0;
    for slot in shared.into_iter().flatten().chain(own) {
        if slot[LENGTH].load(Ordering::Acquire) == 0 {
            continue;
        }
        count += 1;
        let mut line = Line::default();
        line.push(b"[ERROR] in progress: ");
        line.push_job(|at| slot[at].load(Ordering::Relaxed), began, now);
        if slot[THREAD].load(Ordering::Relaxed) == thread {
            line.push(b", in the thread that ends the process");
        }
        line.end();
        let since = slot[SINCE_MICROS].load(Ordering::Relaxed);
        slot[REPORTED].store(since + 1, Ordering::Relaxed);
    }
    if count == 0 {
        let mut line = Line::default();
        line.push(b"[ERROR] in progress: no request");
        line.end();
    }
    if let Some(word) = SHARED.get().and_then(|memory| memory.get(IS_REPORTED)) {
        word.store(1, Ordering::Relaxed);
    }
}

/// The jobs that were in progress in a process that has ended, from its shared memory, as texts:
/// those that it has not reported itself. Other threads may begin jobs while one reports. `None`:
/// that process has reported all.
#[cfg(target_os = "linux")]
pub fn left_in(memory: &[u64]) -> Option<Vec<String>> {
    let is_reported = memory.get(IS_REPORTED).is_none_or(|word| *word != 0);
    let began = Duration::from_micros(memory.get(BEGAN_MICROS).copied()?);
    let now = since_1970(SystemTime::now()).saturating_sub(began);
    let is_left = |slot: &&[u64; SLOT_WORDS]| {
        slot[LENGTH] != 0 && slot[REPORTED] != slot[SINCE_MICROS].wrapping_add(1)
    };
    let slots = slots_of(memory).iter().filter(is_left);
    let texts = slots.map(|slot| {
        let mut line = Line {
            kept: Some(Vec::new()),
            ..Line::default()
        };
        line.push_job(|at| slot[at], began, now);
        line.flush();
        String::from_utf8_lossy(&line.kept.unwrap_or_default()).into_owned()
    });
    let texts: Vec<String> = texts.collect();
    (!is_reported || !texts.is_empty()).then_some(texts)
}

/// A line of the log, in pieces: the stack of a handler has a few kilobytes.
pub struct Line {
    bytes: [u8; PIECE_BYTES],
    length: usize,
    /// The line is kept here instead.
    kept: Option<Vec<u8>>,
}

const PIECE_BYTES: usize = 256;

impl Default for Line {
    fn default() -> Self {
        Self {
            bytes: [0; PIECE_BYTES],
            length: 0,
            kept: None,
        }
    }
}

impl Line {
    /// The job of a slot with these words, and how long it was in progress. `now`: since the
    /// process began.
    fn push_job(&mut self, word: impl Fn(usize) -> u64, began: Duration, now: Duration) {
        let length = usize::try_from(word(LENGTH)).unwrap_or(usize::MAX);
        for at in 0..length.min(TEXT_BYTES_MAX) {
            self.push_escaped(word(TEXT + at / 8).to_ne_bytes()[at % 8]);
        }
        let since = Duration::from_micros(word(SINCE_MICROS));
        self.push(b" (worker ");
        self.push_number(word(WORKER));
        self.push(b", core ");
        self.push_number(word(CORE));
        self.push(b"), since ");
        self.push_time((began + since).as_secs());
        self.push(b", for ");
        self.push_seconds(now.saturating_sub(since));
    }

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
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(&self.bytes[..self.length]);
            self.length = 0;
            return;
        }
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
        let (first, second) = (InProgress::new(1, 0, 1), InProgress::new(1, 0, 2));
        let place = |one: &InProgress| one.0.map(std::ptr::from_ref);
        assert_ne!(place(&first), place(&second));
        let was = place(&first);
        drop(first);
        assert_eq!(place(&InProgress::new(1, 0, 3)), was);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_jobs_of_a_process_that_has_ended_are_read_from_its_memory() {
        let mut memory = vec![0; SHARED_BYTES / 8];
        assert_eq!(left_in(&memory), Some(Vec::new()));
        let slot = HEAD_WORDS + SLOT_WORDS;
        memory[slot + WORKER] = 3;
        memory[slot + LENGTH] = 6;
        memory[slot + SINCE_MICROS] = 86_400_000_000;
        memory[slot + TEXT] = u64::from_ne_bytes(*b"GET /\n..");
        let jobs = left_in(&memory).expect("not reported");
        let [job] = &jobs[..] else { panic!("{jobs:?}") };
        let wanted = "GET /\\x0a (worker 3, core 0), since 1970-01-02 00:00:00 UTC, for ";
        assert!(job.starts_with(wanted), "{job}");
        memory[IS_REPORTED] = 1;
        assert_eq!(left_in(&memory).map(|jobs| jobs.len()), Some(1));
        memory[slot + REPORTED] = 86_400_000_001;
        assert_eq!(left_in(&memory), None);
        assert_eq!(left_in(&[]), None);
    }
}
