//! Alarms, as values.

use std::time::Duration;

/// Alarms and what raises them, beside hooks and the application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmConfig {
    /// The alarms (`alarm`).
    pub alarms: Vec<Alarm>,
    /// How long an alarm is not raised again with the message that it had last (`alarm-freq`).
    pub repeat_after: Duration,
    /// Bytes of a message; what is longer is cut (`alarm-msg-size`).
    pub message_bytes_max: usize,
    /// Log lines that raise alarms, in the order in which they were written (`alarm-log`,
    /// `not-alarm-log`).
    pub lines: Vec<AlarmLines>,
    /// The alarms of a full queue, by their places in `alarms` (`alarm-backlog`).
    pub full_queue: Vec<usize>,
    /// Descriptors that raise alarms (`alarm-fd`).
    pub descriptors: Vec<AlarmDescriptor>,
}

impl AlarmConfig {
    /// The place of the alarm of this name. The first one counts, as in uWSGI.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.alarms.iter().position(|alarm| alarm.name == name)
    }
}

/// One alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What it is called by.
    pub name: String,
    /// What it does.
    pub kind: AlarmKind,
}

/// What an alarm does with its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlarmKind {
    /// `cmd:COMMAND`: runs it in a shell, with the message on its standard input.
    Command(String),
    /// `signal:NUMBER`: raises this uwsgi signal; the message is not passed on.
    Signal(u8),
    /// `log:TEXT`: writes `ALARM: TEXT MESSAGE` to the log.
    Log(String),
}

/// A pattern of log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmLines {
    /// A regular expression that can be read.
    pub pattern: String,
    /// What is raised for a line that matches, by the places in [`AlarmConfig::alarms`].
    pub raised: Vec<usize>,
    /// Raises nothing, and neither does what stands behind it (`not-alarm-log`).
    pub exempts: bool,
}

/// A descriptor that raises an alarm when it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmDescriptor {
    /// The alarm, by its place in [`AlarmConfig::alarms`].
    pub alarm: usize,
    /// The descriptor's number.
    pub number: u32,
    /// How many bytes make one alarm; not 0.
    pub bytes: usize,
    /// The message.
    pub message: String,
    /// Where it was written, for messages.
    pub origin: String,
}
