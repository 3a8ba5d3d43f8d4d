//! The caches of `uwsgi.cache_get()` and the like: bytes by key, shared by all interpreters.
//!
//! uWSGI's are tables in memory that its processes share; here they are memory of the process. A
//! cache is divided into parts with a lock each, so that interpreters seldom wait for one another;
//! one that throws out what was not used for longest, or everything, is a single part. What has expired is never returned; the thread of [`Caches::sweep`] frees its memory. Any
//! thread. A lock is held for the time of a lookup, never over a copy of a value.

mod shard;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use shard::{Shard, expiry};

/// Parts of a cache that is not a single one.
const PARTS: usize = 16;
/// A cache that is smaller has one part.
const PARTS_FROM_ITEMS: usize = 1024;
/// Between two warnings that a cache is full.
const WARNING_PAUSE: Duration = Duration::from_secs(60);

/// How large a cache may be, and what happens when it is full.
#[derive(Clone, Debug)]
pub struct CacheRules {
    pub name: String,
    pub items_max: usize,
    /// Bytes. A value takes whole blocks of the memory that `blocks` allow.
    pub block_bytes: u64,
    pub blocks: u64,
    /// Bytes.
    pub key_max: usize,
    /// Bytes.
    pub value_max: u64,
    /// What a number begins with that is counted up or down and was not there.
    pub math_initial: i64,
    pub when_full: WhenFull,
    /// Entries do not expire.
    pub never_expires: bool,
}

/// What a full cache does for a new entry. All may be combined.
#[derive(Clone, Copy, Debug, Default)]
pub struct WhenFull {
    /// Throws out what was not used for longest.
    pub drops_oldest: bool,
    /// Removes everything.
    pub clears: bool,
    /// Says nothing about it.
    pub is_silent: bool,
}

/// What is done with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Math {
    Add(i64),
    Subtract(i64),
    Multiply(i64),
    /// Through 0 is 0, as in uWSGI.
    Divide(i64),
}

/// A change of an entry.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Only a key that is not there.
    Set(&'a [u8]),
    Update(&'a [u8]),
    /// The expiry of an entry that is there stays.
    Math(Math),
}

/// What has happened in a cache since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    pub items: u64,
    /// Of the memory that `blocks` allow.
    pub blocks: u64,
    pub hits: u64,
    pub misses: u64,
    /// Changes for which there was no room.
    pub full: u64,
}

/// All caches, in the order in which they were configured.
pub struct Caches {
    caches: Vec<Cache>,
    /// Whether an entry expires that the sweeper does not know.
    has_news: AtomicBool,
    sleep: (Mutex<()>, Condvar),
}

/// One cache. See the file's header.
pub struct Cache {
    rules: CacheRules,
    parts: Vec<Mutex<Shard>>,
    hasher: RandomState,
    items: AtomicUsize,
    blocks: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    full: AtomicU64,
    warned: Mutex<Option<Instant>>,
}

impl Caches {
    pub fn new(rules: Vec<CacheRules>) -> Self {
        Self {
            caches: rules.into_iter().map(Cache::new).collect(),
            has_news: AtomicBool::new(false),
            sleep: Default::default(),
        }
    }

    pub fn all(&self) -> &[Cache] {
        &self.caches
    }

    /// The cache of this name; without one the first. `None`: there is none.
    pub fn get(&self, name: &str) -> Option<&Cache> {
        if name.is_empty() {
            return self.caches.first();
        }
        self.caches.iter().find(|cache| cache.rules.name == name)
    }

    /// Makes a change. `false`: the key is there already, a size is too large, or there is no room.
    pub fn change(&self, cache: &Cache, key: &[u8], change: Change<'_>, expires: u64) -> bool {
        let is_done = cache.change(key, change, expires);
        let expires = is_done && expires > 0 && !cache.rules.never_expires;
        // Read first: the first of many entries tells the sweeper.
        if expires
            && !self.has_news.load(Ordering::Acquire)
            && !self.has_news.swap(true, Ordering::AcqRel)
        {
            // Under the mutex, or the sweeper could miss it.
            drop(self.sleep.0.lock());
            self.sleep.1.notify_one();
        }
        is_done
    }

    /// Frees the memory of what has expired, for ever. `pause`: at least so long between two looks.
    /// It wakes up only when something expires.
    pub fn sweep(&self, pause: Duration) {
        loop {
            let now = Instant::now();
            let next = self.caches.iter().filter_map(|cache| cache.sweep(now));
            let next = next.min().map(|next| next.max(now + pause));
            let mut asleep = self.sleep.0.lock();
            while !self.has_news.load(Ordering::Acquire)
                && next.is_none_or(|next| Instant::now() < next)
            {
                match next {
                    Some(next) => drop(self.sleep.1.wait_until(&mut asleep, next)),
                    None => self.sleep.1.wait(&mut asleep),
                }
            }
            drop(asleep);
            self.has_news.store(false, Ordering::Release);
            // Many new entries in a row make one look.
            if let Some(left) = (now + pause).checked_duration_since(Instant::now()) {
                std::thread::sleep(left);
            }
        }
    }
}

impl Cache {
    fn new(rules: CacheRules) -> Self {
        let is_whole = rules.when_full.drops_oldest || rules.when_full.clears;
        let parts = if is_whole || rules.items_max < PARTS_FROM_ITEMS {
            1
        } else {
            PARTS
        };
        Self {
            parts: (0..parts).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            items: AtomicUsize::new(0),
            blocks: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            full: AtomicU64::new(0),
            warned: Mutex::new(None),
            rules,
        }
    }

    pub fn rules(&self) -> &CacheRules {
        &self.rules
    }

    pub fn counts(&self) -> CacheCounts {
        CacheCounts {
            items: self.items.load(Ordering::Relaxed) as u64,
            blocks: self.blocks.load(Ordering::Relaxed),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            full: self.full.load(Ordering::Relaxed),
        }
    }

    pub fn get(&self, key: &[u8]) -> Option<Arc<[u8]>> {
        let mut part = self.part_of(key).lock();
        let Some(slot) = part.find(key, Instant::now) else {
            drop(part);
            self.misses.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        if self.rules.when_full.drops_oldest {
            part.touch(slot);
        }
        let value = Arc::clone(part.value(slot));
        drop(part);
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(value)
    }

    /// It does not count as a use of the entry.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.part_of(key).lock().find(key, Instant::now).is_some()
    }

    /// `false`: there is no such entry.
    pub fn delete(&self, key: &[u8]) -> bool {
        let mut part = self.part_of(key).lock();
        match part.find_any(key) {
            Some(slot) => {
                let is_there = part.find(key, Instant::now).is_some();
                let value = part.remove(slot);
                drop(part);
                self.count_out(&value);
                is_there
            }
            None => false,
        }
    }

    pub fn clear(&self) {
        for part in &self.parts {
            self.clear_part(&mut part.lock());
        }
    }

    /// In no order.
    pub fn keys(&self) -> Vec<Arc<[u8]>> {
        let now = Instant::now();
        let mut keys = Vec::with_capacity(self.items.load(Ordering::Relaxed));
        for part in &self.parts {
            keys.extend(part.lock().keys(now));
        }
        keys
    }

    fn change(&self, key: &[u8], change: Change<'_>, expires: u64) -> bool {
        let value = match change {
            Change::Set(value) | Change::Update(value) => value,
            Change::Math(_) => &[0; 8],
        };
        let is_too_large = value.len() as u64 > self.rules.value_max;
        if key.is_empty() || key.len() > self.rules.key_max || value.is_empty() || is_too_large {
            return false;
        }
        let expires = if self.rules.never_expires {
            None
        } else {
            expiry(expires, Instant::now)
        };
        let mut part = self.part_of(key).lock();
        if let Some(slot) = part.find_any(key)
            && part.find(key, Instant::now).is_none()
        {
            // It has expired: the key is a new one.
            let value = part.remove(slot);
            self.count_out(&value);
        }
        match (part.find_any(key), change) {
            (Some(_), Change::Set(_)) => false,
            (Some(slot), Change::Update(value)) => {
                part.set_expiry(slot, expires);
                self.replace(&mut part, slot, Arc::from(value))
            }
            (Some(slot), Change::Math(math)) => {
                let number = math.applied_to(number(part.value(slot)));
                self.replace(&mut part, slot, Arc::from(number.to_ne_bytes()))
            }
            (None, Change::Set(value) | Change::Update(value)) => {
                self.insert(&mut part, key, Arc::from(value), expires)
            }
            (None, Change::Math(math)) => {
                let number = math.applied_to(self.rules.math_initial);
                self.insert(&mut part, key, Arc::from(number.to_ne_bytes()), expires)
            }
        }
    }

    fn insert(
        &self,
        part: &mut Shard,
        key: &[u8],
        value: Arc<[u8]>,
        expires: Option<Instant>,
    ) -> bool {
        let blocks = self.blocks_of(&value);
        while !self.has_room(blocks, 1) {
            if !self.make_room(part, None) {
                return false;
            }
        }
        self.items.fetch_add(1, Ordering::Relaxed);
        self.blocks.fetch_add(blocks, Ordering::Relaxed);
        part.insert(key, value, expires);
        true
    }

    fn replace(&self, part: &mut Shard, slot: u32, value: Arc<[u8]>) -> bool {
        let (old, new) = (self.blocks_of(part.value(slot)), self.blocks_of(&value));
        if self.rules.when_full.drops_oldest {
            part.touch(slot);
        }
        while new > old && !self.has_room(new - old, 0) {
            if !self.make_room(part, Some(slot)) {
                return false;
            }
        }
        self.blocks.fetch_add(new, Ordering::Relaxed);
        self.blocks.fetch_sub(old, Ordering::Relaxed);
        part.replace_value(slot, value);
        true
    }

    /// Two threads that fill different parts at once may pass a limit by an entry each.
    fn has_room(&self, blocks: u64, items: usize) -> bool {
        self.items.load(Ordering::Relaxed) + items <= self.rules.items_max
            && self.blocks.load(Ordering::Relaxed) + blocks <= self.rules.blocks
    }

    /// Removes something from this part, but not `kept`. `false`: nothing is to be removed.
    fn make_room(&self, part: &mut Shard, kept: Option<u32>) -> bool {
        let expired = part.expired(Instant::now());
        let mut removed = false;
        for slot in expired.iter().copied().filter(|slot| Some(*slot) != kept) {
            let value = part.remove(slot);
            self.count_out(&value);
            removed = true;
        }
        if removed {
            return true;
        }
        let rules = self.rules.when_full;
        if rules.drops_oldest
            && let Some(oldest) = part.oldest().filter(|oldest| Some(*oldest) != kept)
        {
            let value = part.remove(oldest);
            self.count_out(&value);
            return true;
        }
        self.note_full();
        let clears = rules.clears && kept.is_none() && part.len() > 0;
        if clears {
            self.clear_part(part);
        }
        clears
    }

    fn note_full(&self) {
        self.full.fetch_add(1, Ordering::Relaxed);
        if self.rules.when_full.is_silent {
            return;
        }
        let mut warned = self.warned.lock();
        if warned.is_none_or(|at| at.elapsed() >= WARNING_PAUSE) {
            *warned = Some(Instant::now());
            tracing::warn!(
                "the cache \"{}\" is full: {} of {} items, {} of {} blocks; purge_lru=1 makes it \
                 drop what was not used for longest",
                self.rules.name,
                self.items.load(Ordering::Relaxed),
                self.rules.items_max,
                self.blocks.load(Ordering::Relaxed),
                self.rules.blocks,
            );
        }
    }

    /// Returns when the next entry expires.
    fn sweep(&self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for part in &self.parts {
            let mut part = part.lock();
            if part.next_expiry().is_some_and(|at| at <= now) {
                for slot in part.expired(now) {
                    let value = part.remove(slot);
                    self.count_out(&value);
                }
            }
            next = match (next, part.next_expiry()) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        next
    }

    fn clear_part(&self, part: &mut Shard) {
        let removed = part.clear();
        self.items.fetch_sub(removed.len(), Ordering::Relaxed);
        let blocks = removed.values().map(|value| self.blocks_of(value)).sum();
        self.blocks.fetch_sub(blocks, Ordering::Relaxed);
    }

    fn count_out(&self, value: &[u8]) {
        self.items.fetch_sub(1, Ordering::Relaxed);
        let blocks = self.blocks_of(value);
        self.blocks.fetch_sub(blocks, Ordering::Relaxed);
    }

    fn blocks_of(&self, value: &[u8]) -> u64 {
        (value.len() as u64).div_ceil(self.rules.block_bytes.max(1))
    }

    fn part_of(&self, key: &[u8]) -> &Mutex<Shard> {
        match self.parts.as_slice() {
            [only] => only,
            parts => {
                let at = self.hasher.hash_one(key) % parts.len() as u64;
                &parts[at as usize]
            }
        }
    }
}

impl Math {
    fn applied_to(self, number: i64) -> i64 {
        match self {
            Self::Add(by) => number.wrapping_add(by),
            Self::Subtract(by) => number.wrapping_sub(by),
            Self::Multiply(by) => number.wrapping_mul(by),
            Self::Divide(by) => number.checked_div(by).unwrap_or(0),
        }
    }
}

/// The number that a value holds: its first eight bytes, in the byte order of the machine.
pub fn number(value: &[u8]) -> i64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(value) {
        *to = *from;
    }
    i64::from_ne_bytes(bytes)
}
