//! The memory of request bodies that outgrow their first piece: pages, lent to bodies and taken
//! back.
//!
//! One stock for all connections. It bounds what bodies hold together, whatever each of them may;
//! and it keeps pages that were taken back for the next bodies, because memory that is fresh from
//! the system costs more than the bytes that go into it. Pages that were unused for a while go back
//! to the system. Any thread may call anything; a lock is held for a few instructions.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::wsgi::spool_space::SpoolSpace;

/// A page, and what a body may hold outside of pages. Bytes.
const PAGE_BYTES: usize = 64 * 1024;
/// All pages together, at least. Bytes.
const ALL_BYTES_MIN: usize = 64 << 20;
/// All pages together, if one body may hold much: so many bodies.
const BODIES_MIN: usize = 8;

pub(super) type Page = Box<[u8]>;

/// What bodies may hold in memory, and the stock of pages that they hold it in.
#[derive(Debug)]
pub struct BodyMemory {
    /// A body past this many bytes goes to a temporary file.
    body_bytes_max: usize,
    page_bytes: usize,
    pages_max: usize,
    stock: Mutex<Stock>,
    /// What bodies in temporary files may hold together.
    files: Arc<SpoolSpace>,
}

#[derive(Debug, Default)]
struct Stock {
    spare: Vec<Page>,
    /// Pages that bodies have.
    lent: usize,
    /// The fewest spare pages that there were since the last tidying.
    unneeded: usize,
}

impl BodyMemory {
    /// Bodies of at most `body_bytes_max` bytes stay in memory, while all of them together leave
    /// room: 64 MiB of what they hold past their first 64 KiB, or eight of the longest if that is
    /// more.
    pub fn new(body_bytes_max: usize) -> Self {
        let all_bytes_max = body_bytes_max.saturating_mul(BODIES_MIN).max(ALL_BYTES_MIN);
        Self::of_pages(body_bytes_max, PAGE_BYTES, all_bytes_max / PAGE_BYTES)
    }

    /// The files of bodies that do not stay in memory hold at most `bytes_max` together.
    #[must_use]
    pub fn with_files_of(self, bytes_max: u64) -> Self {
        Self {
            files: Arc::new(SpoolSpace::new(bytes_max)),
            ..self
        }
    }

    pub(super) fn of_pages(body_bytes_max: usize, page_bytes: usize, pages_max: usize) -> Self {
        Self {
            body_bytes_max,
            page_bytes,
            pages_max,
            stock: Mutex::default(),
            files: Arc::new(SpoolSpace::new(u64::MAX)),
        }
    }

    pub(super) fn files(&self) -> &Arc<SpoolSpace> {
        &self.files
    }

    pub(super) fn body_bytes_max(&self) -> usize {
        self.body_bytes_max
    }

    pub(super) fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// The part of a body that needs no page.
    pub(super) fn first_bytes_max(&self) -> usize {
        self.body_bytes_max.min(self.page_bytes)
    }

    /// A page of whatever was in it; `None` if all are lent.
    pub(super) fn lend(&self) -> Option<Page> {
        {
            let mut stock = self.stock.lock();
            if stock.lent >= self.pages_max {
                return None;
            }
            stock.lent += 1;
            if let Some(page) = stock.spare.pop() {
                stock.unneeded = stock.unneeded.min(stock.spare.len());
                return Some(page);
            }
        }
        Some(vec![0; self.page_bytes].into_boxed_slice())
    }

    pub(super) fn take_back(&self, pages: &mut Vec<Page>) {
        let mut stock = self.stock.lock();
        stock.lent = stock.lent.saturating_sub(pages.len());
        stock.spare.append(pages);
    }

    /// Gives back to the system what no body has needed since the last call, or all that none has
    /// now. Returns the number of bytes. Called from time to time by the loop that handles deadlines.
    pub fn tidy(&self, all: bool) -> usize {
        let mut stock = self.stock.lock();
        let spare = stock.spare.len();
        let keep = if all {
            0
        } else {
            spare.saturating_sub(stock.unneeded)
        };
        let unneeded = stock.spare.split_off(keep);
        stock.unneeded = keep;
        if keep == 0 {
            stock.spare = Vec::new();
        }
        drop(stock);
        // Outside the lock: freeing megabytes takes its time.
        unneeded.len() * self.page_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_lent_than_there_may_be() {
        let memory = BodyMemory::of_pages(100, 10, 2);
        let (first, second) = (memory.lend(), memory.lend());
        assert!(first.is_some() && second.is_some());
        assert!(memory.lend().is_none());
        memory.take_back(&mut first.into_iter().collect());
        assert!(memory.lend().is_some(), "what came back is lent again");
    }

    #[test]
    fn what_was_not_needed_between_two_looks_goes_back() {
        let memory = BodyMemory::of_pages(100, 10, 8);
        let mut lent: Vec<Page> = (0..4).filter_map(|_| memory.lend()).collect();
        memory.take_back(&mut lent);
        memory.tidy(false);
        assert_eq!(
            memory.stock.lock().spare.len(),
            4,
            "they were needed just now"
        );
        let mut one = memory.lend().into_iter().collect();
        memory.take_back(&mut one);
        memory.tidy(false);
        assert_eq!(memory.stock.lock().spare.len(), 1, "three were not");
        memory.tidy(true);
        assert!(memory.stock.lock().spare.is_empty());
        assert_eq!(memory.stock.lock().lent, 0);
    }

    #[test]
    fn the_bounds_are_what_the_manual_says() {
        let memory = BodyMemory::new(1 << 20);
        assert_eq!(memory.pages_max * memory.page_bytes, 64 << 20);
        let memory = BodyMemory::new(100 << 20);
        assert_eq!(memory.pages_max * memory.page_bytes, 800 << 20);
        assert_eq!(BodyMemory::new(1000).first_bytes_max(), 1000);
    }
}
