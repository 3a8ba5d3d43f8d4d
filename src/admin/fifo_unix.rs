//! Unix: the master fifo (`--master-fifo`): letters that are written to a named pipe are commands,
//! as in uWSGI (`src/admin/fifo_command.rs`). Several pipes may be named; one of them is open, and
//! a digit chooses it.
//!
//! `sm-fifo` reads the pipe and sends the commands to the supervisor.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::control_server::ControlHandler;
use super::fifo_command::{self, FifoCommand};
use super::listeners::mark;
use crate::config::Config;
use crate::config::Failure;
use crate::os::{pidfile, writable};
use crate::reload::event::Event;

/// How often one looks whether the pipe is still the one of its name.
const LOOK_INTERVAL: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};

/// The pipes. Dropping them removes the open one from the file system: no process reads it any
/// more.
pub struct Fifos {
    open: Arc<Mutex<Option<Open>>>,
}

struct Open {
    path: PathBuf,
    mark: (u64, u64),
}

struct Reader {
    paths: Vec<PathBuf>,
    slot: usize,
    pipe: File,
    open: Arc<Mutex<Option<Open>>>,
    handler: Arc<ControlHandler>,
    pidfiles: Vec<PathBuf>,
}

/// Whether the first pipe could be made.
pub fn check(config: &Config) -> Result<(), Failure> {
    let Some(path) = config.control.fifos.first() else {
        return Ok(());
    };
    let checked = match path.symlink_metadata() {
        Ok(file) if !file.file_type().is_fifo() => Err(taken()),
        Ok(_) => Ok(()),
        Err(_) => writable::check_folder(path),
    };
    checked.map_err(|error| failed(config, path, &error))
}

fn failed(config: &Config, path: &Path, error: &io::Error) -> Failure {
    let why = format!("cannot make the pipe {}: {error}", path.display());
    Failure::about(config, "master-fifo", why)
}

fn taken() -> io::Error {
    io::Error::new(
        ErrorKind::AlreadyExists,
        "something else has that name, and stays",
    )
}

impl Fifos {
    /// Makes the first pipe and starts to read it, if there is to be any. A successor goes on
    /// reading the pipe of the process before it, if it is still there: it may hold letters. Main
    /// thread, when privileges are dropped.
    pub fn start(
        config: &Config,
        handler: &Arc<ControlHandler>,
        is_successor: bool,
    ) -> Result<Self, Failure> {
        let open = Arc::new(Mutex::new(None));
        let fifos = Self {
            open: Arc::clone(&open),
        };
        let paths: Vec<PathBuf> = config
            .control
            .fifos
            .iter()
            .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()))
            .collect();
        let Some(first) = paths.first() else {
            return Ok(fifos);
        };
        let made = match is_successor && is_pipe(first) {
            true => open_pipe(first, &open),
            false => make(first, &open),
        };
        let pipe = made.map_err(|error| failed(config, first, &error))?;
        let reader = Reader {
            pipe,
            paths,
            slot: 0,
            open,
            handler: Arc::clone(handler),
            pidfiles: pidfile::paths(config),
        };
        std::thread::Builder::new()
            .name("sm-fifo".to_owned())
            .spawn(move || reader.read())
            .map_err(Failure::new)?;
        Ok(fifos)
    }

    /// From now on a successor reads them: nothing is read here any more, and they stay.
    pub fn leave(&self) {
        *self.open.lock() = None;
    }
}

fn is_pipe(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_fifo())
}

impl Drop for Fifos {
    fn drop(&mut self) {
        let open = self.open.lock();
        if let Some(Open { path, mark: ours }) = &*open
            && mark(path) == Some(*ours)
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(%error, "cannot remove {}", path.display());
        }
    }
}

/// Makes the pipe anew, as uWSGI does, and opens it for reading and writing: so it never ends, and
/// a writer need not wait.
fn make(path: &Path, open: &Mutex<Option<Open>>) -> io::Result<File> {
    match std::fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_fifo() => {
            return Err(taken());
        }
        Ok(_) => std::fs::remove_file(path)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600))
        .map_err(io::Error::from)?;
    open_pipe(path, open)
}

fn open_pipe(path: &Path, open: &Mutex<Option<Open>>) -> io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let pipe = options
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)?;
    let mark = mark(path).ok_or(ErrorKind::NotFound)?;
    *open.lock() = Some(Open {
        path: path.to_owned(),
        mark,
    });
    Ok(pipe)
}

impl Reader {
    fn read(mut self) {
        let mut letters = [0; 64];
        loop {
            let mut ready = [PollFd::new(&self.pipe, PollFlags::IN)];
            match poll(&mut ready, Some(&LOOK_INTERVAL)) {
                Ok(0) => {
                    if self.is_left() {
                        return;
                    }
                    if !self.is_there() && !self.switch("was removed and is there again") {
                        return;
                    }
                    continue;
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    return tracing::error!("the master fifo is not read any more: {error}");
                }
            }
            // Held while it is read: what `leave` has left to a successor is not read here.
            let open = self.open.lock();
            if open.is_none() {
                return;
            }
            let read = self.pipe.read(&mut letters);
            drop(open);
            let count = match read {
                Ok(count) => count,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
                {
                    continue;
                }
                Err(error) => {
                    return tracing::error!("the master fifo is not read any more: {error}");
                }
            };
            let slot = self.slot;
            for byte in letters.iter().take(count) {
                if let Some(letter) = fifo_command::read(*byte) {
                    self.obey(letter, char::from(*byte));
                }
            }
            if self.slot != slot && !self.switch("is now the one that is read") {
                return;
            }
        }
    }

    fn path(&self) -> &Path {
        self.paths.get(self.slot).map_or(Path::new(""), |path| path)
    }

    fn is_left(&self) -> bool {
        let open = self.open.lock();
        open.is_none()
    }

    fn is_there(&self) -> bool {
        let open = self.open.lock();
        let ours = open.as_ref().map(|open| open.mark);
        ours.is_some() && mark(self.path()) == ours
    }

    /// Opens the pipe of the slot. `false`: there is none to read any more.
    fn switch(&mut self, what: &str) -> bool {
        let left = self.open.lock().take();
        match make(self.path(), &self.open) {
            Ok(pipe) => {
                tracing::info!("the master fifo {} {what}", self.path().display());
                self.pipe = pipe;
                // No process reads the other pipe any more.
                if let Some(left) = left.filter(|left| left.path != self.path())
                    && mark(&left.path) == Some(left.mark)
                {
                    // It was there a moment ago; who removed it wanted the same.
                    let _gone = std::fs::remove_file(&left.path);
                }
                true
            }
            Err(error) => {
                tracing::error!(
                    "no master fifo any more: cannot make the pipe {}: {error}",
                    self.path().display()
                );
                false
            }
        }
    }

    fn obey(&mut self, letter: FifoCommand, spelled: char) {
        let by = format!("master-fifo: {spelled}");
        let none = |what: &str| tracing::warn!("{by}: {what}");
        match letter {
            // As in uWSGI, a number too high is the first.
            FifoCommand::Slot(slot) if slot < self.paths.len() => self.slot = slot,
            FifoCommand::Slot(_) => self.slot = 0,
            FifoCommand::Reload => self.tell(Event::reload(by)),
            FifoCommand::ReloadAtOnce => {
                none("reloading; requests in progress are finished all the same");
                self.tell(Event::reload(by));
            }
            FifoCommand::ChainReload => self.tell(Event::ChainReload { by: by.into() }),
            FifoCommand::ReopenLog => self.tell(Event::ReopenLog { by }),
            FifoCommand::Stop => self.handler.stop_once("master-fifo: q"),
            FifoCommand::StopNow => self.tell(Event::StopNow {
                by: "master-fifo: Q",
            }),
            FifoCommand::Stats => self.log_status(),
            FifoCommand::Pidfiles => {
                for path in &self.pidfiles {
                    match std::fs::write(path, format!("{}\n", pidfile::pid())) {
                        Ok(()) => tracing::info!("{by}: {} is written anew", path.display()),
                        Err(error) => {
                            tracing::error!("{by}: cannot write {}: {error}", path.display());
                        }
                    }
                }
                if self.pidfiles.is_empty() {
                    none("there is no pidfile");
                }
            }
            FifoCommand::RotateLog => self.tell(Event::RotateLog { by }),
            FifoCommand::Cheaper(step) => self.tell(Event::adjust(by, step > 0)),
            FifoCommand::Cheap => self.tell(Event::Rest { by: by.into() }),
            FifoCommand::Pause => {
                none("a server is not paused; C ends its interpreters until the next request")
            }
            FifoCommand::Elsewhere(why) => none(&format!("this {why}")),
            FifoCommand::Unknown => none("no command has this letter"),
        }
    }

    fn tell(&self, event: Event) {
        // The supervisor left first: the server stops.
        let _gone = self.handler.events.send(event);
    }

    fn log_status(&self) {
        tracing::info!("master-fifo: s\n{}", self.handler.metrics.shown());
    }
}
