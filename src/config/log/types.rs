//! Logs, as values.

use std::path::PathBuf;
use std::time::Duration;

use super::format::Piece;

/// Where the log goes and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Write a line for each request.
    pub requests: bool,
    /// Requests that have a line although [`requests`](Self::requests) is off.
    pub which: LoggedRequests,
    /// What a request line looks like.
    pub line: LineStyle,
    /// Response times in microseconds (`log-micros`).
    pub micros: bool,
    /// Memory in the request line (`memory-report`).
    pub memory: MemoryReport,
    /// The time in front of messages (`log-date`).
    pub date: Option<DatePrefix>,
    /// The format of `%(ftime)`, if there is one (`log-format-strftime`).
    pub time_format: Option<String>,
    /// Messages and lines as JSON objects (`log-json`).
    pub json: bool,
    /// Log there instead of to standard error (`logto`).
    pub target: Option<LogTarget>,
    /// As `logto`, but opened after privileges were dropped (`logto2`).
    pub late_target: Option<LogTarget>,
    /// How a log file is opened and rotated.
    pub file: LogFileRules,
    /// Open the log anew when one of these is touched (`touch-logreopen`).
    pub touch_reopen: Vec<PathBuf>,
    /// Rotate the log when one of these is touched (`touch-logrotate`).
    pub touch_rotate: Vec<PathBuf>,
    /// The way of messages, and of request lines that have none of their own.
    pub messages: LogChain,
    /// The way of request lines, if it is another one.
    pub request_lines: Option<LogChain>,
    /// Lines that match one of these are left out (`log-drain`).
    pub drain: Vec<String>,
    /// If there are any, lines that match none are left out (`log-filter`).
    pub filter: Vec<String>,
    /// Messages to a syslog server.
    pub syslog_packets: SyslogPackets,
}

/// The form of a request line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LineStyle {
    /// uWSGI's line.
    #[default]
    Uwsgi,
    /// With the times that a request was queued and sent (`log-times`).
    Times,
    /// By a format (`log-format`).
    Format(Vec<Piece>),
    /// A JSON object (`log-json`).
    Json,
}

/// Which memory the request line tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryReport {
    /// None.
    #[default]
    Off,
    /// Resident and address space.
    Basic,
    /// What is not shared, and the proportional share, too.
    Shares,
}

/// Requests that have a line although `disable-logging` is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoggedRequests {
    /// Without a body of the response (`log-zero`).
    pub empty: bool,
    /// At least that slow (`log-slow`).
    pub slow: Option<Duration>,
    /// Answered 4xx (`log-4xx`).
    pub client_errors: bool,
    /// Answered 5xx (`log-5xx`).
    pub server_errors: bool,
    /// With at least so many bytes of a body (`log-big`).
    pub big: Option<u64>,
    /// Answered with a file (`log-sendfile`).
    pub files: bool,
    /// The client went away before the end (`log-ioerror`).
    pub broken: bool,
}

/// What is in front of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatePrefix {
    /// As C's `ctime` writes it.
    Ctime,
    /// By a format of `strftime`.
    Format(String),
}

/// How a log file is opened and rotated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFileRules {
    /// Rotated past so many bytes (`log-maxsize`).
    pub bytes_max: Option<u64>,
    /// The name of a rotated file (`log-backupname`).
    pub backup: Option<PathBuf>,
    /// Emptied at start (`log-truncate`).
    pub truncate: bool,
    /// Given to the user that the server becomes (`logfile-chown`).
    pub chown: bool,
    /// Its mode (`logfile-chmod`).
    pub mode: Option<u32>,
}

/// The way of lines: encoders, loggers, and routes to named ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogChain {
    /// In order.
    pub encoders: Vec<LogEncoder>,
    /// Those without a name get every line that no route takes.
    pub loggers: Vec<Logger>,
    /// Lines that match go to the logger of that name.
    pub routes: Vec<LogRoute>,
}

impl LogChain {
    /// Lines go where they always go, as they are.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `log-route`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRoute {
    /// A regular expression.
    pub pattern: String,
    /// The name of the logger.
    pub logger: String,
}

/// One encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEncoder {
    /// What it does.
    pub kind: EncoderKind,
    /// The name of the one logger that it is for.
    pub logger: Option<String>,
}

/// What an encoder does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncoderKind {
    /// A text in front.
    Prefix(Vec<u8>),
    /// A text behind.
    Suffix(Vec<u8>),
    /// A line end behind.
    NewLine,
    /// A text with variables.
    Format(Vec<Part>),
    /// A text with variables whose values are parts of JSON strings.
    Json(Vec<Part>),
    /// Each line a gzip member.
    Gzip,
    /// Each line a zlib stream.
    Zlib,
}

/// A part of an encoder's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Written as it is.
    Text(Vec<u8>),
    /// The line without its end.
    Message,
    /// The line.
    MessageWithEnd,
    /// Seconds since 1970.
    Seconds,
    /// Microseconds since 1970.
    Micros,
    /// Milliseconds since 1970.
    Millis,
    /// The time by a format of `strftime`.
    Time(String),
}

/// One logger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logger {
    /// Its name, for routes and encoders.
    pub id: Option<String>,
    /// Where it writes.
    pub kind: LoggerKind,
    /// As it was written, for messages.
    pub text: String,
}

/// Where a logger writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoggerKind {
    /// A file, appended to.
    File(LogFile),
    /// Where the log would go without loggers.
    Stdio,
    /// A descriptor that the server was started with.
    Descriptor(u32),
    /// The system's log.
    Syslog {
        /// What names the server there.
        ident: String,
        /// Its facility, as a number.
        facility: u8,
    },
    /// A syslog server.
    SyslogServer(SyslogServer),
    /// A datagram for each line.
    Socket {
        /// Where.
        address: Datagrams,
        /// In front of each line.
        prefix: Vec<u8>,
    },
    /// The standard input of a command.
    Command(String),
    /// systemd's journal.
    Journald,
    /// Nowhere.
    Null,
}

/// A file of a logger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFile {
    /// Its path.
    pub path: PathBuf,
    /// Rotated past so many bytes.
    pub bytes_max: Option<u64>,
    /// The name of a rotated file.
    pub backup: Option<PathBuf>,
}

/// A syslog server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogServer {
    /// Where it is.
    pub address: Datagrams,
    /// Host and name of the server; `None`: `HOSTNAME uwsgi`.
    pub tag: Option<String>,
    /// Facility and severity as one number.
    pub priority: u32,
}

/// A place that takes datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagrams {
    /// `HOST:PORT`
    Udp(String),
    /// A unix socket.
    Unix(PathBuf),
}

/// Messages to a syslog server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyslogPackets {
    /// Bytes of a packet (`rsyslog-packet-size`).
    pub bytes_max: usize,
    /// A long line goes in several packets (`rsyslog-split-messages`).
    pub splits: bool,
}

/// Where log lines go instead of standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Appended to a file.
    File(PathBuf),
    /// Sent to this address as datagrams; `HOST:PORT`, looked up when it is needed.
    Udp(String),
}

impl LogTarget {
    /// Reads `FILE`, `udp:HOST:PORT` or, as uWSGI does, `HOST:PORT` with a number for a port.
    pub(crate) fn parse(text: &str) -> LogTarget {
        if let Some(address) = text.strip_prefix("udp:") {
            return LogTarget::Udp(address.to_owned());
        }
        match text.rsplit_once(':') {
            Some((host, port))
                if !host.is_empty()
                    && !text.contains(['/', '\\'])
                    && !port.is_empty()
                    && port.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                LogTarget::Udp(text.to_owned())
            }
            _ => LogTarget::File(PathBuf::from(text)),
        }
    }
}
