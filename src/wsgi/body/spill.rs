//! A body past its memory: in an unnamed temporary file, through one window. What can fail says
//! what was being done.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::Arc;

use memchr::memchr;

use crate::wsgi::spool_space::SpoolSpace;

/// One buffer for both directions: small pushes are gathered in it before they go to the file, and
/// lines and small reads are served from it. Bytes.
pub(super) const WINDOW_BYTES: usize = 64 * 1024;

/// A body in an unnamed temporary file: the system removes it when it is closed, also when the
/// process is killed.
pub(super) struct Spill {
    file: File,
    /// What all bodies in files may hold together. This one has taken `len` bytes of it.
    space: Arc<SpoolSpace>,
    /// Bytes pushed so far, in the file or still in `window`.
    len: u64,
    /// Either (`unwritten`) the tail of the body that the file does not have yet, or a copy of a
    /// part of the file.
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

impl Drop for Spill {
    fn drop(&mut self) {
        self.space.give_back(self.len);
    }
}

impl Spill {
    pub(super) fn create(space: &Arc<SpoolSpace>) -> io::Result<Self> {
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
        Ok(Self::on(file, space))
    }

    pub(super) fn on(file: File, space: &Arc<SpoolSpace>) -> Self {
        Self {
            file,
            space: Arc::clone(space),
            len: 0,
            window: Vec::new(),
            window_at: 0,
            unwritten: false,
            cursor: Some(0),
        }
    }

    /// Length of the body in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn push(&mut self, data: &[u8]) -> io::Result<()> {
        self.space.take(data.len() as u64)?;
        let pushed = self.store(data);
        if pushed.is_err() {
            self.space.give_back(data.len() as u64);
        }
        pushed
    }

    fn store(&mut self, data: &[u8]) -> io::Result<()> {
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

    /// Puts what is still in the window into the file. The window is empty afterwards, at the end
    /// of the body.
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

    /// Fills `out` with the bytes at `at`, all of which the body has. Small reads go through the
    /// window.
    pub(super) fn read_at(&mut self, mut at: u64, mut out: &mut [u8]) -> io::Result<()> {
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

    /// Appends the line at `at`, at most `limit` bytes of it, to `out`: window by window, never
    /// byte by byte.
    pub(super) fn line_at(
        &mut self,
        mut at: u64,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
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

/// What `write_at` writes: the caller's bytes, or the window (which the borrow checker will not
/// lend twice).
enum Source<'d> {
    Given(&'d [u8]),
    Window,
}

/// Where `read_file` reads to, likewise.
enum ReadTo<'d> {
    Given(&'d mut [u8]),
    Window,
}

/// Moves the file's cursor to `at`; no system call when it is there already, as in every
/// front-to-back use.
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

/// Room for `more` bytes, or an error instead of the abort that a failed allocation is.
pub(super) fn reserve(out: &mut Vec<u8>, more: usize) -> io::Result<()> {
    out.try_reserve(more).map_err(|_| {
        io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!("no memory for {more} bytes of the request body: read it in pieces"),
        )
    })
}
