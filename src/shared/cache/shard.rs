//! A part of a cache: entries by key, and their order of use. Knows no limits; the cache that it is
//! a part of counts for all parts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// No slot.
const NONE: u32 = u32::MAX;

/// The entries of one part, under the lock of the part.
#[derive(Default)]
pub(super) struct Shard {
    slots: Vec<Slot>,
    by_key: HashMap<Arc<[u8]>, u32>,
    /// Slots without an entry.
    free: Vec<u32>,
    order: Order,
    /// No entry expires before.
    next_expiry: Option<Instant>,
}

struct Slot {
    /// Empty in a free slot.
    key: Arc<[u8]>,
    value: Arc<[u8]>,
    expires: Option<Instant>,
    newer: u32,
    older: u32,
}

/// The ends of the list of slots by their last use.
struct Order {
    newest: u32,
    oldest: u32,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            newest: NONE,
            oldest: NONE,
        }
    }
}

impl Shard {
    /// The slot of an entry that has not expired.
    pub(super) fn find(&self, key: &[u8], now: impl FnOnce() -> Instant) -> Option<u32> {
        let slot = *self.by_key.get(key)?;
        match self.slot(slot).expires {
            Some(expires) if expires <= now() => None,
            _ => Some(slot),
        }
    }

    /// The slot of an entry, expired or not.
    pub(super) fn find_any(&self, key: &[u8]) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    pub(super) fn value(&self, slot: u32) -> &Arc<[u8]> {
        &self.slot(slot).value
    }

    /// Puts a new key in. Call it only without an entry of this key.
    pub(super) fn insert(&mut self, key: &[u8], value: Arc<[u8]>, expires: Option<Instant>) {
        let key: Arc<[u8]> = Arc::from(key);
        let entry = Slot {
            key: Arc::clone(&key),
            value,
            expires,
            newer: NONE,
            older: NONE,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                *self.slot_mut(slot) = entry;
                slot
            }
            None => {
                let slot = u32::try_from(self.slots.len()).unwrap_or(NONE);
                self.slots.push(entry);
                slot
            }
        };
        self.by_key.insert(key, slot);
        self.note_expiry(expires);
        self.link_as_newest(slot);
    }

    /// Returns the value that was there.
    pub(super) fn replace_value(&mut self, slot: u32, value: Arc<[u8]>) -> Arc<[u8]> {
        std::mem::replace(&mut self.slot_mut(slot).value, value)
    }

    pub(super) fn set_expiry(&mut self, slot: u32, expires: Option<Instant>) {
        self.slot_mut(slot).expires = expires;
        self.note_expiry(expires);
    }

    /// The entry was used just now.
    pub(super) fn touch(&mut self, slot: u32) {
        if self.order.newest != slot {
            self.unlink(slot);
            self.link_as_newest(slot);
        }
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        (self.order.oldest != NONE).then_some(self.order.oldest)
    }

    /// Returns the value that was there.
    pub(super) fn remove(&mut self, slot: u32) -> Arc<[u8]> {
        self.unlink(slot);
        let empty: Arc<[u8]> = Arc::default();
        let old = self.slot_mut(slot);
        let key = std::mem::replace(&mut old.key, Arc::clone(&empty));
        let value = std::mem::replace(&mut old.value, empty);
        old.expires = None;
        self.by_key.remove(&key);
        self.free.push(slot);
        value
    }

    /// Removes everything; the values that were there.
    pub(super) fn clear(&mut self) -> Self {
        std::mem::take(self)
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.by_key.values().map(|slot| &self.slot(*slot).value)
    }

    /// The keys of what has not expired.
    pub(super) fn keys(&self, now: Instant) -> impl Iterator<Item = Arc<[u8]>> {
        let lives = move |slot: &u32| self.slot(*slot).expires.is_none_or(|at| at > now);
        let slots = self.by_key.values().copied().filter(lives);
        slots.map(|slot| Arc::clone(&self.slot(slot).key))
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    /// The slots of what has expired. Looks at all entries, and finds the next time to look.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<u32> {
        let mut expired = Vec::new();
        let mut next: Option<Instant> = None;
        for slot in self.by_key.values().copied() {
            match self.slots.get(slot as usize).and_then(|slot| slot.expires) {
                Some(at) if at <= now => expired.push(slot),
                Some(at) => next = Some(next.map_or(at, |next| next.min(at))),
                None => {}
            }
        }
        self.next_expiry = next;
        expired
    }

    fn note_expiry(&mut self, expires: Option<Instant>) {
        if let Some(at) = expires {
            self.next_expiry = Some(self.next_expiry.map_or(at, |next| next.min(at)));
        }
    }

    fn link_as_newest(&mut self, slot: u32) {
        let before = std::mem::replace(&mut self.order.newest, slot);
        let entry = self.slot_mut(slot);
        entry.older = before;
        entry.newer = NONE;
        if before == NONE {
            self.order.oldest = slot;
        } else {
            self.slot_mut(before).newer = slot;
        }
    }

    fn unlink(&mut self, slot: u32) {
        let (newer, older) = (self.slot(slot).newer, self.slot(slot).older);
        if newer == NONE {
            self.order.newest = older;
        } else {
            self.slot_mut(newer).older = older;
        }
        if older == NONE {
            self.order.oldest = newer;
        } else {
            self.slot_mut(older).newer = newer;
        }
    }

    /// Slots come from this shard alone, so each exists.
    fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    fn slot_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }
}

/// When an entry of these seconds expires; 0 is never.
pub(super) fn expiry(seconds: u64, now: impl FnOnce() -> Instant) -> Option<Instant> {
    // A time that the clock cannot hold is never reached.
    (seconds > 0).then(|| now().checked_add(Duration::from_secs(seconds)))?
}
