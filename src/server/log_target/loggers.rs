//! Opens the loggers of the configuration. Main thread, after privileges were dropped.

use std::io;
use std::path::Path;

use crate::config::{Config, Failure, LogConfig, Logger, LoggerKind};
use crate::server::settings::hostname;
use crate::telemetry::{Chains, DatagramTarget, FileRules, FileTarget, SlowTarget, Target};

/// The chains that lines go through; `None`: lines go where they always go, as they are. Relative
/// paths are meant from `folder`.
///
/// # Errors
/// A logger cannot be opened.
pub(super) fn open(config: &Config, folder: &Path) -> Result<Option<Chains>, Failure> {
    let log = &config.log;
    let is_plain = log.request_lines.is_none() && log.drain.is_empty() && log.filter.is_empty();
    if is_plain && !take_what_is_printed(log) {
        return Ok(None);
    }
    let chains = Chains::new(log, |logger| {
        open_logger(logger, log, folder).map_err(|error| {
            let text = &logger.text;
            Failure::new(format_args!("cannot log to {text}: {error}"))
        })
    })?;
    Ok(Some(chains))
}

/// Whether what the process prints is made into lines of the log.
pub(super) fn take_what_is_printed(log: &LogConfig) -> bool {
    log.json || !log.messages.is_empty() || !log.drain.is_empty() || !log.filter.is_empty()
}

fn open_logger(logger: &Logger, log: &LogConfig, folder: &Path) -> io::Result<Target> {
    Ok(match &logger.kind {
        LoggerKind::File(file) => Target::File(FileTarget::open(FileRules {
            path: folder.join(&file.path),
            bytes_max: file.bytes_max,
            backup: file.backup.as_ref().map(|path| folder.join(path)),
            mode: None,
        })?),
        LoggerKind::Stdio => Target::Main,
        LoggerKind::Descriptor(number) => {
            Target::Slow(SlowTarget::descriptor(inherited(*number)?)?)
        }
        LoggerKind::Syslog { ident, facility } => {
            Target::Datagrams(DatagramTarget::syslog(ident, *facility)?)
        }
        LoggerKind::SyslogServer(server) => {
            let packets = log.syslog_packets;
            Target::Datagrams(DatagramTarget::syslog_server(server, &hostname(), packets)?)
        }
        LoggerKind::Socket { address, prefix } => {
            Target::Datagrams(DatagramTarget::plain(address, prefix)?)
        }
        LoggerKind::Command(text) => Target::Slow(SlowTarget::command(text)?),
        LoggerKind::Journald => Target::Datagrams(DatagramTarget::journald()?),
        LoggerKind::Null => Target::Null,
    })
}

#[cfg(unix)]
fn inherited(number: u32) -> io::Result<std::fs::File> {
    crate::os::inherited::take(number).map(std::fs::File::from)
}

#[cfg(not(unix))]
fn inherited(_number: u32) -> io::Result<std::fs::File> {
    let why = "descriptors are not inherited on this system";
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}
