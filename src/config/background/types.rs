//! The part of the configuration that is about work beside requests: plain values, and the text of
//! `--cron` and its kin.

use std::path::PathBuf;
use std::time::Duration;

/// Work beside requests, and what interpreters share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackgroundConfig {
    /// Locks beside lock 0 (`locks`).
    pub locks: usize,
    /// Commands that run at certain times (`cron`, `unique-cron`, `cron2`).
    pub cron: Vec<CronEntry>,
    /// Files, and the command that each runs when it is touched (`touch-exec`).
    pub touch_exec: Vec<(PathBuf, String)>,
    /// Files, and the uwsgi signal that each raises when it is touched (`touch-signal`).
    pub touch_signals: Vec<(PathBuf, u8)>,
    /// Folders, and the uwsgi signal that each raises when something in it changes (`fs-signal`).
    pub folder_signals: Vec<(PathBuf, u8)>,
}

/// A command that runs at certain times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronEntry {
    /// Minute, hour, day, month, weekday; -1 is any, -n every n-th.
    pub when: [i32; 5],
    /// For the shell.
    pub command: String,
    /// Not begun again while it runs.
    pub is_unique: bool,
    /// Killed when it takes longer.
    pub time_max: Option<Duration>,
    /// Where it was written, for messages.
    pub origin: String,
}

impl CronEntry {
    /// `MINUTE HOUR DAY MONTH WEEKDAY COMMAND`
    ///
    /// # Errors
    /// The end of a sentence, for the person who wrote it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.trim_start();
        let mut when = [0_i32; 5];
        for field in &mut when {
            let (word, after) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
            *field = word.parse().map_err(|_| {
                format!(
                    "wants five numbers (minute hour day month weekday) and a command, got \
                     '{text}'; -1 is any, and * is not \
                     known"
                )
            })?;
            rest = after.trim_start();
        }
        Self::new(when, rest)
    }

    /// `minute=5,hour=-1,day=..,month=..,week=..,unique=1,harakiri=SECONDS COMMAND`; what is left
    /// out is any. Whether it says anything about `harakiri` comes back too.
    ///
    /// # Errors
    /// The end of a sentence, for the person who wrote it.
    pub(crate) fn parse_keys(text: &str) -> Result<(Self, bool), String> {
        let text = text.trim_start();
        let (keys, command) = match text.split_once(' ') {
            Some((keys, command)) if keys.contains('=') => (keys, command),
            None if text.contains('=') => (text, ""),
            _ => ("", text),
        };
        let mut entry = Self::new([-1; 5], command)?;
        let mut has_time_max = false;
        for pair in keys.split(',').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("wants KEY=NUMBER, got '{pair}'"))?;
            let number: i32 = value
                .parse()
                .map_err(|_| format!("wants a number for '{key}', got '{value}'"))?;
            match key {
                "minute" => entry.when[0] = number,
                "hour" => entry.when[1] = number,
                "day" => entry.when[2] = number,
                "month" => entry.when[3] = number,
                "week" => entry.when[4] = number,
                "unique" => entry.is_unique = number != 0,
                "harakiri" => {
                    has_time_max = true;
                    let seconds = u64::try_from(number).unwrap_or(0);
                    entry.time_max = (seconds > 0).then(|| Duration::from_secs(seconds));
                }
                _ => {
                    return Err(format!(
                        "has no '{key}': there are minute, hour, day, month, week, unique and \
                         harakiri"
                    ));
                }
            }
        }
        entry.check()?;
        Ok((entry, has_time_max))
    }

    fn new(when: [i32; 5], command: &str) -> Result<Self, String> {
        if command.trim().is_empty() {
            return Err("names no command to run".to_owned());
        }
        let entry = Self {
            when,
            command: command.trim().to_owned(),
            is_unique: false,
            time_max: None,
            origin: String::new(),
        };
        entry.check()?;
        Ok(entry)
    }

    /// What no clock shows cannot be meant; uWSGI takes it and waits for ever.
    fn check(&self) -> Result<(), String> {
        let fields = [
            ("minute", 0, 59),
            ("hour", 0, 23),
            ("day", 1, 31),
            ("month", 1, 12),
            ("weekday", 0, 7),
        ];
        for ((name, least, most), value) in fields.into_iter().zip(self.when) {
            if value >= 0 && !(least..=most).contains(&value) {
                return Err(format!(
                    "is never due: there is no {name} {value}; -1 is any, -n is every n-th"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ([i32; 5], String) {
        let entry = CronEntry::parse(text).expect("an entry");
        (entry.when, entry.command)
    }

    #[test]
    fn five_numbers_and_a_command() {
        assert_eq!(
            parsed("59 2 -1 -1 -1 /usr/bin/backup --all 'x y'"),
            (
                [59, 2, -1, -1, -1],
                "/usr/bin/backup --all 'x y'".to_owned()
            )
        );
        assert_eq!(
            parsed("  -5\t-1  -1 -1 7   echo  "),
            ([-5, -1, -1, -1, 7], "echo".to_owned())
        );
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        for text in [
            "",
            "1 2 3",
            "1 2 3 4 5",
            "* * * * * echo",
            "60 0 1 1 1 echo",
            "0 0 0 1 1 echo",
        ] {
            assert!(CronEntry::parse(text).is_err(), "{text}");
        }
        for text in [
            "minute=1",
            "minute=x echo",
            "year=1 echo",
            "minute=60 echo",
            "",
        ] {
            assert!(CronEntry::parse_keys(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_and_a_command() {
        let text = "minute=39,hour=23,month=-1,week=-1,day=-1,unique=1,harakiri=2 echo a=b";
        let (entry, has_time_max) = CronEntry::parse_keys(text).expect("an entry");
        assert_eq!(entry.when, [39, 23, -1, -1, -1]);
        assert_eq!(entry.command, "echo a=b");
        assert!(entry.is_unique && has_time_max);
        assert_eq!(entry.time_max, Some(Duration::from_secs(2)));
        let (plain, has_time_max) = CronEntry::parse_keys("echo hello").expect("an entry");
        assert_eq!((plain.when, has_time_max), ([-1; 5], false));
        assert_eq!(plain.command, "echo hello");
        let (endless, has_time_max) = CronEntry::parse_keys("harakiri=0 echo").expect("an entry");
        assert_eq!((endless.time_max, has_time_max), (None, true));
    }
}
