//! Unix: a process that starts anew in its own place executes its own program again, and finds what it has left to itself.
//!
//! It is told by the environment variable of `rebirth`, which names a process, so that it means nothing to others that inherit it.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use crate::net::Kept;
use crate::os::held_signals;
pub use crate::os::held_signals::take_signals;
use crate::os::inherited;
use crate::reload::handover::channel::Line;
use crate::reload::handover::child_process::Offspring;
use crate::reload::handover::message::VERSION;
use crate::reload::handover::origin::{Inheritance, Origin, Step, VARIABLE};
use crate::reload::handover::successor_process::StandIn;
use crate::server::signals;

/// More would not fit into a variable. They are kept only if there is no stand-in to have them.
const CONNECTIONS_MAX: usize = 8000;

impl Origin {
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
                let number = stays_open(kept.socket.as_fd())?;
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
        held_signals::hold_signals()?;
        Ok(self.command(variable))
    }
}

fn stays_open(descriptor: BorrowedFd<'_>) -> io::Result<i32> {
    rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
    Ok(descriptor.as_raw_fd())
}

/// The process that `LISTEN_PID` names if it means this one.
pub fn pid_of(step: &Step) -> u32 {
    match step {
        Step::StandIn(_) | Step::Successor(_) => std::os::unix::process::parent_id(),
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
        [role, VERSION, pid] if parent.as_deref() == Some(*pid) => Line::to_starter()
            .inspect_err(|error| tracing::error!(%error, "there is nobody to serve for"))
            .map_or(Step::First, |line| match *role {
                "successor" => Step::Successor(line),
                _ => Step::StandIn(line),
            }),
        ["next", pid, facts @ ..] if **pid == std::process::id().to_string() => {
            Step::Next(inheritance(facts))
        }
        _ => Step::First,
    }
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
            socket: take(number.parse().ok()?)?,
            listener: listener.parse().ok()?,
            unread: Vec::new(),
        })
    });
    let stand_in = value("stand-in").and_then(|pair| {
        let (pid, number) = pair.split_once('/')?;
        let line = Line::from_descriptor(take(number.parse().ok()?)?).ok()?;
        Some(StandIn::over(Offspring::of(pid.parse().ok()?), line))
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
