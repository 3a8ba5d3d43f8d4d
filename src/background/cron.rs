//! Rules of cron entries. Pure: the local time is an argument.
//!
//! By hand: cron crates read crontab syntax; the rules here are uWSGI's (core/cron.c,
//! core/utils.c). `-1` is any, `-n` is every n-th (`minute % n == 0`), 7 is Sunday as 0 is, and day
//! and weekday are alternatives if both are given, as in cron(8).
//!
//! Entries follow local time: when daylight saving begins, entries of the skipped hour are not due,
//! and when it ends, entries of the repeated hour are due twice.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct When {
    /// 0 to 59, -1, or -n.
    pub minute: i32,
    /// 0 to 23, -1, or -n.
    pub hour: i32,
    /// Of the month, 1 to 31, -1, or -n.
    pub day: i32,
    /// 1 to 12, -1, or -n.
    pub month: i32,
    /// 0 (Sunday) to 7 (Sunday again), -1, or -n.
    pub weekday: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalMinute {
    /// 0 to 59.
    pub minute: i32,
    /// 0 to 23.
    pub hour: i32,
    /// 1 to 31.
    pub day: i32,
    /// 1 to 12.
    pub month: i32,
    /// 0 is Sunday.
    pub weekday: i32,
    /// Minutes since 1970: distinguishes repeated local times.
    pub serial: i64,
}

impl LocalMinute {
    /// The present minute, and the milliseconds left of it.
    pub(super) fn now() -> (Self, u64) {
        let now = jiff::Zoned::now();
        let millis = now.timestamp().as_millisecond();
        let minute = Self {
            minute: now.minute().into(),
            hour: now.hour().into(),
            day: now.day().into(),
            month: now.month().into(),
            weekday: now.weekday().to_sunday_zero_offset().into(),
            serial: millis.div_euclid(60_000),
        };
        let left = 60_000 - millis.rem_euclid(60_000);
        (minute, left.unsigned_abs())
    }
}

/// A number that no clock shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeverDue {
    field: &'static str,
    value: i32,
}

impl fmt::Display for NeverDue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "there is no {} {}; -1 is any, -n is every n-th",
            self.field, self.value
        )
    }
}

impl When {
    /// Refuses numbers that no clock shows. uWSGI takes them and waits for ever.
    pub fn new(
        minute: i32,
        hour: i32,
        day: i32,
        month: i32,
        weekday: i32,
    ) -> Result<Self, NeverDue> {
        let within = |field, value: i32, least: i32, most: i32| {
            if value < 0 || (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(NeverDue { field, value })
            }
        };
        within("minute", minute, 0, 59)?;
        within("hour", hour, 0, 23)?;
        within("day", day, 1, 31)?;
        within("month", month, 1, 12)?;
        within("weekday", weekday, 0, 7)?;
        Ok(Self {
            minute,
            hour,
            day,
            month,
            weekday,
        })
    }

    pub fn matches(&self, now: &LocalMinute) -> bool {
        let weekday = if self.weekday == 7 { 0 } else { self.weekday };
        let day = is_met(self.day, now.day);
        let week = is_met(weekday, now.weekday);
        let date = if self.day >= 0 && self.weekday >= 0 {
            day || week
        } else {
            day && week
        };
        is_met(self.minute, now.minute)
            && is_met(self.hour, now.hour)
            && is_met(self.month, now.month)
            && date
    }
}

fn is_met(wanted: i32, now: i32) -> bool {
    if wanted < 0 {
        // `unsigned_abs`: the smallest i32 has no positive counterpart.
        now.unsigned_abs().is_multiple_of(wanted.unsigned_abs())
    } else {
        wanted == now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Month, day, hour, minute, weekday of 2026.
    fn at(month: i32, day: i32, hour: i32, minute: i32, weekday: i32) -> LocalMinute {
        LocalMinute {
            minute,
            hour,
            day,
            month,
            weekday,
            serial: 0,
        }
    }

    fn when(fields: [i32; 5]) -> When {
        let [minute, hour, day, month, weekday] = fields;
        When::new(minute, hour, day, month, weekday).expect("a pattern")
    }

    #[test]
    fn golden_cases() {
        // A Saturday.
        let now = at(11, 21, 14, 30, 6);
        let cases: &[([i32; 5], bool)] = &[
            ([-1, -1, -1, -1, -1], true),
            ([30, -1, -1, -1, -1], true),
            ([31, -1, -1, -1, -1], false),
            ([30, 14, 21, 11, -1], true),
            ([30, 14, 21, 12, -1], false),
            ([-5, -1, -1, -1, -1], true),
            ([-7, -1, -1, -1, -1], false),
            ([-30, -2, -1, -1, -1], true),
            ([-30, -4, -1, -1, -1], false),
            ([-1, -1, -7, -1, -1], true),
            ([-1, -1, -2, -1, -1], false),
            ([-1, -1, -1, -11, -1], true),
            ([-1, -1, -1, -2, -1], false),
            ([-1, -1, -1, -1, 6], true),
            ([-1, -1, -1, -1, 0], false),
            ([-1, -1, -1, -1, -3], true),
            // Day and weekday are alternatives if both are given ...
            ([-1, -1, 21, -1, 1], true),
            ([-1, -1, 1, -1, 6], true),
            ([-1, -1, 1, -1, 1], false),
            // ... and not if one of them is a step.
            ([-1, -1, -2, -1, 6], false),
        ];
        for (fields, expected) in cases {
            assert_eq!(when(*fields).matches(&now), *expected, "{fields:?}");
        }
    }

    #[test]
    fn sunday_is_0_and_7() {
        let sunday = at(11, 22, 0, 0, 0);
        assert!(when([0, 0, -1, -1, 0]).matches(&sunday));
        assert!(when([0, 0, -1, -1, 7]).matches(&sunday));
        assert!(!when([0, 0, -1, -1, 7]).matches(&at(11, 23, 0, 0, 1)));
    }

    #[test]
    fn steps_of_minutes_meet_the_full_hour() {
        let minutes: Vec<i32> = (0..60)
            .filter(|minute| when([-25, -1, -1, -1, -1]).matches(&at(1, 1, 1, *minute, 4)))
            .collect();
        assert_eq!(minutes, [0, 25, 50]);
    }

    #[test]
    fn what_no_clock_shows_is_refused() {
        for fields in [
            [60, -1, -1, -1, -1],
            [-1, 24, -1, -1, -1],
            [-1, -1, 0, -1, -1],
            [-1, -1, 32, -1, -1],
            [-1, -1, -1, 0, -1],
            [-1, -1, -1, 13, -1],
            [-1, -1, -1, -1, 8],
        ] {
            let [minute, hour, day, month, weekday] = fields;
            assert!(
                When::new(minute, hour, day, month, weekday).is_err(),
                "{fields:?}"
            );
        }
        let smallest = when([i32::MIN; 5]);
        assert!(!smallest.matches(&at(1, 1, 1, 1, 1)));
    }

    #[test]
    fn this_minute_is_read_from_the_clock() {
        let (now, left) = LocalMinute::now();
        assert!((1..=60_000).contains(&left));
        assert!(when([-1; 5]).matches(&now));
        assert!(when([now.minute, now.hour, now.day, now.month, now.weekday]).matches(&now));
    }
}
