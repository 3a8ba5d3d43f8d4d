//! The target of the log: `--logto`, `--logto2`, and the log of a daemon. A file is appended to;
//! `udp:HOST:PORT` gets a datagram for each line.
//!
//! The main thread opens it, and opens it again on SIGHUP, after logrotate has moved the file away.

mod loggers;

use std::fs::File;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::folders::Folders;
use crate::config::{Config, Failure, LogConfig, LogFileRules, LogTarget};
use crate::os::daemon::Starter;
use crate::os::{privileges, redirect, writable};
use crate::python::is_child;
use crate::telemetry::{self, Destination, FileRules, LogWriter, MainFile, MessageStyle};

/// How long the last lines of the log may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The process's log: its writer and target, and the process that waits until the daemon serves.
pub struct LogOutput {
    /// Writes lines, on a thread of its own.
    pub writer: LogWriter,
    target: Option<Log>,
    /// Has the terminal. While it waits, lines go there and not to the target.
    starter: Option<Starter>,
}

impl LogOutput {
    /// Starts the thread that writes. `config`: what messages look like. Call it after the last fork.
    pub fn start(
        target: Option<Log>,
        starter: Option<Starter>,
        config: Option<&LogConfig>,
    ) -> Result<Self, Failure> {
        let writer = LogWriter::start(is_child).map_err(Failure::new)?;
        let level = std::env::var("SINGLEMALT_LOG").ok();
        writer.set_times(redirect::is_stderr_a_file());
        if let Some(config) = config {
            writer.set_style(MessageStyle::of(config));
        }
        telemetry::install(writer.clone(), level.as_deref()).map_err(Failure::new)?;
        Ok(Self {
            writer,
            target,
            starter,
        })
    }

    /// Writes a line as it is.
    pub fn say(&self, line: &str) {
        say(&self.writer, line);
    }

    /// Writes what waits, within a short time.
    pub fn flush(&self) {
        self.writer.flush(FLUSH_TIMEOUT);
    }

    /// Sends everything to the target, unless a starter waits.
    pub fn redirect_unless_starting(&self) -> Result<(), Failure> {
        match self.starter {
            Some(_) => Ok(()),
            None => self.redirect(),
        }
    }

    fn redirect(&self) -> Result<(), Failure> {
        match &self.target {
            Some(log) => log
                .redirect(&self.writer)
                .map_err(|error| Failure::new(format_args!("cannot log there: {error}"))),
            None => Ok(()),
        }
    }

    /// `--logto2`: opens the target after privileges were dropped.
    pub fn open_late(&mut self, config: &Config, folders: &Folders) -> Result<(), Failure> {
        if let Some(target) = &config.log.late_target {
            self.target = Some(Log::open(config, "logto2", target, &folders.load)?);
            self.redirect_unless_starting()?;
        }
        Ok(())
    }

    /// Opens the loggers, with the rights that the server has from now on. They get what the process
    /// prints, too.
    pub fn open_loggers(&self, config: &Config, folders: &Folders) -> Result<(), Failure> {
        let Some(chains) = loggers::open(config, &folders.load)? else {
            return Ok(());
        };
        self.writer.set_chains(chains);
        #[cfg(unix)]
        if loggers::take_what_is_printed(&config.log) {
            let pipe = redirect::capture(&self.writer).map_err(Failure::new)?;
            self.writer.read_printed(pipe).map_err(Failure::new)?;
        }
        Ok(())
    }

    /// Opens the target and the files of loggers again: they may have been moved away.
    pub fn reopen(&mut self) {
        if let Some(log) = &mut self.target {
            log.reopen(&self.writer);
        }
        self.writer.reopen_loggers();
    }

    /// Rotates the target and the files of loggers.
    pub fn rotate(&self) {
        self.writer.rotate();
    }

    /// Sends everything to another target, which a reload has named. On an error the old one stays.
    pub fn change_target(&mut self, config: &Config, folders: &Folders) {
        let late = config.log.late_target.as_ref();
        let late = late.map(|target| ("logto2", target, &folders.load));
        let early = config.log.target.as_ref();
        let early = early.map(|target| ("logto", target, &folders.start));
        let Some((option, target, folder)) = late.or(early) else {
            tracing::warn!(
                "the log stays where it is: standard error, as it was before --logto, is gone"
            );
            return;
        };
        let changed = Log::open(config, option, target, folder).and_then(|log| {
            log.redirect(&self.writer).map_err(Failure::new)?;
            Ok(log)
        });
        match changed {
            Ok(log) => self.target = Some(log),
            Err(failure) => tracing::error!("{}", failure.text),
        }
    }

    /// The server serves: the starter ends, and with it the terminal.
    pub fn release_starter(&mut self) -> Result<(), Failure> {
        if let Some(starter) = self.starter.take() {
            self.flush();
            self.redirect()?;
            starter.release();
        }
        Ok(())
    }

    /// The server could not start: the starter ends with this code.
    pub fn fail_starter(&mut self, code: u8) {
        if let Some(starter) = self.starter.take() {
            starter.fail(code);
        }
    }
}

/// Writes lines to the log as they are.
pub fn say(writer: &LogWriter, line: &str) {
    writer.append_message("", line);
}

/// The targets that are opened before the start.
pub struct Targets {
    /// Of `--daemonize` or `--daemonize2`: the process becomes a daemon.
    pub daemon: Option<Log>,
    /// Of `--logto`.
    pub log: Option<Log>,
}

/// Opens the targets, while errors can go to the terminal.
///
/// # Errors
/// One cannot be opened. In a successor that is none: its standard error is the log already, and
/// the file may belong to another user.
pub fn open_all(config: &Config, folders: &Folders, is_first: bool) -> Result<Targets, Failure> {
    let truncates = is_first && config.log.file.truncate;
    let open =
        |option, target| match Log::open_once(config, option, target, &folders.start, truncates) {
            Ok(log) => Ok(Some(log)),
            Err(_) if !is_first => Ok(None),
            Err(failure) => Err(failure),
        };
    let process = &config.process;
    Ok(Targets {
        daemon: match (&process.daemonize, &process.daemonize2) {
            (Some(target), _) => open("daemonize", target)?,
            (None, Some(target)) => open("daemonize2", target)?,
            (None, None) => None,
        },
        log: match &config.log.target {
            Some(target) => open("logto", target)?,
            None => None,
        },
    })
}

/// Whether the targets could be opened: those of the start, or that of `--logto2`.
pub fn check(config: &Config, folders: &Folders, is_late: bool) -> Result<(), Failure> {
    let process = &config.process;
    let early = [
        ("daemonize", process.daemonize.as_ref(), &folders.start),
        ("daemonize2", process.daemonize2.as_ref(), &folders.start),
        ("logto", config.log.target.as_ref(), &folders.start),
    ];
    let late = [("logto2", config.log.late_target.as_ref(), &folders.load)];
    let all = if is_late { &late[..] } else { &early[..] };
    for (option, target, folder) in all.iter().copied() {
        let checked = match target {
            Some(LogTarget::File(path)) => writable::check(&folder.join(path)),
            Some(LogTarget::Udp(address)) => resolve(address).map(drop),
            None => continue,
        };
        if let (Err(error), Some(target)) = (checked, target) {
            return Err(refused(config, option, target, &error));
        }
    }
    Ok(())
}

fn refused(
    config: &Config,
    option: &'static str,
    target: &LogTarget,
    error: &io::Error,
) -> Failure {
    let name = match target {
        LogTarget::File(path) => path.display().to_string(),
        LogTarget::Udp(address) => format!("udp:{address}"),
    };
    Failure::about(
        config,
        option,
        format_args!("cannot log to {name}: {error}"),
    )
}

/// A target that is open, and can be opened again.
pub struct Log {
    target: LogTarget,
    opened: Opened,
    /// Of a file.
    rules: FileRules,
}

enum Opened {
    File(File),
    Udp(UdpSocket),
}

impl Log {
    /// Opens the target of `option`. A relative path is meant from `folder`, for later, too.
    fn open(
        config: &Config,
        option: &'static str,
        target: &LogTarget,
        folder: &Path,
    ) -> Result<Self, Failure> {
        Self::open_once(config, option, target, folder, false)
    }

    /// Likewise; `truncates`: a file is emptied.
    fn open_once(
        config: &Config,
        option: &'static str,
        target: &LogTarget,
        folder: &Path,
        truncates: bool,
    ) -> Result<Self, Failure> {
        let failed = |error: io::Error| refused(config, option, target, &error);
        let target = match target {
            LogTarget::File(path) => LogTarget::File(folder.join(path)),
            LogTarget::Udp(address) => LogTarget::Udp(address.clone()),
        };
        let rules = file_rules(&config.log.file, &target, folder);
        let opened = open(&target, &rules, truncates).map_err(failed)?;
        if let Opened::File(file) = &opened
            && config.log.file.chown
        {
            let (uid, gid) = privileges::future(config);
            redirect::give(file, uid, gid).map_err(failed)?;
        }
        Ok(Self {
            target,
            opened,
            rules,
        })
    }

    /// Sends everything there: the log's lines, and the output of the application.
    fn redirect(&self, writer: &LogWriter) -> io::Result<()> {
        match &self.opened {
            Opened::File(file) => {
                redirect::to_file(file, writer)?;
                let rules = self.rules.clone();
                let redirect = Box::new(redirect::file_destination);
                writer.set_main_file(Some(MainFile::new(rules, file.try_clone()?, redirect)));
                Ok(())
            }
            Opened::Udp(socket) => {
                redirect::standard_streams_to_socket(socket)?;
                writer.send_to(Destination::Datagrams(socket.try_clone()?));
                writer.set_main_file(None);
                writer.set_times(false);
                Ok(())
            }
        }
    }

    /// Opens the target again. On an error the old one stays.
    fn reopen(&mut self, writer: &LogWriter) {
        let LogTarget::File(path) = &self.target else {
            return;
        };
        let path = path.display().to_string();
        let reopened = open(&self.target, &self.rules, false).and_then(|opened| {
            self.opened = opened;
            self.redirect(writer)
        });
        match reopened {
            Ok(()) => tracing::info!("log file {path} opened again"),
            Err(error) => tracing::error!("cannot open {path} again: {error}"),
        }
    }
}

fn file_rules(rules: &LogFileRules, target: &LogTarget, folder: &Path) -> FileRules {
    FileRules {
        path: match target {
            LogTarget::File(path) => path.clone(),
            LogTarget::Udp(_) => PathBuf::new(),
        },
        bytes_max: rules.bytes_max,
        backup: rules.backup.as_ref().map(|path| folder.join(path)),
        mode: rules.mode,
    }
}

fn open(target: &LogTarget, rules: &FileRules, truncates: bool) -> io::Result<Opened> {
    match target {
        LogTarget::File(_) => rules.open(truncates).map(Opened::File),
        LogTarget::Udp(address) => {
            let address = resolve(address)?;
            let local: SocketAddr = match address {
                SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
                SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
            };
            let socket = UdpSocket::bind(local)?;
            socket.connect(address)?;
            Ok(Opened::Udp(socket))
        }
    }
}

fn resolve(address: &str) -> io::Result<SocketAddr> {
    address
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}
