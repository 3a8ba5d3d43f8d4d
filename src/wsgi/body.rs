//! The complete body of one request: in memory, then in an unnamed temporary file past a bound.
//!
//! Filled by whoever reads the connection (`push`), then read by the worker as `wsgi.input`, with the
//! semantics of `io.BytesIO` to the letter: `read`, `readline`, `readlines`, iteration, `seek`, `tell`.
//! It never waits for the network (a request is complete before Python sees it) and knows no Python:
//! sizes arrive as `Option<usize>`, where `None` stands for Python's `None` and for every negative number.
//!
//! In memory nothing here can fail. A body in a file can: a full or broken disk is an `io::Error` whose text
//! says what was being done; nothing panics and nothing aborts, not even a `read()` larger than memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use memchr::memchr;

/// One buffer for both directions: small pushes are gathered in it before they go to the file, and lines
/// and small reads are served from it. Bytes.
const WINDOW_BYTES: usize = 64 * 1024;

/// One request body, and the position from which it is read. `Default` is the empty body and costs nothing.
#[derive(Debug, Default)]
pub struct RequestBody {
    store: Store,
    /// Where the next read begins. May lie past the end, as in `io.BytesIO`.
    position: u64,
}

#[derive(Debug)]
enum Store {
    Memory(Vec<u8>),
    File(Box<Spill>),
}

impl Default for Store {
    fn default() -> Self {
        Self::Memory(Vec::new())
    }
}

/// Where a seek counts from: Python's `whence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// 0, `os.SEEK_SET`: from the first byte. A negative offset is refused.
    Start,
    /// 1, `os.SEEK_CUR`: from the position. A result before the first byte is the first byte.
    Current,
    /// 2, `os.SEEK_END`: from the end. A result before the first byte is the first byte.
    End,
}

impl Whence {
    /// The meaning of Python's number; `None` for all but 0, 1 and 2 (`io.BytesIO` raises `ValueError`).
    pub fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Start),
            1 => Some(Self::Current),
            2 => Some(Self::End),
            _ => None,
        }
    }
}

/// Why a seek was refused. The position is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekError {
    /// A negative offset from the start: `ValueError` in `io.BytesIO`.
    Negative(i64),
    /// The result does not fit a signed 64-bit number: `OverflowError` in `io.BytesIO`.
    TooLarge,
}

impl std::fmt::Display for SeekError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Negative(offset) => write!(f, "negative seek value {offset}"),
            Self::TooLarge => f.write_str("new position too large"),
        }
    }
}

impl std::error::Error for SeekError {}

impl RequestBody {
    /// Appends `data` at the end; the read position does not move. The body lives in memory as long as it is at
    /// most `memory_bytes_max` bytes long, and moves to a temporary file (for good) when it grows past it.
    ///
    /// # Errors
    /// The temporary file could not be made or written (no space, no such folder). What was pushed before stays
    /// readable; the caller refuses the request.
    pub fn push(&mut self, data: &[u8], memory_bytes_max: usize) -> io::Result<()> {
        match &mut self.store {
            Store::Memory(bytes) => {
                if data.len() <= memory_bytes_max.saturating_sub(bytes.len()) || data.is_empty() {
                    bytes.extend_from_slice(data);
                    return Ok(());
                }
                let mut spill = Box::new(Spill::create()?);
                spill.push(bytes)?;
                spill.push(data)?;
                self.store = Store::File(spill);
                Ok(())
            }
            Store::File(spill) => spill.push(data),
        }
    }

    /// Length of the whole body in bytes, wherever the position is.
    pub fn len(&self) -> u64 {
        match &self.store {
            Store::Memory(bytes) => bytes.len() as u64,
            Store::File(spill) => spill.len,
        }
    }

    /// Whether the request has no body, or an empty one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the body did not outgrow its memory bound: then no read can fail or wait for a disk, and
    /// [`take_slice`](Self::take_slice) and [`take_line`](Self::take_line) give the bytes without copying.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.store, Store::Memory(_))
    }

    /// Bytes between the position and the end; 0 when the position is at or past the end.
    pub fn remaining(&self) -> u64 {
        self.len().saturating_sub(self.position)
    }

    /// How many bytes `read(size)` would give now: what to allocate before [`read_into`](Self::read_into).
    pub fn readable(&self, size: Option<usize>) -> u64 {
        let remaining = self.remaining();
        size.map_or(remaining, |size| remaining.min(size as u64))
    }

    /// `read(size)`: appends at most `size` bytes (all that is left for `None`) to `out`. At the end: nothing.
    ///
    /// # Errors
    /// The temporary file cannot be read, or memory for the answer cannot be had. The position is unchanged and so is `out`.
    pub fn read(&mut self, size: Option<usize>, out: &mut Vec<u8>) -> io::Result<()> {
        if let Some(slice) = self.take_slice(size) {
            reserve(out, slice.len())?;
            out.extend_from_slice(slice);
            return Ok(());
        }
        let count = usize::try_from(self.readable(size)).map_err(|_| io::ErrorKind::OutOfMemory)?;
        reserve(out, count)?;
        let start = out.len();
        out.resize(start + count, 0);
        let outcome = self.read_into(&mut out[start..]);
        if outcome.is_err() {
            out.truncate(start);
        }
        outcome.map(|_| ())
    }

    /// Fills `out` from the position; returns how many bytes there were: `out.len()`, or fewer at the end of the body only.
    /// For callers who have allocated the answer already (see [`readable`](Self::readable)).
    ///
    /// # Errors
    /// The temporary file cannot be read. The position is unchanged; the contents of `out` are unspecified.
    pub fn read_into(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.readable(Some(out.len())) as usize;
        let out = &mut out[..count];
        match &mut self.store {
            Store::Memory(bytes) => {
                if count > 0 {
                    let start = self.position as usize;
                    out.copy_from_slice(&bytes[start..start + count]);
                }
            }
            Store::File(spill) => spill.read_at(self.position, out)?,
        }
        self.position += count as u64;
        Ok(count)
    }

    /// `readline(size)`: appends the bytes up to and including the next `\n`, at most `size` of them, to `out`.
    ///
    /// # Errors
    /// The temporary file cannot be read, or memory for the line cannot be had. The position is unchanged and so is `out`.
    pub fn readline(&mut self, size: Option<usize>, out: &mut Vec<u8>) -> io::Result<()> {
        if let Some(line) = self.take_line(size) {
            reserve(out, line.len())?;
            out.extend_from_slice(line);
            return Ok(());
        }
        let Store::File(spill) = &mut self.store else {
            return Ok(());
        };
        let start = out.len();
        match spill.line_at(self.position, size.unwrap_or(usize::MAX), out) {
            Ok(()) => {
                self.position += (out.len() - start) as u64;
                Ok(())
            }
            Err(error) => {
                out.truncate(start);
                Err(error)
            }
        }
    }

    /// `readlines(hint)`: gives `each` one line after the other, to the end of the body or until the lines given so far
    /// hold `hint` bytes or more. `None` and 0 mean no hint, as in `io.BytesIO`. `line` is a scratch buffer.
    ///
    /// # Errors
    /// Those of [`readline`](Self::readline), and whatever `each` refuses with.
    pub fn readlines<E: From<io::Error>>(
        &mut self,
        hint: Option<usize>,
        line: &mut Vec<u8>,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let enough = hint.filter(|hint| *hint > 0).unwrap_or(usize::MAX);
        let mut given: usize = 0;
        while given < enough {
            line.clear();
            self.readline(None, line)?;
            if line.is_empty() {
                break;
            }
            given = given.saturating_add(line.len());
            each(line)?;
        }
        Ok(())
    }

    /// `read(size)` without a copy: the bytes themselves, and the position behind them. `None` if the body is in a file.
    pub fn take_slice(&mut self, size: Option<usize>) -> Option<&[u8]> {
        let count = self.readable(size);
        let Store::Memory(bytes) = &self.store else {
            return None;
        };
        Some(take(bytes, &mut self.position, count as usize))
    }

    /// `readline(size)` without a copy, likewise. Empty at the end of the body.
    pub fn take_line(&mut self, size: Option<usize>) -> Option<&[u8]> {
        let count = self.readable(size) as usize;
        let Store::Memory(bytes) = &self.store else {
            return None;
        };
        if count == 0 {
            return Some(&[]);
        }
        let rest = &bytes[self.position as usize..][..count];
        let line = memchr(b'\n', rest).map_or(count, |newline| newline + 1);
        Some(take(bytes, &mut self.position, line))
    }

    /// `seek(offset, whence)`: the new position, which may lie past the end (reads there give nothing).
    ///
    /// # Errors
    /// What `io.BytesIO` raises for the same numbers; the position is unchanged then.
    pub fn seek(&mut self, offset: i64, whence: Whence) -> Result<u64, SeekError> {
        let base = match whence {
            Whence::Start if offset < 0 => return Err(SeekError::Negative(offset)),
            Whence::Start => 0,
            Whence::Current => self.position,
            Whence::End => self.len(),
        };
        let base = i64::try_from(base).map_err(|_| SeekError::TooLarge)?;
        let position = base.checked_add(offset).ok_or(SeekError::TooLarge)?;
        self.position = u64::try_from(position).unwrap_or(0);
        Ok(self.position)
    }

    /// `tell()`: the position in bytes from the start.
    pub fn tell(&self) -> u64 {
        self.position
    }
}

/// The next `count` bytes of `bytes`, and `position` behind them. `count` fits (see `readable`), or is 0 past the end.
fn take<'b>(bytes: &'b [u8], position: &mut u64, count: usize) -> &'b [u8] {
    if count == 0 {
        return &[];
    }
    let start = *position as usize;
    *position += count as u64;
    &bytes[start..start + count]
}

/// Room for `more` bytes, or an error instead of the abort that a failed allocation is.
fn reserve(out: &mut Vec<u8>, more: usize) -> io::Result<()> {
    out.try_reserve(more).map_err(|_| {
        io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!("no memory for {more} bytes of the request body: read it in pieces"),
        )
    })
}

/// A body in an unnamed temporary file: the system removes it when it is closed, also when the process is killed.
struct Spill {
    file: File,
    /// Bytes pushed so far, in the file or still in `window`.
    len: u64,
    /// Either (`unwritten`) the tail of the body that the file does not have yet, or a copy of a part of the file.
    window: Vec<u8>,
    /// The place of `window`'s first byte in the body.
    window_at: u64,
    unwritten: bool,
    /// Where the file's own cursor is; `None` after a failure left it anywhere.
    cursor: Option<u64>,
}

impl std::fmt::Debug for Spill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spill")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl Spill {
    fn create() -> io::Result<Self> {
        let file = tempfile::tempfile().map_err(|error| {
            let folder = std::env::temp_dir();
            told(
                &error,
                &format!(
                    "cannot make a temporary file for a request body in {}",
                    folder.display()
                ),
            )
        })?;
        Ok(Self {
            file,
            len: 0,
            window: Vec::new(),
            window_at: 0,
            unwritten: false,
            cursor: Some(0),
        })
    }

    fn push(&mut self, data: &[u8]) -> io::Result<()> {
        if !self.unwritten {
            self.window.clear();
            self.window_at = self.len;
            self.unwritten = true;
        }
        if self.window.len() + data.len() > WINDOW_BYTES {
            self.flush()?;
            self.unwritten = true;
        }
        if data.len() >= WINDOW_BYTES {
            self.write_at(self.window_at, Source::Given(data))?;
            self.window_at += data.len() as u64;
        } else {
            self.window.extend_from_slice(data);
        }
        self.len += data.len() as u64;
        Ok(())
    }

    /// Puts what is still in the window into the file. The window is empty afterwards, at the end of the body.
    fn flush(&mut self) -> io::Result<()> {
        if self.unwritten {
            self.write_at(self.window_at, Source::Window)?;
            self.window_at += self.window.len() as u64;
            self.window.clear();
            self.unwritten = false;
        }
        Ok(())
    }

    fn write_at(&mut self, at: u64, source: Source<'_>) -> io::Result<()> {
        let data = match source {
            Source::Given(data) => data,
            Source::Window => &self.window,
        };
        if data.is_empty() {
            return Ok(());
        }
        let cursor = self.cursor.take();
        go_to(&mut self.file, cursor, at)
            .and_then(|()| self.file.write_all(data))
            .map_err(|error| told(&error, "cannot write a request body to its temporary file"))?;
        self.cursor = Some(at + data.len() as u64);
        Ok(())
    }

    /// Fills `out` with the bytes at `at`, all of which the body has. Small reads go through the window.
    fn read_at(&mut self, mut at: u64, mut out: &mut [u8]) -> io::Result<()> {
        self.flush()?;
        while !out.is_empty() {
            let here = self.in_window(at);
            if !here.is_empty() {
                let count = here.len().min(out.len());
                let (now, later) = out.split_at_mut(count);
                now.copy_from_slice(&self.window[here.start..here.start + count]);
                at += count as u64;
                out = later;
            } else if out.len() >= WINDOW_BYTES {
                return self.read_file(at, ReadTo::Given(out));
            } else {
                self.fill_window(at)?;
            }
        }
        Ok(())
    }

    /// Appends the line at `at`, at most `limit` bytes of it, to `out`: window by window, never byte by byte.
    fn line_at(&mut self, mut at: u64, limit: usize, out: &mut Vec<u8>) -> io::Result<()> {
        self.flush()?;
        let mut left = limit;
        while left > 0 && at < self.len {
            let mut here = self.in_window(at);
            if here.is_empty() {
                self.fill_window(at)?;
                here = self.in_window(at);
            }
            let piece = &self.window[here];
            let piece = &piece[..piece.len().min(left)];
            let newline = memchr(b'\n', piece);
            let count = newline.map_or(piece.len(), |newline| newline + 1);
            reserve(out, count)?;
            out.extend_from_slice(&piece[..count]);
            if newline.is_some() {
                break;
            }
            left -= count;
            at += count as u64;
        }
        Ok(())
    }

    /// The part of the window that holds the body from `at` on; empty if it holds none of it.
    fn in_window(&self, at: u64) -> Range<usize> {
        let end = self.window.len();
        let start = at
            .checked_sub(self.window_at)
            .and_then(|skip| usize::try_from(skip).ok());
        start
            .filter(|start| *start < end)
            .map_or(0..0, |start| start..end)
    }

    /// Reads the window anew, from `at` (which lies before the end) on: at least one byte.
    fn fill_window(&mut self, at: u64) -> io::Result<()> {
        let count = (self.len - at).min(WINDOW_BYTES as u64) as usize;
        self.window_at = at;
        self.window.resize(count, 0);
        let outcome = self.read_file(at, ReadTo::Window);
        if outcome.is_err() {
            self.window.clear();
        }
        outcome
    }

    fn read_file(&mut self, at: u64, to: ReadTo<'_>) -> io::Result<()> {
        let out = match to {
            ReadTo::Given(out) => out,
            ReadTo::Window => &mut self.window,
        };
        let cursor = self.cursor.take();
        go_to(&mut self.file, cursor, at)
            .and_then(|()| self.file.read_exact(out))
            .map_err(|error| {
                told(
                    &error,
                    "cannot read a request body back from its temporary file",
                )
            })?;
        self.cursor = Some(at + out.len() as u64);
        Ok(())
    }
}

/// What `write_at` writes: the caller's bytes, or the window (which the borrow checker will not lend twice).
enum Source<'d> {
    Given(&'d [u8]),
    Window,
}

/// Where `read_file` reads to, likewise.
enum ReadTo<'d> {
    Given(&'d mut [u8]),
    Window,
}

/// Moves the file's cursor to `at`; no system call when it is there already, as in every front-to-back use.
fn go_to(file: &mut File, cursor: Option<u64>, at: u64) -> io::Result<()> {
    if cursor != Some(at) {
        file.seek(SeekFrom::Start(at))?;
    }
    Ok(())
}

/// The same error with what was being done in front of it.
fn told(error: &io::Error, doing: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{doing}: {error}"))
}

#[cfg(test)]
mod tests;
