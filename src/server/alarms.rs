//! Sources of alarms beside hooks and the application: lines of the log, a full queue, inherited
//! descriptors.
//!
//! The thread that writes log lines looks at them; the other sources have threads of their own, if
//! the options ask for them, until the process ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use regex_lite::Regex;

use crate::background::alarms::{AlarmContext, Alarms, TAG};
use crate::background::clockwork::Clockwork;
use crate::config::Failure;
use crate::config::{AlarmConfig, Config};
use crate::net::Net;
use crate::telemetry::LogWriter;

/// How often to look whether the queue was full, as in uWSGI.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long the last alarms may take when the process ends.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The alarms of the configuration; nothing is raised before [`start`].
pub fn of(config: &Config) -> Arc<Alarms> {
    let config = &config.alarms;
    Arc::new(Alarms::new(
        config.alarms.clone(),
        config.repeat_after,
        config.message_bytes_max,
    ))
}

/// Raises alarms from now on. Main thread, after everything that forks.
pub fn start(
    config: &Config,
    alarms: &Arc<Alarms>,
    writer: &LogWriter,
    clockwork: &Arc<Clockwork>,
) -> Result<(), Failure> {
    if alarms.is_empty() {
        return Ok(());
    }
    let (log, clockwork) = (writer.clone(), Arc::clone(clockwork));
    let context = AlarmContext {
        say: Box::new(move |line| {
            log.append_message("", line);
        }),
        signal: Box::new(move |number| clockwork.raise(number)),
    };
    alarms.start(context).map_err(Failure::new)?;
    if !config.alarms.lines.is_empty() {
        let rules = rules(&config.alarms)?;
        let alarms = Arc::clone(alarms);
        writer.show_batches_to(Box::new(move |batch| {
            for line in batch.split(|byte| *byte == b'\n') {
                look_at(line, &rules, &mut |place, line| {
                    alarms.raise_at(place, line)
                });
            }
        }));
    }
    watch_descriptors(config, alarms)
}

/// Raises the alarms of `--alarm-backlog` when the queue was full and requests were refused.
pub fn watch_queue(config: &Config, alarms: &Arc<Alarms>, net: &Arc<Net>) -> Result<(), Failure> {
    let raised = config.alarms.full_queue.clone();
    if raised.is_empty() {
        return Ok(());
    }
    let (alarms, net, length) = (Arc::clone(alarms), Arc::clone(net), config.limits.queue_max);
    let mut known = net.counters.shed.load(Ordering::Relaxed);
    let thread = std::thread::Builder::new().name("sm-alarm-queue".to_owned());
    let watch = move || {
        loop {
            std::thread::sleep(LOOK_INTERVAL);
            let shed = net.counters.shed.load(Ordering::Relaxed);
            if shed != known {
                let new = shed.saturating_sub(known);
                let message = format!(
                    "the request queue of {length} is full: {new} requests were answered 503"
                );
                for place in &raised {
                    alarms.raise_at(*place, &message);
                }
                known = shed;
            }
        }
    };
    thread.spawn(watch).map(drop).map_err(Failure::new)
}

/// A pattern of log lines.
struct Rule {
    pattern: Regex,
    raised: Vec<usize>,
    exempts: bool,
}

fn rules(config: &AlarmConfig) -> Result<Vec<Rule>, Failure> {
    let rule = |lines: &crate::config::AlarmLines| {
        Ok(Rule {
            pattern: Regex::new(&lines.pattern).map_err(Failure::new)?,
            raised: lines.raised.clone(),
            exempts: lines.exempts,
        })
    };
    config.lines.iter().map(rule).collect()
}

/// Calls `raise` for each alarm that the line raises. Lines that alarms have written raise none.
fn look_at(line: &[u8], rules: &[Rule], raise: &mut dyn FnMut(usize, &str)) {
    if line.is_empty() || line.starts_with(TAG.as_bytes()) || line.starts_with(b"ALARM: ") {
        return;
    }
    let line = String::from_utf8_lossy(line);
    for rule in rules {
        if !rule.pattern.is_match(&line) {
            continue;
        }
        if rule.exempts {
            return;
        }
        for place in &rule.raised {
            raise(*place, &line);
        }
    }
}

#[cfg(unix)]
fn watch_descriptors(config: &Config, alarms: &Arc<Alarms>) -> Result<(), Failure> {
    for descriptor in &config.alarms.descriptors {
        let ours = crate::os::inherited::take(descriptor.number).map_err(|error| {
            Failure::new(format_args!(
                "{}: cannot read descriptor {}: {error}",
                descriptor.origin, descriptor.number
            ))
        })?;
        let (descriptor, alarms) = (descriptor.clone(), Arc::clone(alarms));
        let thread = std::thread::Builder::new().name("sm-alarm-fd".to_owned());
        let watch = move || {
            let mut bytes = vec![0; descriptor.bytes];
            let ended = loop {
                match read_all(&ours, &mut bytes) {
                    Ok(()) => alarms.raise_at(descriptor.alarm, &descriptor.message),
                    Err(error) => break error,
                }
            };
            tracing::warn!(
                target: "app.stderr",
                "{TAG} {}: descriptor {} is not watched any more: {ended}",
                descriptor.origin,
                descriptor.number
            );
        };
        thread.spawn(watch).map_err(Failure::new)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn watch_descriptors(config: &Config, _alarms: &Arc<Alarms>) -> Result<(), Failure> {
    match config.alarms.descriptors.first() {
        Some(descriptor) => Err(Failure::new(format_args!(
            "{}: this system hands no descriptors over",
            descriptor.origin
        ))),
        None => Ok(()),
    }
}

/// Fills `bytes`, also from a descriptor that does not block.
#[cfg(unix)]
fn read_all(from: &std::os::fd::OwnedFd, bytes: &mut [u8]) -> std::io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = bytes.get_mut(filled..).unwrap_or_default();
        let waited = poll(&mut [PollFd::new(from, PollFlags::IN)], None);
        match waited.and_then(|_| rustix::io::read(from, rest)) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str, raised: &[usize], exempts: bool) -> Rule {
        Rule {
            pattern: Regex::new(pattern).expect("a pattern"),
            raised: raised.to_vec(),
            exempts,
        }
    }

    #[test]
    fn lines_raise_alarms_in_the_order_of_the_rules() {
        let rules = [
            rule("^ok ", &[0], false),
            rule("harmless", &[], true),
            rule("(?i)error", &[1, 2], false),
        ];
        let raised = |line: &[u8]| {
            let mut all = Vec::new();
            look_at(line, &rules, &mut |place, _| all.push(place));
            all
        };
        assert_eq!(raised(b"ok error"), [0, 1, 2]);
        assert_eq!(raised(b"harmless error"), [0_usize; 0]);
        assert_eq!(raised(b"ok harmless error"), [0]);
        assert_eq!(raised(b"\xffERROR"), [1, 2]);
        assert_eq!(raised(b""), [0_usize; 0]);
        assert_eq!(
            raised(b"ALARM: error"),
            [0_usize; 0],
            "no alarm about alarms"
        );
        assert_eq!(raised(b"[uwsgi-alarm] a: error"), [0_usize; 0]);
    }
}
