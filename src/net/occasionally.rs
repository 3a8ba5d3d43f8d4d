//! A message that may be due for every request, and is written once a minute. Any thread.

use std::sync::atomic::{AtomicU64, Ordering};

const INTERVAL_MS: u64 = 60_000;

/// When the message may be written again; milliseconds since the server's start.
#[derive(Debug, Default)]
pub(super) struct Occasionally(AtomicU64);

impl Occasionally {
    /// Whether the message is due. One caller a minute is told so.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        let next = self.0.load(Ordering::Relaxed);
        now_ms >= next
            && self
                .0
                .compare_exchange(
                    next,
                    now_ms.saturating_add(INTERVAL_MS),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute() {
        let message = Occasionally::default();
        assert!(message.is_due(1));
        assert!(!message.is_due(60_000));
        assert!(message.is_due(60_001));
    }
}
