//! The whole process is renewed, for apps that live in the main interpreter.
//!
//! Another process, made as this one was, loads the application ([`StandIn`]); if it cannot,
//! nothing has happened. It serves while this process answers what it has, and is the server from
//! then on (`successor`). The first process stays, and waits for the end of the last one
//! (`keeper`). The listening sockets stay open all the while.
//!
//! What the other one is for it is told by one environment variable, which is removed before Python
//! starts.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crossbeam::channel::Receiver;

use super::channel::Line;
use super::message::{VERSION, Word};
use super::successor_process::StandIn;
use crate::app::{Current, Deadlines};
use crate::config::{self, Config};
use crate::net::{Handle, Net, ParkedConnection, Turn};
use crate::os::file_locks::Locks;

/// The variable.
pub use crate::config::SUCCESSOR_VARIABLE as VARIABLE;

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
    /// To serve in the place of another process, which is at the other end, and to be the server
    /// then.
    Successor(Line),
}

/// What a successor gets from the process before it.
#[derive(Default)]
pub struct Inheritance {
    /// The listening sockets, in their order.
    pub listeners: Vec<Handle>,
    /// Sockets of control, in the order in which they are opened.
    pub control: Vec<Handle>,
    /// The socket of statistics.
    pub stats: Option<Handle>,
    /// Files that are locked (`--flock`).
    pub locks: Locks,
}

/// For each listener that was left, its place now.
pub type Places = Vec<Option<usize>>;

/// Connections to the places that their listeners have now. Whose listener is not wanted any more
/// is closed.
pub fn moved(
    connections: Vec<ParkedConnection>,
    places: &[Option<usize>],
) -> Vec<ParkedConnection> {
    let moved = connections.into_iter().filter_map(|mut parked| {
        parked.listener = *places.get(parked.listener)?.as_ref()?;
        Some(parked)
    });
    moved.collect()
}

/// Goes on with the connections, when a generation serves.
pub fn go_on(waiting: Vec<ParkedConnection>, net: &Net, current: &Current) {
    let mut turn = Turn::default();
    for parked in waiting {
        if let Err(error) = turn.adopt(net, current, parked) {
            tracing::debug!(%error, "a connection has gone meanwhile");
        }
    }
    // What its requests were queued for may sleep.
    if let Some(generation) = current.load() {
        generation.queue().wake_if_idle(net);
    }
}

/// Goes on with the connections that the process before this one hands over, on a thread of its own
/// (`sm-adopt`) which ends with that one.
///
/// # Errors
/// There is no thread to be had.
pub fn adopt(
    handed: Receiver<ParkedConnection>,
    places: Places,
    net: &Arc<Net>,
    current: &Arc<Current>,
) -> io::Result<()> {
    let (net, current) = (Arc::clone(net), Arc::clone(current));
    std::thread::Builder::new()
        .name("sm-adopt".to_owned())
        .spawn(move || {
            for parked in handed {
                go_on(moved(vec![parked], &places), &net, &current);
            }
        })
        .map(drop)
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
            folder: logical_folder()?,
        })
    }

    /// The folder that the server was started in, as the shell that started it knows it: where a
    /// symbolic link is in it, that is followed anew by each version of the application.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads the configuration once more, as it is now.
    ///
    /// # Errors
    /// It cannot be used: why.
    pub fn read_configuration(&self) -> Result<Config, String> {
        let arguments = self.arguments.iter().skip(1).cloned();
        let environment = self.environment.iter().cloned();
        config::read_again(arguments, environment, &self.folder)
            .map(|config| *config)
            .map_err(|error| error.to_string())
    }

    /// What starts this program as it was started, with the variable.
    pub(crate) fn command(&self, variable: String) -> Command {
        let mut command = Command::new(&self.program);
        if let Some((name, arguments)) = self.arguments.split_first() {
            #[cfg(unix)]
            std::os::unix::process::CommandExt::arg0(&mut command, name);
            let _on_unix_only = name;
            command.args(arguments);
        }
        command
            .env_clear()
            .envs(self.environment.iter().cloned())
            .env(VARIABLE, variable)
            .current_dir(&self.folder);
        command
    }

    /// Starts a process that can serve in this one's place, with the application loaded.
    /// `heirlooms`: what a successor is left with beside the listening sockets. Runs on
    /// `sm-reload`.
    ///
    /// # Errors
    /// See [`StandIn::start`].
    pub fn stand_in(
        &self,
        net: &Net,
        needed: &[bool],
        heirlooms: &(dyn Fn() -> io::Result<Vec<Word>> + Send + Sync),
        deadlines: &Deadlines,
    ) -> Result<StandIn, String> {
        let failed = |error| format!("cannot share the sockets: {error}");
        let listeners = net.share_listeners().map_err(failed)?;
        let mut told: Vec<Word> = listeners.into_iter().map(Word::Listener).collect();
        told.extend(heirlooms().map_err(failed)?);
        if !self.folder.is_dir() {
            return Err(format!(
                "the folder that the server was started in is gone: {}",
                self.folder.display()
            ));
        }
        let needed = needed.iter().zip(0..u32::BITS);
        let needed = needed.fold(0, |bits, (is_needed, at)| {
            bits | (u32::from(*is_needed) << at)
        });
        told.push(Word::Load(needed));
        let pid = std::process::id();
        let command = self.command(format!("successor {VERSION} {pid}"));
        StandIn::start(command, told, deadlines)
    }
}

/// The working directory. PWD keeps the symbolic links that led there, which the system does not.
fn logical_folder() -> io::Result<PathBuf> {
    let real = std::env::current_dir()?;
    let shells = std::env::var_os("PWD").map(PathBuf::from);
    let shells = shells.filter(|shells| {
        shells.is_absolute() && shells.canonicalize().is_ok_and(|shells| shells == real)
    });
    Ok(shells.unwrap_or(real))
}
