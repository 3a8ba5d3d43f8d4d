//! What the waiter knows of a server that it starts itself (`--supervise`). Plain values; `restart`
//! acts by them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::message::{Crash, Program, SharedSocket, Supervision};

/// A server that crashes sooner is not started again at once the next time.
const BRIEF: Duration = Duration::from_secs(1);
/// The first delay, which doubles with each brief life.
const DELAY: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(10);

/// What the waiter knows of the server that it starts.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) settings: Settings,
    /// The sockets of the server.
    pub(super) kept: Vec<SharedSocket>,
    /// What the server is told.
    pub(super) supervision: Supervision,
    /// The end of the server is wanted.
    pub(super) is_stopping: bool,
    /// The process that is started to serve.
    pub(super) starting: Option<u32>,
    /// No server is started before.
    pub(super) start_at: Instant,
    pub(super) served_since: Option<Instant>,
    /// How many servers in a row have lived for a short time only.
    pub(super) brief_lives: u32,
    pub(super) standby: Option<Standby>,
    /// No second server is started before.
    pub(super) standby_at: Instant,
    /// How many second servers in a row have failed.
    pub(super) standby_failures: u32,
}

/// How the server is supervised.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// The server.
    pub program: Program,
    /// A second server waits.
    pub is_warm: bool,
    /// The signals that stop the server.
    pub stop_signals: Vec<i32>,
}

/// The second server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standby {
    pub(super) pid: u32,
    pub(super) is_loaded: bool,
}

impl Supervisor {
    pub(super) fn new(settings: Settings, kept: Vec<SharedSocket>) -> Self {
        let now = Instant::now();
        Self {
            settings,
            kept,
            supervision: Supervision::default(),
            is_stopping: false,
            starting: None,
            start_at: now,
            served_since: None,
            brief_lives: 0,
            standby: None,
            standby_at: now,
            standby_failures: 0,
        }
    }

    /// What the server is told.
    pub(super) fn supervision(&self) -> Supervision {
        self.supervision.clone()
    }

    /// Whether the server has ended for good, if no process is left.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    pub(super) fn is_standby(&self, pid: u32) -> bool {
        self.standby.is_some_and(|standby| standby.pid == pid)
    }

    /// The second server has failed.
    pub(super) fn standby_failed(&mut self) {
        self.standby_failures += 1;
        self.standby_at = Instant::now() + delay(self.standby_failures.max(2));
    }

    /// The server has crashed. Returns how long no other one is started.
    pub(super) fn crashed(&mut self, how: String) -> Duration {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        self.supervision.crashes += 1;
        self.supervision.last_crash = Some(Crash {
            at: since.map_or(0, |since| since.as_secs()),
            how,
        });
        let is_brief = self
            .served_since
            .take()
            .is_some_and(|at| at.elapsed() < BRIEF);
        self.brief_lives = if is_brief { self.brief_lives + 1 } else { 1 };
        delay(self.brief_lives)
    }
}

/// How long to wait after so many failures in a row: the first one costs no time.
pub(super) fn delay(failures: u32) -> Duration {
    match failures.checked_sub(2) {
        Some(doubled) => DELAY
            .saturating_mul(1_u32.checked_shl(doubled).unwrap_or(u32::MAX))
            .min(DELAY_MAX),
        None => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_grows_with_brief_lives_and_has_a_bound() {
        assert_eq!(delay(0), Duration::ZERO);
        assert_eq!(delay(1), Duration::ZERO);
        assert_eq!(delay(2), DELAY);
        assert_eq!(delay(4), DELAY * 4);
        assert_eq!(delay(9), DELAY_MAX);
        assert_eq!(delay(u32::MAX), DELAY_MAX);
    }
}
