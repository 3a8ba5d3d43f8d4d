//! What temporary files of one kind may hold together. Any thread.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// A bound, and how much of it is used.
#[derive(Debug)]
pub struct SpoolSpace {
    bytes_max: u64,
    used: AtomicU64,
}

impl SpoolSpace {
    /// At most `bytes_max` bytes; `u64::MAX` is no bound.
    pub fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            used: AtomicU64::new(0),
        }
    }

    /// Takes room for `bytes`.
    ///
    /// # Errors
    /// There is not as much left.
    pub fn take(&self, bytes: u64) -> io::Result<()> {
        let within = |used: u64| {
            let used = used.checked_add(bytes)?;
            (used <= self.bytes_max).then_some(used)
        };
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        match self.used.fetch_update(set, fetch, within) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::ErrorKind::QuotaExceeded.into()),
        }
    }

    /// Gives room back that [`take`](Self::take) gave.
    pub fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_inclusive() {
        let space = SpoolSpace::new(10);
        assert!(space.take(10).is_ok());
        assert!(space.take(1).is_err());
        space.give_back(4);
        assert!(space.take(5).is_err() && space.take(4).is_ok());
        assert_eq!(space.used(), 10);
        assert!(space.take(u64::MAX).is_err());
    }
}
