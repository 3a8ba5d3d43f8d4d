//! A body in pages of memory: what came is never copied again as more comes, and no more is held
//! than came.

use std::sync::Arc;

use memchr::memchr;

use super::memory::{BodyMemory, Page};

/// A body's pages; all but the last are full.
#[derive(Debug)]
pub(super) struct Pages {
    memory: Arc<BodyMemory>,
    pages: Vec<Page>,
    len: usize,
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.memory.take_back(&mut self.pages);
    }
}

impl Pages {
    pub(super) fn new(memory: &Arc<BodyMemory>) -> Self {
        Self {
            memory: Arc::clone(memory),
            pages: Vec::new(),
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, data: &[u8]) -> usize {
        let mut taken = 0;
        while taken < data.len() {
            let rest = &data[taken..];
            let room = self.room(rest.len());
            if room.is_empty() {
                break;
            }
            let count = room.len();
            room.copy_from_slice(&rest[..count]);
            self.filled(count);
            taken += count;
        }
        taken
    }

    /// Room behind the last byte, at most `want` bytes of it; empty if there is none to be had.
    pub(super) fn room(&mut self, want: usize) -> &mut [u8] {
        let want = want.min(self.memory.body_bytes_max().saturating_sub(self.len));
        if want == 0 {
            return &mut [];
        }
        if self.len == self.capacity() {
            match self.memory.lend() {
                Some(page) => self.pages.push(page),
                None => return &mut [],
            }
        }
        let free = self.capacity() - self.len;
        match self.pages.last_mut() {
            Some(page) => {
                let start = page.len() - free;
                &mut page[start..start + free.min(want)]
            }
            None => &mut [],
        }
    }

    /// So many bytes of [`room`](Self::room) have been written.
    pub(super) fn filled(&mut self, count: usize) {
        self.len = (self.len + count).min(self.capacity());
    }

    fn capacity(&self) -> usize {
        self.pages.len() * self.memory.page_bytes()
    }

    /// The bytes from `at` to the end of their page, or of the body.
    pub(super) fn piece(&self, at: usize) -> &[u8] {
        let page_bytes = self.memory.page_bytes();
        let page = self.pages.get(at / page_bytes);
        let left = self.len.saturating_sub(at);
        let piece = page.and_then(|page| page.get(at % page_bytes..));
        piece.map_or(&[], |piece| &piece[..piece.len().min(left)])
    }

    /// The `count` bytes from `at` on, if they lie in one piece.
    pub(super) fn piece_of(&self, at: u64, count: usize) -> Option<&[u8]> {
        if count == 0 {
            return Some(&[]);
        }
        self.piece(usize::try_from(at).ok()?).get(..count)
    }

    /// Every piece of the `count` bytes from `at` on.
    pub(super) fn each_piece(&self, mut at: usize, mut count: usize, mut each: impl FnMut(&[u8])) {
        while count > 0 {
            let piece = self.piece(at);
            let piece = &piece[..piece.len().min(count)];
            if piece.is_empty() {
                return;
            }
            each(piece);
            at += piece.len();
            count -= piece.len();
        }
    }

    /// How long the line at `at` is, with its end, as far as `limit`.
    pub(super) fn line(&self, at: usize, limit: usize) -> usize {
        let mut length = 0;
        while length < limit {
            let piece = self.piece(at + length);
            let piece = &piece[..piece.len().min(limit - length)];
            if piece.is_empty() {
                break;
            }
            match memchr(b'\n', piece) {
                Some(newline) => return length + newline + 1,
                None => length += piece.len(),
            }
        }
        length
    }
}
