//! Alarms, as far as they are configuration: what they are called, what they do, and what raises
//! them.
//!
//! Plain values and their maker. The texts are uWSGI's (core/alarm.c). Pure; runs on the main
//! thread at start.

use super::types::{Alarm, AlarmConfig, AlarmDescriptor, AlarmKind, AlarmLines};

use super::options;
use crate::config::error::ConfigError;
use crate::config::readers::layers::Setting;
use crate::config::values::reader::Reader;

/// What `--alarm-list` prints.
pub(crate) const KINDS: &str = "cmd\nlog\nsignal\n";

/// Kinds of alarms that uWSGI has and this server has not.
const ELSEWHERE: &[&str] = &["mule", "curl", "xmpp", "speech", "rpc"];

impl Reader<'_> {
    pub(crate) fn alarms(&mut self) -> Result<AlarmConfig, ConfigError> {
        let mut config = AlarmConfig {
            repeat_after: self.seconds(&options::ALARM_FREQ)?,
            message_bytes_max: self.small(&options::ALARM_MSG_SIZE)?,
            ..AlarmConfig::default()
        };
        for setting in self.raw.all(&options::ALARM) {
            let alarm = alarm(&setting.text).map_err(|why| setting.error(why))?;
            config.alarms.push(alarm);
        }
        let mut patterns: Vec<(&Setting, bool)> = Vec::new();
        for (row, exempts) in [
            (&options::ALARM_LOG, false),
            (&options::NOT_ALARM_LOG, true),
        ] {
            let all = self.raw.all(row).iter();
            patterns.extend(all.map(|setting| (setting, exempts)));
        }
        patterns.sort_by_key(|(setting, _)| (setting.origin.layer, setting.origin.place));
        for (setting, exempts) in patterns {
            config.lines.push(lines(&config, setting, exempts)?);
        }
        for setting in self.raw.all(&options::ALARM_BACKLOG) {
            config
                .full_queue
                .push(named(&config, setting, &setting.text)?);
        }
        for setting in self.raw.all(&options::ALARM_FD) {
            config.descriptors.push(descriptor(&config, setting)?);
        }
        Ok(config)
    }
}

/// `NAME KIND:ARGUMENT`. `Err` is the end of a sentence.
fn alarm(text: &str) -> Result<Alarm, String> {
    let wanted = || format!("wants NAME KIND:ARGUMENT, such as 'ops cmd:mail ops', got '{text}'");
    let (name, rest) = text.split_once(' ').ok_or_else(wanted)?;
    let (kind, argument) = rest.trim_start().split_once(':').ok_or_else(wanted)?;
    if name.is_empty() {
        return Err(wanted());
    }
    let kind = match kind {
        "cmd" if argument.trim().is_empty() => return Err("wants a command behind cmd:".to_owned()),
        "cmd" => AlarmKind::Command(argument.to_owned()),
        "log" => AlarmKind::Log(argument.to_owned()),
        "signal" => AlarmKind::Signal(argument.trim().parse().map_err(|_| {
            format!("wants a uwsgi signal from 0 to 255 behind signal:, got '{argument}'")
        })?),
        other if ELSEWHERE.contains(&other) => {
            return Err(format!(
                "asks for {other}, which is not supported; cmd:, signal: and log: are, and a \
                 command can do the rest"
            ));
        }
        other => {
            return Err(format!(
                "asks for {other}, and there is no such kind; there are cmd:, signal: and log:"
            ));
        }
    };
    Ok(Alarm {
        name: name.to_owned(),
        kind,
    })
}

/// `NAME[,NAME] REGEX`
fn lines(
    config: &AlarmConfig,
    setting: &Setting,
    exempts: bool,
) -> Result<AlarmLines, ConfigError> {
    let text = &setting.text;
    let Some((names, pattern)) = text.split_once(' ') else {
        return Err(setting.error(format_args!("wants NAME[,NAME] REGEX, got '{text}'")));
    };
    if let Err(why) = regex_lite::Regex::new(pattern) {
        return Err(setting.error(format_args!(
            "has a regular expression that cannot be read: '{pattern}': {why}"
        )));
    }
    let names = names.split(',').filter(|name| !name.is_empty());
    Ok(AlarmLines {
        pattern: pattern.to_owned(),
        raised: names
            .map(|name| named(config, setting, name))
            .collect::<Result<_, _>>()?,
        exempts,
    })
}

/// `NAME FD[:BYTES] TEXT`
fn descriptor(config: &AlarmConfig, setting: &Setting) -> Result<AlarmDescriptor, ConfigError> {
    let text = &setting.text;
    let wrong = || setting.error(format_args!("wants NAME FD[:BYTES] TEXT, got '{text}'"));
    let mut parts = text.splitn(3, ' ');
    let (Some(name), Some(source), Some(message)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    let (number, bytes) = source.split_once(':').unwrap_or((source, "1"));
    let bytes: usize = bytes.parse().map_err(|_| wrong())?;
    Ok(AlarmDescriptor {
        alarm: named(config, setting, name)?,
        number: number.parse().map_err(|_| wrong())?,
        // As in uWSGI nothing is one; more than a page is a slip of the pen.
        bytes: bytes.clamp(1, 4096),
        message: message.to_owned(),
        origin: setting.place(),
    })
}

fn named(config: &AlarmConfig, setting: &Setting, name: &str) -> Result<usize, ConfigError> {
    config.find(name).ok_or_else(|| {
        let error = setting.error(format_args!("names the alarm {name}, and there is none"));
        error.hint(format!("declare it: --alarm '{name} cmd:COMMAND'"))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match alarm(text) {
            Ok(alarm) => format!("{} {:?}", alarm.name, alarm.kind),
            Err(why) => format!("error {why}"),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn kinds() {
        check(
            "ops cmd:mail -s a:b ops",
            r#"ops Command("mail -s a:b ops")"#,
        );
        check("ops  signal:17", "ops Signal(17)");
        check("ops log:", r#"ops Log("")"#);
        check("ops log:look here", r#"ops Log("look here")"#);
    }

    #[test]
    fn what_is_no_alarm() {
        for text in ["", "ops", "ops cmd", " cmd:a"] {
            check(
                text,
                &format!(
                    "error wants NAME KIND:ARGUMENT, such as 'ops cmd:mail ops', got '{text}'"
                ),
            );
        }
        check(
            "ops signal:256",
            "error wants a uwsgi signal from 0 to 255 behind signal:, got '256'",
        );
        check(
            "ops xmpp:a;b",
            "error asks for xmpp, which is not supported; cmd:, signal: and log: are, and a \
             command can do the rest",
        );
        check(
            "ops shout:a",
            "error asks for shout, and there is no such kind; there are cmd:, signal: and log:",
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _any = alarm(&text);
        }
    }
}
