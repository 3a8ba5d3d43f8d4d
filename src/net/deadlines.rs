//! Deadlines of connections.
//!
//! A connection's deadline is a number in its slot; no timer is armed or cancelled per request. The
//! acceptor thread sweeps the slots: at most every [`SWEEP_MIN`], at least every [`SWEEP_MAX`]
//! while there are connections. Five thousand idle connections cost some microseconds a second.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::connection::{Connection, Phase};
use super::state::Net;

/// The finest grain of a deadline.
const SWEEP_MIN: Duration = Duration::from_millis(50);
/// The longest time after which a new connection is swept first.
const SWEEP_MAX: Duration = Duration::from_secs(1);

/// The time before the rate of a body is checked.
const RATE_GRACE_MS: u64 = 10_000;

/// How long a closing connection waits for the client to close (RFC 9112, 9.6).
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

impl Net {
    /// The deadline of the connection in its phase, in milliseconds since the start.
    pub(super) fn deadline(&self, connection: &Connection, now_ms: u64) -> u64 {
        let after = |from: u64, timeout: Duration| {
            from.saturating_add(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
        };
        let site = self.site();
        let settings = &site.settings;
        match connection.phase {
            Phase::Preamble => after(connection.since_ms, settings.deadlines.header),
            // A head's time runs from its first byte: slow sending does not extend it.
            Phase::Head if connection.since_ms != 0 => {
                after(connection.since_ms, settings.deadlines.header)
            }
            Phase::Head if self.is_draining() => {
                let kept = settings.deadlines.keep_alive;
                after(now_ms, kept).min(now_ms.saturating_add(self.idle_grace_ms()))
            }
            Phase::Head => after(now_ms, settings.deadlines.keep_alive),
            Phase::Body => after(now_ms, settings.deadlines.body_idle),
            Phase::Flushing => after(now_ms, settings.deadlines.write),
            // Runs from the end of the answer: further input does not extend it.
            Phase::Lingering => after(connection.since_ms, LINGER_TIMEOUT),
            Phase::Working => 0,
        }
    }

    /// Whether a body arrives more slowly than the settings allow.
    pub(super) fn is_body_too_slow(&self, connection: &Connection, now_ms: u64) -> bool {
        let elapsed_ms = now_ms.saturating_sub(connection.since_ms);
        elapsed_ms > RATE_GRACE_MS
            && connection.body_bytes_seen.saturating_mul(1000)
                < self
                    .site()
                    .settings
                    .deadlines
                    .body_rate_bytes_per_second_min
                    .saturating_mul(elapsed_ms)
    }

    /// Collects every connection past its deadline (in a drain, after the grace time, also idle
    /// ones). Returns the time to the next deadline. `None`: there are no connections.
    pub(super) fn expired(
        &self,
        now: Instant,
        expired: impl FnMut(Box<Connection>),
    ) -> Option<Duration> {
        let now_ms = self.milliseconds(now);
        let draining = self.is_draining();
        let has_paused = self.accept_paused.load(Ordering::Relaxed);
        self.resume_accepting();
        let takes_idle = draining && self.is_grace_over(now_ms);
        let earliest = self.slots.sweep(
            |deadline_ms| takes_idle || (deadline_ms != 0 && deadline_ms <= now_ms),
            expired,
        );
        let is_deserted = self.open_connections() == 0;
        self.note_freed(self.site().settings.body_memory.tidy(is_deserted));
        if is_deserted {
            return None;
        }
        let next = earliest.map_or(SWEEP_MAX, |earliest| {
            Duration::from_millis(earliest.saturating_sub(now_ms))
        });
        Some(if draining {
            SWEEP_MIN
        } else if has_paused {
            // A connection may be idle long enough to make room for one that waits.
            next.clamp(SWEEP_MIN, 2 * SWEEP_MIN)
        } else {
            next.clamp(SWEEP_MIN, SWEEP_MAX)
        })
    }
}
