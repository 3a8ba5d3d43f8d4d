//! The complete body of one request: in one piece, then in pages of memory, then in an unnamed
//! temporary file past a bound.
//!
//! net fills it from the connection (`push`), then it is read by the worker as `wsgi.input`, with
//! the semantics of `io.BytesIO` to the letter: `read`, `readline`, iteration, `seek`,
//! `tell`. It never waits for the network (a request is complete before Python sees it) and knows
//! no Python: sizes arrive as `Option<usize>`, where `None` stands for Python's `None` and for
//! every negative number.
//!
//! In memory nothing here can fail. A body in a file can: a full or broken disk is an `io::Error`
//! that names the operation; nothing panics and nothing aborts, not even a `read()` larger than
//! memory.

mod memory;
mod pages;
mod spill;

use std::io;
use std::sync::Arc;

use memchr::memchr;

pub use self::memory::BodyMemory;
use self::pages::Pages;
use self::spill::{Spill, reserve};

/// One request body, and the position from which it is read. `Default` is the empty body and costs
/// nothing.
#[derive(Debug, Default)]
pub struct RequestBody {
    store: Store,
    /// Where the next read begins. May lie past the end, as in `io.BytesIO`.
    position: u64,
}

#[derive(Debug)]
enum Store {
    Memory(Vec<u8>),
    Pages(Box<Pages>),
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
    /// The meaning of Python's number; `None` for all but 0, 1 and 2 (`io.BytesIO` raises
    /// `ValueError`).
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
    /// Appends `data` at the end; the read position does not move. The body stays in memory as long
    /// as `memory` has it so, and moves to a temporary file (for good) when it grows past that.
    ///
    /// # Errors
    /// The temporary file could not be made or written (no space, no such folder). What was pushed
    /// before stays readable; the caller refuses the request.
    pub fn push(&mut self, data: &[u8], memory: &Arc<BodyMemory>) -> io::Result<()> {
        let len = self.len();
        let fits =
            |max: usize| data.is_empty() || len.saturating_add(data.len() as u64) <= max as u64;
        if let Store::Memory(bytes) = &mut self.store {
            if fits(memory.first_bytes_max()) {
                bytes.extend_from_slice(data);
                return Ok(());
            }
            if fits(memory.body_bytes_max()) {
                let mut pages = Box::new(Pages::new(memory));
                if pages.push(bytes) == bytes.len() {
                    self.store = Store::Pages(pages);
                }
            }
        }
        let mut data = data;
        if let Store::Pages(pages) = &mut self.store
            && fits(memory.body_bytes_max())
        {
            data = &data[pages.push(data)..];
            if data.is_empty() {
                return Ok(());
            }
        }
        if let Store::File(spill) = &mut self.store {
            return spill.push(data);
        }
        let mut spill = Box::new(Spill::create(memory.files())?);
        match &self.store {
            Store::Memory(bytes) => spill.push(bytes)?,
            Store::Pages(pages) => {
                let mut outcome = Ok(());
                pages.each_piece(0, pages.len(), |piece| {
                    if outcome.is_ok() {
                        outcome = spill.push(piece);
                    }
                });
                outcome?;
            }
            Store::File(_) => {}
        }
        spill.push(data)?;
        self.store = Store::File(spill);
        Ok(())
    }

    /// Where the next bytes of the body, at most `want` of them, may be written right away instead
    /// of being pushed; empty where they must be pushed. [`filled`](Self::filled) makes them a part
    /// of the body.
    #[inline]
    pub fn room(&mut self, want: usize) -> &mut [u8] {
        match &mut self.store {
            Store::Pages(pages) => pages.room(want),
            Store::Memory(_) | Store::File(_) => &mut [],
        }
    }

    /// So many bytes were written to the front of what [`room`](Self::room) gave.
    pub fn filled(&mut self, count: usize) {
        if let Store::Pages(pages) = &mut self.store {
            pages.filled(count);
        }
    }

    /// Length of the whole body in bytes, wherever the position is.
    pub fn len(&self) -> u64 {
        match &self.store {
            Store::Memory(bytes) => bytes.len() as u64,
            Store::Pages(pages) => pages.len() as u64,
            Store::File(spill) => spill.len(),
        }
    }

    /// Whether the request has no body, or an empty one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the body did not outgrow its memory bound: then no read can fail or wait for a disk.
    pub fn is_in_memory(&self) -> bool {
        !matches!(self.store, Store::File(_))
    }

    #[cfg(test)]
    fn is_in_one_piece(&self) -> bool {
        matches!(self.store, Store::Memory(_))
    }

    /// Bytes between the position and the end; 0 when the position is at or past the end.
    pub fn remaining(&self) -> u64 {
        self.len().saturating_sub(self.position)
    }

    /// How many bytes `read(size)` would give now: what to allocate before
    /// [`read_into`](Self::read_into).
    pub fn readable(&self, size: Option<usize>) -> u64 {
        let remaining = self.remaining();
        size.map_or(remaining, |size| remaining.min(size as u64))
    }

    /// `read(size)`: appends at most `size` bytes (all that is left for `None`) to `out`. At the
    /// end: nothing.
    ///
    /// # Errors
    /// The temporary file cannot be read, or memory for the answer cannot be had. The position is
    /// unchanged and so is `out`.
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

    /// Fills `out` from the position; returns how many bytes there were: `out.len()`, or fewer at
    /// the end of the body only. For callers who have allocated the answer already (see
    /// [`readable`](Self::readable)).
    ///
    /// # Errors
    /// The temporary file cannot be read. The position is unchanged; the contents of `out` are
    /// unspecified.
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
            Store::Pages(pages) => {
                let mut rest = &mut *out;
                pages.each_piece(self.position as usize, count, |piece| {
                    let (now, later) = std::mem::take(&mut rest).split_at_mut(piece.len());
                    now.copy_from_slice(piece);
                    rest = later;
                });
            }
            Store::File(spill) => spill.read_at(self.position, out)?,
        }
        self.position += count as u64;
        Ok(count)
    }

    /// `readline(size)`: appends the bytes up to and including the next `\n`, at most `size` of
    /// them, to `out`.
    ///
    /// # Errors
    /// The temporary file cannot be read, or memory for the line cannot be had. The position is
    /// unchanged and so is `out`.
    pub fn readline(&mut self, size: Option<usize>, out: &mut Vec<u8>) -> io::Result<()> {
        if let Some(line) = self.take_line(size) {
            reserve(out, line.len())?;
            out.extend_from_slice(line);
            return Ok(());
        }
        if let Store::Pages(pages) = &self.store {
            let limit = self.readable(size) as usize;
            let length = pages.line(self.position as usize, limit);
            reserve(out, length)?;
            pages.each_piece(self.position as usize, length, |piece| {
                out.extend_from_slice(piece);
            });
            self.position += length as u64;
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

    /// `read(size)` without a copy: the bytes themselves, and the position behind them. `None` if
    /// they do not lie in memory, in one piece.
    pub fn take_slice(&mut self, size: Option<usize>) -> Option<&[u8]> {
        let count = self.readable(size) as usize;
        match &self.store {
            Store::Memory(bytes) => Some(take(bytes, &mut self.position, count)),
            Store::Pages(pages) => {
                let piece = pages.piece_of(self.position, count)?;
                self.position += count as u64;
                Some(piece)
            }
            Store::File(_) => None,
        }
    }

    /// `read(size)` of a body in memory: all of its pieces in order, [`readable`](Self::readable)
    /// bytes together. `false`, and nothing was read: it is in a file.
    pub fn take_pieces(&mut self, size: Option<usize>, mut each: impl FnMut(&[u8])) -> bool {
        let count = self.readable(size) as usize;
        match &self.store {
            Store::Memory(bytes) => each(take(bytes, &mut self.position, count)),
            Store::Pages(pages) => {
                pages.each_piece(self.position as usize, count, each);
                self.position += count as u64;
            }
            Store::File(_) => return false,
        }
        true
    }

    /// `readline(size)` without a copy, likewise. Empty at the end of the body.
    pub fn take_line(&mut self, size: Option<usize>) -> Option<&[u8]> {
        let count = self.readable(size) as usize;
        if count == 0 && self.is_in_memory() {
            return Some(&[]);
        }
        match &self.store {
            Store::Memory(bytes) => {
                let rest = &bytes[self.position as usize..][..count];
                let line = memchr(b'\n', rest).map_or(count, |newline| newline + 1);
                Some(take(bytes, &mut self.position, line))
            }
            Store::Pages(pages) => {
                let line = pages.line(self.position as usize, count);
                let piece = pages.piece_of(self.position, line)?;
                self.position += line as u64;
                Some(piece)
            }
            Store::File(_) => None,
        }
    }

    /// `seek(offset, whence)`: the new position, which may lie past the end (reads there give
    /// nothing).
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

/// The next `count` bytes of `bytes`, and `position` behind them. `count` fits (see `readable`), or
/// is 0 past the end.
fn take<'b>(bytes: &'b [u8], position: &mut u64, count: usize) -> &'b [u8] {
    if count == 0 {
        return &[];
    }
    let start = *position as usize;
    *position += count as u64;
    &bytes[start..start + count]
}

#[cfg(test)]
mod tests;
