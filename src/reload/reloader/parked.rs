//! Interpreters that cannot be ended: past a limit a successor takes the place of the process, which
//! frees them. On the main thread.

use super::state::Reloader;
use crate::config::ParkedLimits;
use crate::os::memory;
use crate::python;
use crate::reload::history::Way;
use crate::reload::memory_watch::megabytes;

/// The parked interpreters of the process.
struct Parked {
    interpreters: u64,
    /// An estimate of the bytes that they hold; 0 if unknown.
    bytes: u64,
}

impl Parked {
    /// Each interpreter is taken to hold as much as any other: what one holds cannot be measured.
    fn now() -> Self {
        let count = |of: usize| u64::try_from(of).unwrap_or(u64::MAX);
        let interpreters = count(python::parked_count());
        let all = count(python::subinterpreter_count()).max(1);
        let held = memory::anonymous().unwrap_or(0);
        Self {
            interpreters,
            bytes: held / all * interpreters.min(all),
        }
    }

    /// Why they are too many, in words.
    fn exceed(&self, limits: &ParkedLimits) -> Option<String> {
        let limit = if limits
            .interpreters
            .is_some_and(|most| self.interpreters >= most)
        {
            "--max-parked-interpreters"
        } else if limits.bytes.is_some_and(|most| self.bytes > most) {
            "--max-parked-memory"
        } else {
            return None;
        };
        let (noun, hold) = match self.interpreters {
            1 => ("interpreter", "holds"),
            _ => ("interpreters", "hold"),
        };
        let held = match megabytes(self.bytes) {
            0 => String::new(),
            held => format!(" and {hold} about {held} MB"),
        };
        Some(format!(
            "{} {noun} cannot be ended{held} ({limit})",
            self.interpreters
        ))
    }
}

impl Reloader {
    /// An interpreter could not be ended. If there are too many of them, the process is renewed.
    pub fn interpreter_was_parked(&mut self) {
        let is_renewed = self.needs_new_process || self.history.is_under_way(Way::Exec);
        // After a rollback the successor would load the version that was withdrawn.
        if is_renewed || self.disk_has_other_code() {
            return;
        }
        let limits = self.builder.config().reload.parked;
        if let Some(why) = Parked::now().exceed(&limits) {
            self.ask_new_process(&why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_their_number_or_their_memory() {
        let limits = ParkedLimits {
            interpreters: Some(4),
            bytes: Some(256 << 20),
        };
        let why = |interpreters, megabytes: u64, limits: &ParkedLimits| {
            let bytes = megabytes << 20;
            Parked {
                interpreters,
                bytes,
            }
            .exceed(limits)
        };
        assert_eq!(why(3, 256, &limits), None);
        assert_eq!(
            why(4, 30, &limits).as_deref(),
            Some("4 interpreters cannot be ended and hold about 30 MB (--max-parked-interpreters)")
        );
        assert_eq!(
            why(1, 257, &limits).as_deref(),
            Some("1 interpreter cannot be ended and holds about 257 MB (--max-parked-memory)")
        );
        assert_eq!(
            why(4, 0, &limits).as_deref(),
            Some("4 interpreters cannot be ended (--max-parked-interpreters)"),
            "the system does not tell"
        );
        assert_eq!(why(1000, 10_000, &ParkedLimits::default()), None);
    }
}
