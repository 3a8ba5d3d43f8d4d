//! The whole process is renewed, for apps that live in the main interpreter.
//!
//! First another process, made as this one was, loads the application ([`StandIn`]); if it cannot, nothing has happened. It serves
//! while this process answers what it has. Where a process can execute its own program again (Unix, `in_place`) it does so then: the
//! process id stays, and the next image takes over from the stand-in when it has loaded the application (`takeover`). Elsewhere the
//! other process is the server from then on (`successor`). The listening sockets stay open all the while.
//!
//! What the other one is for it is told by one environment variable, which is removed before Python starts.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use crossbeam::channel::Receiver;

use super::channel::Line;
use super::message::{VERSION, Word};
use super::successor_process::StandIn;
use crate::app::{Current, Patience};
use crate::net::{Handle, Kept, Net, Turn};

/// The variable. Not one of ours that could be an option.
pub const VARIABLE: &str = "_SINGLEMALT_REBIRTH";

/// Makes a build with debug assertions renew itself as on systems where a process cannot start anew in its own place, so that this
/// can be tested on the others.
#[cfg(all(unix, debug_assertions))]
const SUCCESSION: &str = "_SINGLEMALT_SUCCESSION";

/// Whether another process is the server after a renewal, and not this one.
fn is_succeeded() -> bool {
    #[cfg(windows)]
    return true;
    #[cfg(all(unix, debug_assertions))]
    return std::env::var_os(SUCCESSION).is_some();
    #[cfg(all(unix, not(debug_assertions)))]
    return false;
}

/// How this process was started.
#[derive(Clone, Debug)]
pub struct Origin {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: PathBuf,
    is_succeeded: bool,
}

/// What this process is for.
pub enum Step {
    /// A start like any other.
    First,
    /// To serve while another process renews itself, which is at the other end.
    #[cfg(unix)]
    StandIn(Line),
    /// To serve in the place of another process, which is at the other end, and to be the server then.
    Successor(Line),
    /// To go on where it has left off itself.
    #[cfg(unix)]
    Next(Inheritance),
}

impl Step {
    /// Whether it is to serve for another process.
    pub fn is_for_another(&self) -> bool {
        match self {
            #[cfg(unix)]
            Self::StandIn(_) => true,
            #[cfg(unix)]
            Self::Next(_) => false,
            Self::Successor(_) => true,
            Self::First => false,
        }
    }
}

/// What a process leaves to itself.
pub struct Inheritance {
    /// The listening sockets, in their order.
    pub listeners: Vec<Handle>,
    /// Connections on which nothing is under way, and which no stand-in has.
    pub connections: Vec<Kept>,
    /// Since when this process takes no connections.
    pub since: SystemTime,
    /// Who serves. Nobody listens to it yet: that takes a thread.
    pub stand_in: Option<StandIn>,
    /// One more reload was asked for meanwhile.
    pub wants_reload: bool,
    /// A signal has asked for a stop, and was not heard any more.
    pub wants_stop: bool,
    /// Images that could not take over.
    pub failures: u32,
}

impl Inheritance {
    /// Who serves meanwhile.
    pub fn stand_in(&self) -> Option<StandIn> {
        self.stand_in.clone()
    }

    /// What a process has from the one before it, which serves meanwhile.
    pub fn of_predecessor(listeners: Vec<Handle>) -> Self {
        Self {
            listeners,
            connections: Vec::new(),
            since: SystemTime::now(),
            stand_in: None,
            wants_reload: false,
            wants_stop: false,
            failures: 0,
        }
    }

    /// Whether one more reload was asked for meanwhile.
    pub fn wants_reload(&self) -> bool {
        self.wants_reload
    }

    /// Whether a signal has asked for a stop that this process's last image did not hear any more.
    pub fn wants_stop(&self) -> bool {
        self.wants_stop
    }

    /// Since when this process takes no connections.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// One more image has failed. Returns how many had before.
    pub fn count_failure(&mut self) -> u32 {
        let before = self.failures;
        self.failures = before.saturating_add(1);
        before
    }

    /// Begins to listen to the stand-in. Not before the environment is as it is to be: it takes a thread.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn listen(&self) -> io::Result<()> {
        self.stand_in.as_ref().map_or(Ok(()), StandIn::listen)
    }
}

/// For each listener that was left, its place now.
pub type Places = Vec<Option<usize>>;

/// Connections to the places that their listeners have now. Whose listener is not wanted any more is closed.
pub fn moved(connections: Vec<Kept>, places: &[Option<usize>]) -> Vec<Kept> {
    let moved = connections.into_iter().filter_map(|mut kept| {
        kept.listener = *places.get(kept.listener)?.as_ref()?;
        Some(kept)
    });
    moved.collect()
}

/// Goes on with the connections, when somebody serves.
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

/// Goes on with the connections that the stand-in gives back, on a thread of its own (`sm-adopt`) which ends with the stand-in.
///
/// # Errors
/// There is no thread to be had.
pub fn adopt(
    given_back: Receiver<Kept>,
    places: Places,
    net: &Arc<Net>,
    current: &Arc<Current>,
) -> io::Result<()> {
    let (net, current) = (Arc::clone(net), Arc::clone(current));
    std::thread::Builder::new()
        .name("sm-adopt".to_owned())
        .spawn(move || {
            for kept in given_back {
                go_on(moved(vec![kept], &places), &net, &current);
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
            folder: std::env::current_dir()?,
            is_succeeded: is_succeeded(),
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

    /// Whether another process is the server after a renewal.
    pub fn is_succeeded(&self) -> bool {
        self.is_succeeded
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

    /// Somebody who can serve in this process's place, with the application loaded. `heirlooms`: what a successor is left with beside
    /// the listening sockets. Runs on `sm-reload`.
    ///
    /// # Errors
    /// See [`StandIn::start`].
    pub fn stand_in(
        &self,
        net: &Net,
        needed: &[bool],
        heirlooms: &(dyn Fn() -> io::Result<Vec<Word>> + Send + Sync),
        patience: &Patience,
    ) -> Result<StandIn, String> {
        let failed = |error| format!("cannot share the sockets: {error}");
        let listeners = net.share_listeners().map_err(failed)?;
        let mut told: Vec<Word> = listeners.into_iter().map(Word::Listener).collect();
        let role = if self.is_succeeded {
            told.extend(heirlooms().map_err(failed)?);
            "successor"
        } else {
            "stand-in"
        };
        let needed = needed.iter().zip(0..u32::BITS);
        let needed = needed.fold(0, |bits, (is_needed, at)| {
            bits | (u32::from(*is_needed) << at)
        });
        told.push(Word::Load(needed));
        let pid = std::process::id();
        let command = self.command(format!("{role} {VERSION} {pid}"));
        StandIn::start(command, told, patience)
    }
}
