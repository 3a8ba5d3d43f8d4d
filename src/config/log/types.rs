//! Logs, as values.

use std::path::PathBuf;

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Write a line for each request.
    pub requests: bool,
    /// With the times that a request was queued and sent (`log-times`).
    pub times: bool,
    /// Log there instead of to standard error (`logto`).
    pub target: Option<LogTarget>,
    /// As `logto`, but opened after privileges were dropped (`logto2`).
    pub late_target: Option<LogTarget>,
    /// Open the log anew when one of these is touched (`touch-logreopen`).
    pub touch_reopen: Vec<PathBuf>,
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
