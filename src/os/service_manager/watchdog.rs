//! The service manager's watchdog (`WatchdogSec`, sd_watchdog_enabled(3)): it wants to be told within
//! a time that the service works. One thread.

use std::ffi::OsString;
use std::time::{Duration, Instant};

/// When the watchdog is told next.
pub struct Watchdog {
    interval: Option<Duration>,
    told_at: Instant,
}

impl Watchdog {
    /// As the environment asks for. `pid`: the process that stands for the service.
    pub fn of_environment(pid: u32) -> Self {
        Self {
            interval: interval(pid, |name| std::env::var_os(name)),
            told_at: Instant::now(),
        }
    }

    /// When it is to be told. `None`: nothing asks for it.
    pub fn next(&self) -> Option<Instant> {
        Some(self.told_at + self.interval?)
    }

    /// Whether it is to be told now. The next time counts from here then.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.next().is_some_and(|next| next <= now);
        if is_due {
            self.told_at = now;
        }
        is_due
    }
}

/// Twice in the limit. `variable` reads the environment.
fn interval(pid: u32, variable: impl Fn(&str) -> Option<OsString>) -> Option<Duration> {
    let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
    let is_for_another = variable("WATCHDOG_PID").is_some();
    if is_for_another && number("WATCHDOG_PID") != Some(pid.into()) {
        return None;
    }
    let limit = number("WATCHDOG_USEC").filter(|limit| *limit > 0)?;
    Some(Duration::from_micros(limit) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_told_twice_in_its_limit() {
        let interval = |variables: &[(&str, &str)]| {
            interval(7, |name| {
                let mut variables = variables.iter();
                let found = variables.find(|(variable, _)| *variable == name)?;
                Some(OsString::from(found.1))
            })
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(interval(&[("WATCHDOG_USEC", "2000000")]), second);
        let both = [("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "7")];
        assert_eq!(interval(&both), second);
        let both = [("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "8")];
        assert_eq!(interval(&both), None);
        assert_eq!(interval(&[("WATCHDOG_USEC", "0")]), None);
        assert_eq!(interval(&[("WATCHDOG_USEC", "soon")]), None);
        assert_eq!(interval(&[]), None);
    }
}
