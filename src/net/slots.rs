//! The table of idle connections.
//!
//! A slot is an atomic word (its state), a deadline and a place for the connection. The thread that
//! moves the word from IDLE to BUSY owns the connection until it gives it back, so handing a
//! connection from the poll to a worker and back costs two atomic operations and no system call.
//! Any thread may call anything here. No I/O happens in this file.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

const CHUNK: usize = 1024;
const CHUNKS: usize = 1024;

/// The most connections one process can hold, whatever its limits say.
pub const SLOTS_MAX: usize = CHUNK * CHUNKS;

const STATE_BITS: u32 = 2;
const STATE_MASK: u32 = 0b11;
const FREE: u32 = 0;
const IDLE: u32 = 1;
const BUSY: u32 = 2;
/// Busy, and readiness was reported meanwhile: the owner must look again before it gives it back.
const BUSY_PENDING: u32 = 3;

/// A slot, and how often it was reused. An event that was collected for an earlier connection in
/// the same slot finds another serial and is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotId {
    index: u32,
    serial: u32,
}

impl SlotId {
    /// The number the poll carries for this slot. Serials have 30 bits, so the top bits stay free
    /// for the poll's own tokens.
    pub fn token(self) -> usize {
        ((self.serial as usize) << 32) | self.index as usize
    }

    pub fn index(self) -> usize {
        self.index as usize
    }

    pub fn from_token(token: usize) -> Self {
        Self {
            index: (token & 0xffff_ffff) as u32,
            serial: (token >> 32) as u32,
        }
    }
}

struct Slot<T> {
    /// Serial in the upper 30 bits, state in the lower two.
    word: AtomicU32,
    /// Milliseconds since the server's start, 0 for none. Meaningful while IDLE.
    deadline_ms: AtomicU64,
    connection: Mutex<Option<Box<T>>>,
}

impl<T> Slot<T> {
    const fn new() -> Self {
        Self {
            word: AtomicU32::new(FREE),
            deadline_ms: AtomicU64::new(0),
            connection: Mutex::new(None),
        }
    }

    fn place(&self) -> MutexGuard<'_, Option<Box<T>>> {
        self.connection.lock()
    }
}

type Chunk<T> = Box<[Slot<T>]>;

#[derive(Default)]
struct FreeList {
    free: Vec<u32>,
    next: u32,
}

/// Every slot of the process. Chunks are made when first needed and never freed, so an index that
/// comes out of the poll late is always safe to look at.
pub struct Slots<T> {
    chunks: Box<[OnceLock<Chunk<T>>]>,
    free: Mutex<FreeList>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
            free: Mutex::new(FreeList::default()),
        }
    }
}

impl<T> Slots<T> {
    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        let index = index as usize;
        let chunk = self.chunks.get(index / CHUNK)?.get()?;
        chunk.get(index % CHUNK)
    }

    /// A slot for a connection that its owner works on right now (BUSY). `None`: all are taken.
    pub fn open(&self) -> Option<SlotId> {
        let index = {
            let mut list = self.free.lock();
            match list.free.pop() {
                Some(index) => index,
                None if (list.next as usize) < SLOTS_MAX => {
                    list.next += 1;
                    list.next - 1
                }
                None => return None,
            }
        };
        self.chunks
            .get(index as usize / CHUNK)?
            .get_or_init(|| (0..CHUNK).map(|_| Slot::new()).collect());
        let slot = self.slot(index)?;
        let serial = slot.word.load(Ordering::Relaxed) >> STATE_BITS;
        slot.word
            .store((serial << STATE_BITS) | BUSY, Ordering::Release);
        Some(SlotId { index, serial })
    }

    /// Readiness was reported for `id`: claims the connection if it is idle. A busy connection is
    /// marked, and its owner looks again before it gives it back.
    pub fn claim_for_event(&self, id: SlotId) -> Option<Box<T>> {
        let slot = self.slot(id.index)?;
        let mut word = slot.word.load(Ordering::Acquire);
        loop {
            if word >> STATE_BITS != id.serial {
                return None;
            }
            let next = match word & STATE_MASK {
                IDLE => BUSY,
                BUSY => BUSY_PENDING,
                _ => return None,
            };
            match slot.word.compare_exchange_weak(
                word,
                (word & !STATE_MASK) | next,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) if next == BUSY => return slot.place().take(),
                Ok(_) => return None,
                Err(seen) => word = seen,
            }
        }
    }

    /// The owner is done for now: the connection waits for its next event, until `deadline_ms`.
    /// Returns it at once if an event came meanwhile: the owner must read or write again.
    #[must_use]
    pub fn give_back(&self, id: SlotId, connection: Box<T>, deadline_ms: u64) -> Option<Box<T>> {
        let slot = self.slot(id.index)?;
        slot.deadline_ms.store(deadline_ms, Ordering::Relaxed);
        *slot.place() = Some(connection);
        let busy = (id.serial << STATE_BITS) | BUSY;
        let idle = (id.serial << STATE_BITS) | IDLE;
        match slot
            .word
            .compare_exchange(busy, idle, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => None,
            Err(_) => {
                slot.word.store(busy, Ordering::Release);
                slot.place().take()
            }
        }
    }

    /// Frees the slot. Must come before the descriptor is closed, so that an event for the
    /// descriptor's next user never meets this connection.
    pub fn close(&self, id: SlotId) {
        let Some(slot) = self.slot(id.index) else {
            return;
        };
        let serial = (id.serial + 1) & (u32::MAX >> STATE_BITS);
        slot.word
            .store((serial << STATE_BITS) | FREE, Ordering::Release);
        self.free.lock().free.push(id.index);
    }

    /// Claims every idle connection that `due` selects by its deadline (milliseconds, 0 for none)
    /// and passes it to `expired`. Returns the earliest deadline that is left.
    pub fn sweep(
        &self,
        mut due: impl FnMut(u64) -> bool,
        mut expired: impl FnMut(Box<T>),
    ) -> Option<u64> {
        let mut earliest = None;
        let used = self.free.lock().next;
        for index in 0..used {
            let Some(slot) = self.slot(index) else {
                continue;
            };
            let word = slot.word.load(Ordering::Acquire);
            if word & STATE_MASK != IDLE {
                continue;
            }
            let deadline_ms = slot.deadline_ms.load(Ordering::Relaxed);
            if !due(deadline_ms) {
                if deadline_ms != 0 {
                    earliest =
                        Some(earliest.map_or(deadline_ms, |seen: u64| seen.min(deadline_ms)));
                }
                continue;
            }
            let claimed = slot.word.compare_exchange(
                word,
                (word & !STATE_MASK) | BUSY,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if claimed.is_ok()
                && let Some(connection) = slot.place().take()
            {
                expired(connection);
            }
        }
        earliest
    }

    /// Claims the idle connections with the `count` lowest ranks; those without a rank stay. The
    /// lowest is the last.
    pub fn claim_lowest(&self, count: usize, rank: impl Fn(&T) -> Option<u64>) -> Vec<Box<T>> {
        let used = self.free.lock().next;
        let ranked = (0..used).filter_map(|index| {
            let slot = self.slot(index)?;
            let word = slot.word.load(Ordering::Acquire);
            if word & STATE_MASK != IDLE {
                return None;
            }
            let place = slot.place();
            Some((rank(place.as_deref()?)?, index, word))
        });
        let mut ranked: Vec<(u64, u32, u32)> = ranked.collect();
        ranked.sort_unstable();
        ranked.truncate(count);
        let claimed = ranked.iter().rev().filter_map(|(_, index, word)| {
            let slot = self.slot(*index)?;
            let busy = (word & !STATE_MASK) | BUSY;
            let (set, fetch) = (Ordering::AcqRel, Ordering::Relaxed);
            slot.word
                .compare_exchange(*word, busy, set, fetch)
                .ok()
                .and_then(|_| slot.place().take())
        });
        claimed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn connection() -> Box<u8> {
        Box::new(0)
    }

    #[test]
    fn an_event_claims_an_idle_connection_once() {
        let slots = Slots::default();
        let id = slots.open().expect("a slot");
        assert!(slots.give_back(id, connection(), 0).is_none());
        let claimed = slots.claim_for_event(id).expect("idle");
        assert!(slots.claim_for_event(id).is_none(), "its owner has it");
        assert!(
            slots.give_back(id, claimed, 0).is_some(),
            "the second event must not be lost"
        );
    }

    #[test]
    fn the_lowest_ranks_are_claimed() {
        let slots = Slots::default();
        for rank in [5_u8, 3, 0, 4, 9] {
            let id = slots.open().expect("a slot");
            assert!(slots.give_back(id, Box::new(rank), 0).is_none());
        }
        let busy = slots.open();
        let claim = || slots.claim_lowest(2, |rank| (*rank != 0).then_some(u64::from(*rank)));
        assert_eq!(claim(), [Box::new(4), Box::new(3)]);
        assert_eq!(claim(), [Box::new(9), Box::new(5)]);
        assert!(claim().is_empty() && busy.is_some());
    }

    #[test]
    fn an_event_for_an_earlier_connection_is_dropped() {
        let slots = Slots::default();
        let old = slots.open().expect("a slot");
        slots.close(old);
        let new = slots.open().expect("a slot");
        assert_eq!(old.index, new.index);
        assert!(slots.give_back(new, connection(), 0).is_none());
        assert!(slots.claim_for_event(old).is_none());
        assert!(slots.claim_for_event(new).is_some());
    }

    #[test]
    fn tokens_come_back() {
        let id = SlotId {
            index: 70_000,
            serial: u32::MAX >> STATE_BITS,
        };
        assert_eq!(SlotId::from_token(id.token()), id);
        assert_eq!(id.token() >> (usize::BITS - 1), 0, "the poll's own bit");
    }

    #[test]
    fn a_sweep_takes_what_is_due_and_tells_the_next_deadline() {
        let slots = Slots::default();
        for deadline_ms in [50, 500, 0, 900] {
            let id = slots.open().expect("a slot");
            assert!(slots.give_back(id, connection(), deadline_ms).is_none());
        }
        let mut expired = 0;
        let next = slots.sweep(|at| at != 0 && at <= 100, |_| expired += 1);
        assert_eq!((expired, next), (1, Some(500)));
    }

    /// With several threads at once a connection has one owner and no event is lost: after the last
    /// event the connection is looked at once more.
    #[test]
    fn owners_never_meet() {
        const EVENTS: u64 = 50_000;
        let slots = Slots::default();
        let id = slots.open().expect("a slot");
        assert!(slots.give_back(id, connection(), 0).is_none());
        let is_owned = AtomicBool::new(false);
        let (sent, seen) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..EVENTS {
                        sent.fetch_add(1, Ordering::SeqCst);
                        let mut claimed = slots.claim_for_event(id);
                        while let Some(connection) = claimed {
                            assert!(!is_owned.swap(true, Ordering::SeqCst), "two owners");
                            seen.fetch_max(sent.load(Ordering::SeqCst), Ordering::SeqCst);
                            is_owned.store(false, Ordering::SeqCst);
                            claimed = slots.give_back(id, connection, 0);
                        }
                    }
                });
            }
        });
        assert_eq!(seen.into_inner(), 4 * EVENTS, "an event was lost");
        assert!(slots.claim_for_event(id).is_some(), "and it is idle again");
    }
}
