//! Unix: the whole process starts anew in its own place, for apps that live in the main interpreter.
//!
//! First another process, made as this one was, loads the application ([`StandIn`]); if it cannot, nothing has happened. It serves
//! while this process answers what it has, and executes its own program again. The process id stays, and the listening sockets
//! stay open all the while. The next image takes over from the stand-in when it has loaded the application (`takeover`).
//!
//! What either of them has to know it is told by one environment variable, which is removed before Python starts.
//! It names a process, so that it means nothing to others that inherit it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam::channel::Receiver;
use nix::sys::signal::{SigSet, Signal};

use super::certificates::Certificates;
use super::failure::Failure;
use super::inherited;
use super::line::{self, Line};
use super::signals;
use super::sockets;
use super::stand_in::StandIn;
use super::vacuum::Vacuum;
use crate::app::{Current, Patience};
use crate::config::Config;
use crate::net::{Kept, Listener, Net, Turn};

/// The variable. Not one of ours that could be an option.
pub const VARIABLE: &str = "_SINGLEMALT_REBIRTH";

/// Whether this system can do it.
pub const IS_POSSIBLE: bool = true;

/// More would not fit into a variable. They are kept only if there is no stand-in to have them.
const CONNECTIONS_MAX: usize = 8000;

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
    /// To serve while another process renews itself, which is at the other end.
    StandIn(Line),
    /// To go on where it has left off itself.
    Next(Inheritance),
}

impl Step {
    /// Whether it is to serve for another process.
    pub fn is_stand_in(&self) -> bool {
        matches!(self, Self::StandIn(_))
    }
}

/// What a process leaves to itself.
pub struct Inheritance {
    /// The listening sockets, in their order.
    pub listeners: Vec<OwnedFd>,
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

    /// The listeners, and the connections that wait; and what connections that the stand-in gives back need to know. What was left is there still, for another try.
    ///
    /// # Errors
    /// See [`sockets::bind_again`].
    pub fn open(
        &mut self,
        config: &Config,
        certificates: &Certificates,
        vacuum: &mut Vacuum,
    ) -> Result<(Vec<Listener>, Vec<Kept>, Places), Failure> {
        let left: io::Result<Vec<OwnedFd>> =
            self.listeners.iter().map(OwnedFd::try_clone).collect();
        let left = left.map_err(Failure::new)?;
        let (listeners, places) = sockets::bind_again(config, certificates, vacuum, left)?;
        let connections = std::mem::take(&mut self.connections);
        Ok((listeners, moved(connections, &places), places))
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

    /// Somebody who can serve in this process's place, with the application loaded. Runs on `sm-reload`.
    ///
    /// # Errors
    /// See [`StandIn::start`].
    pub fn stand_in(
        &self,
        net: &Net,
        needed: &[bool],
        patience: &Patience,
    ) -> Result<StandIn, String> {
        let listeners = net
            .share_listeners()
            .map_err(|error| format!("cannot share the sockets: {error}"))?;
        let needed = needed.iter().zip(0..u32::BITS);
        let needed = needed.fold(0, |bits, (is_needed, at)| {
            bits | (u32::from(*is_needed) << at)
        });
        let pid = std::process::id();
        let command = self.command(format!("stand-in {} {pid}", line::VERSION));
        StandIn::start(command, listeners, needed, patience)
    }

    /// Starts anew in this process's place, with this. Returns only if that fails. Main thread.
    pub fn begin_again(&self, inheritance: &Inheritance) -> io::Error {
        match self.next(inheritance) {
            Ok(mut command) => command.exec(),
            Err(error) => error,
        }
    }

    fn next(&self, inheritance: &Inheritance) -> io::Result<Command> {
        let listeners = inheritance.listeners.iter();
        let listeners = listeners
            .map(|listener| Ok(stays_open(listener.as_fd())?.to_string()))
            .collect::<io::Result<Vec<String>>>()?;
        let (whole, begun): (Vec<&Kept>, Vec<&Kept>) = inheritance
            .connections
            .iter()
            .partition(|kept| kept.unread.is_empty());
        if !begun.is_empty() {
            tracing::warn!(
                connections = begun.len(),
                "requests that were on their way to the stand-in are lost with it"
            );
        }
        let connections = whole.iter().take(CONNECTIONS_MAX);
        let connections = connections
            .map(|kept| {
                let number = stays_open(kept.descriptor.as_fd())?;
                Ok(format!("{number}/{}", kept.listener))
            })
            .collect::<io::Result<Vec<String>>>()?;
        let since = inheritance
            .since
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut variable = format!(
            "next {} since={} listeners={} connections={} failures={}",
            std::process::id(),
            since.as_millis(),
            listeners.join(","),
            connections.join(","),
            inheritance.failures,
        );
        if inheritance.wants_reload {
            variable.push_str(" reload=1");
        }
        if let Some(stand_in) = &inheritance.stand_in {
            let number = stays_open(stand_in.descriptor())?;
            variable.push_str(&format!(" stand-in={}/{number}", stand_in.pid()));
        }
        let notes = signals::note()?;
        let stops = stays_open(notes.stops.as_fd())?;
        let reloads = stays_open(notes.reloads.as_fd())?;
        variable.push_str(&format!(" stops={stops} reloads={reloads}"));
        // A signal that came before there is a handler for it would end the process.
        hold_signals()?;
        Ok(self.command(variable))
    }
}

fn stays_open(descriptor: BorrowedFd<'_>) -> io::Result<i32> {
    rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
    Ok(descriptor.as_raw_fd())
}

/// Signals that would end the process wait: in this thread, and in what it starts.
///
/// # Errors
/// The system refuses.
pub fn hold_signals() -> io::Result<()> {
    hangups().thread_block().map_err(io::Error::from)
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

/// The process that `LISTEN_PID` names if it means this one.
pub fn pid_of(step: &Step) -> u32 {
    match step {
        Step::StandIn(_) => std::os::unix::process::parent_id(),
        Step::First | Step::Next(_) => std::process::id(),
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
        ["stand-in", line::VERSION, pid] if parent.as_deref() == Some(*pid) => own_line()
            .inspect_err(|error| tracing::error!(%error, "there is nobody to stand in for"))
            .map_or(Step::First, Step::StandIn),
        ["next", pid, facts @ ..] if **pid == std::process::id().to_string() => {
            Step::Next(inheritance(facts))
        }
        _ => Step::First,
    }
}

/// The line is the standard input; in its place comes an empty one.
fn own_line() -> io::Result<Line> {
    let descriptor = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Line::from_descriptor(descriptor)
}

/// What this process's last image has left. What is not known, because that was of another version, is passed over.
fn inheritance(facts: &[&str]) -> Inheritance {
    let value = |name: &str| {
        let mut facts = facts.iter().filter_map(|fact| fact.split_once('='));
        facts
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    };
    let list = |name| value(name).unwrap_or_default().split(',');
    let number = |name| value(name)?.parse::<u64>().ok();
    let is_noted = |name| {
        let socket = number(name).and_then(|number| take(u32::try_from(number).ok()?));
        socket.is_some_and(signals::is_noted)
    };
    let listeners = list("listeners").filter_map(|number| take(number.parse().ok()?));
    let connections = list("connections").filter_map(|pair| {
        let (number, listener) = pair.split_once('/')?;
        Some(Kept {
            descriptor: take(number.parse().ok()?)?,
            listener: listener.parse().ok()?,
            unread: Vec::new(),
        })
    });
    let stand_in = value("stand-in").and_then(|pair| {
        let (pid, number) = pair.split_once('/')?;
        let line = Line::from_descriptor(take(number.parse().ok()?)?).ok()?;
        Some(StandIn::over(pid.parse().ok()?, line))
    });
    Inheritance {
        listeners: listeners.collect(),
        connections: connections.collect(),
        since: UNIX_EPOCH + Duration::from_millis(number("since").unwrap_or_default()),
        stand_in,
        wants_reload: is_noted("reloads") || value("reload").is_some(),
        wants_stop: is_noted("stops"),
        failures: number("failures")
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or_default(),
    }
}

/// The descriptor, closed on exec; the number itself is free again.
fn take(number: u32) -> Option<OwnedFd> {
    let taken = inherited::take(number).ok()?;
    let closed = i32::try_from(number).map(nix::unistd::close);
    debug_assert!(matches!(closed, Ok(Ok(()))), "it was open a moment ago");
    Some(taken)
}
