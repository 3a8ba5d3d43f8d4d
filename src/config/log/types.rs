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
    /// Log there instead of to standard error (`logto`).
    pub target: Option<LogTarget>,
    /// As `logto`, but opened after privileges were dropped (`logto2`).
    pub late_target: Option<LogTarget>,
    /// Open the log anew when one of these is touched (`touch-logreopen`).
    pub touch_reopen: Vec<PathBuf>,
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
