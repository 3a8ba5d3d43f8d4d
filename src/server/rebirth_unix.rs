//! Unix: the whole process starts anew in its own place, for apps that live in the main interpreter.
//!
//! First a child process, made as this one was, shows that the application loads; if it does not, nothing has
//! happened. Then this process answers what it has, and executes its own program again. The process id stays, and the
//! listening sockets stay open all the while: whoever connects waits in the kernel until the application is loaded.
//!
//! What the next image has to know it is told by one environment variable, which is removed before Python starts.
//! It names a process, so that it means nothing to others that inherit it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{SigSet, Signal};

use super::certificates::Certificates;
use super::failure::Failure;
use super::inherited;
use super::sockets;
use super::vacuum::Vacuum;
use crate::app::{Current, Patience};
use crate::config::Config;
use crate::net::{Kept, Listener, Net, Turn};

/// The variable. Not one of ours that could be an option.
pub const VARIABLE: &str = "_SINGLEMALT_REBIRTH";

/// Whether this system can do it.
pub const IS_POSSIBLE: bool = true;

/// How often the child is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// How this process was started.
#[derive(Clone, Debug)]
pub struct Origin {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: PathBuf,
}

/// What this process is for.
pub enum Step {
    /// A start like any other.
    First,
    /// To show whether the application loads.
    Proof,
    /// To go on where it has left off itself.
    Next(Inheritance),
}

/// What a process leaves to itself.
pub struct Inheritance {
    /// The listening sockets, in their order.
    pub listeners: Vec<OwnedFd>,
    /// Connections on which nothing is under way.
    pub connections: Vec<Kept>,
    /// Since when nobody takes connections.
    pub since: SystemTime,
}

impl Inheritance {
    /// Since when nobody takes connections.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// The listeners, and the connections that wait.
    ///
    /// # Errors
    /// See [`sockets::bind_again`].
    pub fn open(
        self,
        config: &Config,
        certificates: &Certificates,
        vacuum: &mut Vacuum,
    ) -> Result<(Vec<Listener>, Vec<Kept>), Failure> {
        let (listeners, places) =
            sockets::bind_again(config, certificates, vacuum, self.listeners)?;
        let moved = self.connections.into_iter().filter_map(|mut kept| {
            // Whose listener is not wanted any more is closed.
            kept.listener = *places.get(kept.listener)?.as_ref()?;
            Some(kept)
        });
        Ok((listeners, moved.collect()))
    }
}

/// Goes on with the connections. Main thread, when somebody serves.
pub fn go_on(waiting: Vec<Kept>, net: &Net, current: &Current) {
    let mut turn = Turn::default();
    for kept in waiting {
        if let Err(error) = turn.adopt(net, current, kept) {
            tracing::debug!(%error, "a connection has gone meanwhile");
        }
    }
    // What its requests were queued for may sleep.
    if let Some(generation) = current.load() {
        generation.queue().wake_if_idle(net);
    }
}

impl Origin {
    /// Call it before anything of this is changed.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn now() -> io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            arguments: std::env::args_os().collect(),
            environment: std::env::vars_os()
                .filter(|(name, _)| name != VARIABLE)
                .collect(),
            folder: std::env::current_dir()?,
        })
    }

    /// The next image does not find this variable.
    pub fn forget(&mut self, variable: &str) {
        self.environment.retain(|(name, _)| name != variable);
    }

    /// The next image finds this variable.
    pub fn remember(&mut self, variable: &str, value: String) {
        self.forget(variable);
        self.environment.push((variable.into(), value.into()));
    }

    fn command(&self, variable: String) -> Command {
        let mut command = Command::new(&self.program);
        if let Some((name, arguments)) = self.arguments.split_first() {
            command.arg0(name).args(arguments);
        }
        command
            .env_clear()
            .envs(self.environment.iter().cloned())
            .env(VARIABLE, variable)
            .current_dir(&self.folder);
        command
    }

    /// Whether the application loads, in a process of its own. Why it does not goes to standard error, so to the log.
    /// Runs on `sm-reload`.
    ///
    /// # Errors
    /// It does not, in words.
    pub fn prove(&self, patience: &Patience) -> Result<(), String> {
        let mut child = self
            .command(format!("proof {}", std::process::id()))
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.program.display()))?;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(_)) => {
                    return Err("the application could not be loaded, see above".to_owned());
                }
                Ok(None) => {}
                Err(error) => return Err(format!("cannot wait for a process: {error}")),
            }
            if let Err(why) = patience.pause(LOOK_INTERVAL) {
                // It has ended by itself meanwhile.
                let _gone = child.kill();
                let _reaped = child.wait();
                return Err(why.to_string());
            }
        }
    }

    /// Starts anew in this process's place, with this. Returns only if that fails. Main thread.
    pub fn begin_again(&self, inheritance: &Inheritance) -> io::Error {
        let mut listeners = Vec::new();
        let mut connections = Vec::new();
        for listener in &inheritance.listeners {
            match stays_open(listener) {
                Ok(number) => listeners.push(number.to_string()),
                Err(error) => return error,
            }
        }
        for Kept {
            descriptor,
            listener,
        } in &inheritance.connections
        {
            match stays_open(descriptor) {
                Ok(number) => connections.push(format!("{number}/{listener}")),
                Err(error) => return error,
            }
        }
        let since = inheritance
            .since
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let variable = format!(
            "next {} {} {} {}",
            std::process::id(),
            since.as_millis(),
            listeners.join(","),
            connections.join(",")
        );
        // A signal that came before there is a handler for it would end the process.
        if let Err(error) = hangups().thread_block() {
            return error.into();
        }
        self.command(variable).exec()
    }
}

fn stays_open(descriptor: &OwnedFd) -> io::Result<i32> {
    rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
    Ok(descriptor.as_raw_fd())
}

/// Signals that come while the process starts anew, and would end it.
fn hangups() -> SigSet {
    [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
    ]
    .into_iter()
    .collect()
}

/// There are handlers for signals now.
pub fn take_signals() {
    if let Err(error) = hangups().thread_unblock() {
        tracing::error!(%error, "signals stay blocked");
    }
}

/// What this process is for. Call it once, at start.
pub fn step() -> Step {
    let Ok(text) = std::env::var(VARIABLE) else {
        return Step::First;
    };
    let words: Vec<&str> = text.split(' ').collect();
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    match words.as_slice() {
        ["proof", pid] if parent.as_deref() == Some(*pid) => Step::Proof,
        ["next", pid, since, listeners, connections] if **pid == std::process::id().to_string() => {
            let since = UNIX_EPOCH + Duration::from_millis(since.parse().unwrap_or_default());
            let listeners = listeners
                .split(',')
                .filter_map(|number| number.parse().ok());
            let connections = connections.split(',').filter_map(|pair| {
                let (number, listener) = pair.split_once('/')?;
                Some(Kept {
                    descriptor: take(number.parse().ok()?)?,
                    listener: listener.parse().ok()?,
                })
            });
            Step::Next(Inheritance {
                connections: connections.collect(),
                listeners: listeners.filter_map(take).collect(),
                since,
            })
        }
        _ => Step::First,
    }
}

/// The descriptor, closed on exec; the number itself is free again.
fn take(number: u32) -> Option<OwnedFd> {
    let taken = inherited::take(number).ok()?;
    let closed = i32::try_from(number).map(nix::unistd::close);
    debug_assert!(matches!(closed, Ok(Ok(()))), "it was open a moment ago");
    Some(taken)
}
