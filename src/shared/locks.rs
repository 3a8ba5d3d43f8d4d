//! The locks of `uwsgi.lock()`: numbered, shared by all interpreters, with an owner.
//!
//! uWSGI's are robust mutexes between processes. Here a lock knows the thread that holds it: only
//! that one releases it, what a request or an interpreter leaves locked can be found and opened,
//! and a thread that waits for itself is told so. Any thread; a thread that waits must not hold a
//! GIL.

use std::fmt;

use parking_lot::{Condvar, Mutex};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockOwner {
    /// Tells interpreters apart, ended ones included.
    pub interpreter: u64,
    pub thread: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockError {
    /// There is no lock of this number; there are so many, from 0.
    Unknown(usize),
    /// The same thread holds it: it would wait for ever.
    WaitsForItself,
}

impl fmt::Display for LockError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(count) => write!(
                out,
                "Invalid lock number: there are locks 0 to {}; --locks N adds N",
                count.saturating_sub(1)
            ),
            Self::WaitsForItself => write!(
                out,
                "this thread holds the lock already: it would wait for itself for ever"
            ),
        }
    }
}

pub struct Locks {
    locks: Vec<Lock>,
}

#[derive(Default)]
struct Lock {
    owner: Mutex<Option<LockOwner>>,
    freed: Condvar,
}

impl Locks {
    /// Locks 0 to `more`: one is always there.
    pub fn new(more: usize) -> Self {
        Self {
            locks: (0..=more).map(|_| Lock::default()).collect(),
        }
    }

    fn get(&self, number: usize) -> Result<&Lock, LockError> {
        self.locks
            .get(number)
            .ok_or(LockError::Unknown(self.locks.len()))
    }

    /// Locks, waiting for it if another thread holds it.
    pub fn lock(&self, number: usize, owner: LockOwner) -> Result<(), LockError> {
        let lock = self.get(number)?;
        let mut held = lock.owner.lock();
        loop {
            match *held {
                None => {
                    *held = Some(owner);
                    return Ok(());
                }
                Some(other) if other == owner => return Err(LockError::WaitsForItself),
                Some(_) => lock.freed.wait(&mut held),
            }
        }
    }

    /// Unlocks it. `false`: it was not this thread's.
    pub fn unlock(&self, number: usize, owner: LockOwner) -> Result<bool, LockError> {
        let lock = self.get(number)?;
        Ok(lock.free_if(|held| held == owner))
    }

    /// Whether anybody holds each of them, in their order.
    pub fn held(&self) -> impl Iterator<Item = bool> {
        self.locks.iter().map(|lock| lock.owner.lock().is_some())
    }

    pub fn is_locked(&self, number: usize) -> Result<bool, LockError> {
        Ok(self.get(number)?.owner.lock().is_some())
    }

    /// Releases what this thread holds, or with `thread` `None` of what any thread of the
    /// interpreter holds. Returns which.
    pub fn release(&self, interpreter: u64, thread: Option<u64>) -> Vec<usize> {
        let is_theirs = |held: LockOwner| {
            held.interpreter == interpreter && thread.is_none_or(|thread| held.thread == thread)
        };
        let released = self.locks.iter().enumerate();
        released
            .filter(|(_, lock)| lock.free_if(is_theirs))
            .map(|(number, _)| number)
            .collect()
    }
}

impl Lock {
    fn free_if(&self, is_meant: impl Fn(LockOwner) -> bool) -> bool {
        let mut held = self.owner.lock();
        let is_freed = held.is_some_and(is_meant);
        if is_freed {
            *held = None;
            self.freed.notify_one();
        }
        is_freed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const A: LockOwner = LockOwner {
        interpreter: 1,
        thread: 1,
    };
    const B: LockOwner = LockOwner {
        interpreter: 1,
        thread: 2,
    };
    const C: LockOwner = LockOwner {
        interpreter: 2,
        thread: 1,
    };

    #[test]
    fn only_its_owner_opens_a_lock() {
        let locks = Locks::new(1);
        locks.lock(0, A).expect("free");
        assert_eq!(locks.is_locked(0), Ok(true));
        assert_eq!(locks.is_locked(1), Ok(false));
        assert_eq!(locks.unlock(0, B), Ok(false));
        assert_eq!(locks.unlock(0, A), Ok(true));
        assert_eq!(locks.unlock(0, A), Ok(false));
    }

    #[test]
    fn what_would_never_end_or_does_not_exist_is_refused() {
        let locks = Locks::new(0);
        locks.lock(0, A).expect("free");
        assert_eq!(locks.lock(0, A), Err(LockError::WaitsForItself));
        assert_eq!(locks.lock(1, A), Err(LockError::Unknown(1)));
        assert_eq!(locks.unlock(1, A), Err(LockError::Unknown(1)));
        assert_eq!(locks.is_locked(9), Err(LockError::Unknown(1)));
    }

    #[test]
    fn those_who_wait_come_in_one_at_a_time() {
        let locks = Arc::new(Locks::new(0));
        let inside = Arc::new(Mutex::new(0));
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let (locks, inside) = (Arc::clone(&locks), Arc::clone(&inside));
                std::thread::spawn(move || {
                    let me = LockOwner {
                        interpreter: 1,
                        thread,
                    };
                    for _ in 0..200 {
                        locks.lock(0, me).expect("a lock");
                        let alone = inside.try_lock().expect("the only thread inside");
                        drop(alone);
                        assert_eq!(locks.unlock(0, me), Ok(true));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no thread failed");
        }
    }

    #[test]
    fn what_was_left_locked_is_opened() {
        let locks = Locks::new(3);
        for (number, owner) in [(0, A), (1, B), (2, C), (3, A)] {
            locks.lock(number, owner).expect("free");
        }
        assert_eq!(locks.release(A.interpreter, Some(A.thread)), [0, 3]);
        assert_eq!(locks.release(A.interpreter, None), [1]);
        assert_eq!(locks.is_locked(2), Ok(true));
    }
}
