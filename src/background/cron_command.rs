//! Commands that run at certain times (`--cron`, `--unique-cron`, `--cron2`): the text of the option, and the running.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::cron::{LocalMinute, When};

/// How often to look whether a command that may take only so long has ended.
const LOOK: Duration = Duration::from_millis(200);

/// One of them.
#[derive(Debug)]
pub struct CronCommand {
    when: When,
    command: String,
    /// Not begun again while it runs.
    is_unique: bool,
    /// Killed when it takes longer.
    time_max: Option<Duration>,
    last: Option<i64>,
    running: Arc<AtomicUsize>,
}

impl CronCommand {
    /// `MINUTE HOUR DAY MONTH WEEKDAY COMMAND`
    ///
    /// # Errors
    /// In words for the person who wrote it.
    pub fn parse(text: &str, is_unique: bool, time_max: Option<Duration>) -> Result<Self, String> {
        let mut rest = text.trim_start();
        let mut fields = [0_i32; 5];
        for field in &mut fields {
            let (word, after) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
            *field = word.parse().map_err(|_| {
                format!(
                    "wants five numbers (minute hour day month weekday) and a command, got '{text}'; -1 is any, and * is not \
                     known"
                )
            })?;
            rest = after.trim_start();
        }
        let [minute, hour, day, month, weekday] = fields;
        let when =
            When::new(minute, hour, day, month, weekday).map_err(|never| never.to_string())?;
        Self::new(when, rest, is_unique, time_max)
    }

    /// `minute=5,hour=-1,day=..,month=..,week=..,unique=1,harakiri=SECONDS COMMAND`; what is left out is any.
    ///
    /// # Errors
    /// In words for the person who wrote it.
    pub fn parse_keys(text: &str, time_max: Option<Duration>) -> Result<Self, String> {
        let text = text.trim_start();
        let (keys, command) = match text.split_once(' ') {
            Some((keys, command)) if keys.contains('=') => (keys, command),
            _ if text.split(' ').next().unwrap_or_default().contains('=') => (text, ""),
            _ => ("", text),
        };
        let (mut fields, mut is_unique, mut time_max) = ([-1_i32; 5], false, time_max);
        for pair in keys.split(',').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("wants KEY=NUMBER, got '{pair}'"))?;
            let number: i32 = value
                .parse()
                .map_err(|_| format!("wants a number for '{key}', got '{value}'"))?;
            let field = match key {
                "minute" => 0,
                "hour" => 1,
                "day" => 2,
                "month" => 3,
                "week" => 4,
                "unique" => {
                    is_unique = number != 0;
                    continue;
                }
                "harakiri" => {
                    time_max = u64::try_from(number)
                        .ok()
                        .filter(|seconds| *seconds > 0)
                        .map(Duration::from_secs);
                    continue;
                }
                _ => {
                    return Err(format!(
                        "has no '{key}': there are minute, hour, day, month, week, unique and harakiri"
                    ));
                }
            };
            fields[field] = number;
        }
        let [minute, hour, day, month, weekday] = fields;
        let when =
            When::new(minute, hour, day, month, weekday).map_err(|never| never.to_string())?;
        Self::new(when, command, is_unique, time_max)
    }

    fn new(
        when: When,
        command: &str,
        is_unique: bool,
        time_max: Option<Duration>,
    ) -> Result<Self, String> {
        if command.trim().is_empty() {
            return Err("names no command to run".to_owned());
        }
        Ok(Self {
            when,
            command: command.trim().to_owned(),
            is_unique,
            time_max,
            last: None,
            running: Arc::default(),
        })
    }

    /// Runs it if it is due in this minute.
    pub(super) fn look(&mut self, minute: &LocalMinute) {
        if !self.when.matches(minute) || self.last == Some(minute.serial) {
            return;
        }
        self.last = Some(minute.serial);
        if self.is_unique && self.running.load(Ordering::Acquire) > 0 {
            tracing::info!(
                "cron: \"{}\" still runs; it is not begun again",
                self.command
            );
            return;
        }
        match shell(&self.command).spawn() {
            Ok(child) => self.attend(child),
            Err(error) => tracing::error!("cron: cannot run \"{}\": {error}", self.command),
        }
    }

    /// Waits for it on a thread of its own.
    fn attend(&self, child: Child) {
        tracing::info!("cron: running \"{}\" (pid {})", self.command, child.id());
        let (command, time_max) = (self.command.clone(), self.time_max);
        let running = Arc::clone(&self.running);
        running.fetch_add(1, Ordering::AcqRel);
        let thread = std::thread::Builder::new().name("sm-cron".to_owned());
        let attended = thread.spawn(move || {
            let ended = wait(child, time_max);
            running.fetch_sub(1, Ordering::AcqRel);
            match ended {
                Ok(said) => tracing::info!("cron: \"{command}\" {said}"),
                Err(error) => tracing::error!("cron: waiting for \"{command}\" failed: {error}"),
            }
        });
        if let Err(error) = attended {
            self.running.fetch_sub(1, Ordering::AcqRel);
            tracing::error!(%error, "cron: cannot wait for \"{}\"", self.command);
        }
    }
}

fn wait(mut child: Child, time_max: Option<Duration>) -> std::io::Result<String> {
    let Some(time_max) = time_max else {
        return child.wait().map(|status| format!("ended ({status})"));
    };
    let until = Instant::now() + time_max;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(format!("ended ({status})"));
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Ok(format!("was killed after {} s", time_max.as_secs()));
        }
        std::thread::sleep(LOOK);
    }
}

fn shell(command: &str) -> Command {
    #[cfg(not(windows))]
    let mut shell = {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]);
        shell
    };
    #[cfg(windows)]
    let mut shell = {
        use std::os::windows::process::CommandExt as _;
        let mut shell = Command::new("cmd");
        shell.arg("/C").raw_arg(command);
        shell
    };
    shell.stdin(Stdio::null());
    shell
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (When, String) {
        let command = CronCommand::parse(text, false, None).expect("an entry");
        (command.when, command.command)
    }

    fn when(fields: [i32; 5]) -> When {
        let [minute, hour, day, month, weekday] = fields;
        When::new(minute, hour, day, month, weekday).expect("a pattern")
    }

    #[test]
    fn five_numbers_and_a_command() {
        assert_eq!(
            parsed("59 2 -1 -1 -1 /usr/bin/backup --all 'x y'"),
            (
                when([59, 2, -1, -1, -1]),
                "/usr/bin/backup --all 'x y'".to_owned()
            )
        );
        assert_eq!(
            parsed("  -5\t-1  -1 -1 7   echo  "),
            (when([-5, -1, -1, -1, 7]), "echo".to_owned())
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
        ] {
            assert!(CronCommand::parse(text, false, None).is_err(), "{text}");
        }
        for text in [
            "minute=1",
            "minute=x echo",
            "year=1 echo",
            "minute=60 echo",
            "",
        ] {
            assert!(CronCommand::parse_keys(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_and_a_command() {
        let entry = CronCommand::parse_keys(
            "minute=39,hour=23,month=-1,week=-1,day=-1,unique=1,harakiri=2 echo a=b",
            None,
        )
        .expect("an entry");
        assert_eq!(entry.when, when([39, 23, -1, -1, -1]));
        assert_eq!(entry.command, "echo a=b");
        assert!(entry.is_unique);
        assert_eq!(entry.time_max, Some(Duration::from_secs(2)));
        let plain =
            CronCommand::parse_keys("echo hello", Some(Duration::from_secs(9))).expect("an entry");
        assert_eq!(plain.when, when([-1; 5]));
        assert_eq!(plain.time_max, Some(Duration::from_secs(9)));
        let endless = CronCommand::parse_keys("harakiri=0 echo", Some(Duration::from_secs(9)))
            .expect("an entry");
        assert_eq!(endless.time_max, None);
    }
}
