//! Unix: the first process executes itself again, without Python, to wait for the others.
//!
//! What it knows goes through a socket pair whose other end is its standard input after the exec.
//! Signals are held meanwhile; bytes of those that were caught and not read stay in their sockets.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::child_process::{ChildProcess, Ended, reap};
use super::link::Link;
use super::message::{Program, SharedSocket, SocketKind, VERSION};
use super::processes::{Process, Processes};
use super::role::{VARIABLE, WAITER};
use super::supervision::{Settings, Supervisor};
use super::wait::wait;
use crate::os::redirect;
use crate::os::service_manager::notify::Notifier;
use crate::os::signals::{self, CaughtSignals, LeftSignal, UNASSIGNED};
use crate::os::{process_name, program};

/// Signals that the process treats in its own way after the exec, and that are held meanwhile.
const OWN: [i32; 5] = {
    let [a, b, c, d] = UNASSIGNED;
    [a, b, c, d, libc::SIGTSTP]
};

/// What the process leaves to the program after the exec.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "each lives for a moment")]
enum Saved {
    /// A process of the server; its channel comes with the message.
    Process {
        pid: u32,
        starter: Option<u32>,
        is_serving: bool,
    },
    /// A socket for a server that the waiter starts; it comes with the message.
    Kept(SocketKind),
    /// A signal that was caught; the socket of its handler comes with the message.
    Signal(i32),
    /// The last message.
    Rest {
        version: u32,
        server: Option<u32>,
        /// How the server has ended, if it ended before the exec.
        end: Option<Ended>,
        held: Vec<i32>,
        /// The short name of the process.
        name: String,
        /// The title that its arguments cannot give it.
        title: Option<Box<str>>,
        fallback: Option<OsString>,
        supervised: Option<Settings>,
    },
}

/// How the first process waits.
pub struct Waiting<'a> {
    /// This program, as it was started.
    pub program: &'a Program,
    /// Its title, if the configuration gives it one.
    pub title: Option<String>,
    /// The configuration to start with if the last process ends with exit code 1.
    pub fallback: Option<PathBuf>,
    /// Signals that are caught.
    pub caught: Option<&'a CaughtSignals>,
    /// Signals that were read and not handled.
    pub unhandled: Vec<i32>,
}

/// How the server ended.
pub struct ServerEnd {
    ended: Ended,
    fallback: Option<PathBuf>,
}

impl ServerEnd {
    /// The exit code. `Err`: the server was killed by this signal.
    pub fn code(&self) -> Result<i32, i32> {
        match self.ended {
            Ended::Code(code) => Ok(code),
            Ended::Signal(number) => Err(number),
        }
    }

    /// The configuration to start with now.
    pub fn fallback(&self) -> Option<&PathBuf> {
        let is_wanted = self.ended == Ended::Code(1);
        self.fallback.as_ref().filter(|_| is_wanted)
    }
}

/// Another process is the server: this one, the first, waits for the others, without Python from
/// here on. Returns only if the exec fails: then it waits as it is, after `halt` has stopped
/// Python. Main thread.
pub fn wait_for_others(link: &Link, waiting: Waiting<'_>, halt: impl FnOnce()) -> ServerEnd {
    let numbers = hold(&waiting);
    let thread = link.take_waiter();
    let Some(processes) = thread.and_then(|thread| thread.join()) else {
        return ServerEnd {
            ended: Ended::from_code(1),
            fallback: None,
        };
    };
    wait_with_less_memory(processes, waiting, &numbers, halt)
}

/// `--supervise`: this process, the first, starts the server with these sockets, and again after a
/// crash. Before Python. Main thread.
pub fn supervise(
    settings: Settings,
    sockets: Vec<SharedSocket>,
    waiting: Waiting<'_>,
) -> ServerEnd {
    let numbers = hold(&waiting);
    let notify_socket = std::env::var_os("NOTIFY_SOCKET");
    let mut processes = Processes::none(Arc::new(Notifier::new(notify_socket.as_deref())));
    processes.supervisor = Some(Supervisor::new(settings, sockets));
    wait_with_less_memory(processes, waiting, &numbers, || ())
}

/// Holds the signals that come before the exec. Returns them.
fn hold(waiting: &Waiting<'_>) -> Vec<i32> {
    let caught = waiting.caught.into_iter().flat_map(CaughtSignals::sockets);
    let numbers: Vec<i32> = caught.map(|(number, _)| number).chain(OWN).collect();
    if let Err(error) = signals::hold(&numbers) {
        tracing::warn!(%error, "cannot hold signals");
    }
    numbers
}

fn wait_with_less_memory(
    mut processes: Processes,
    waiting: Waiting<'_>,
    held: &[i32],
    halt: impl FnOnce(),
) -> ServerEnd {
    processes.pass_on(waiting.unhandled.clone());
    let error = execute(&processes, &waiting);
    tracing::warn!(
        "cannot execute {} again to wait with less memory ({error}); this process waits as it is",
        waiting.program.path.display()
    );
    halt();
    signals::release(held);
    for number in std::mem::take(&mut processes.held) {
        processes.signal(number);
    }
    wait(&mut processes, waiting.caught);
    ServerEnd {
        ended: processes.end(),
        fallback: waiting.fallback,
    }
}

/// Returns only on an error. Standard input is empty then.
fn execute(processes: &Processes, waiting: &Waiting<'_>) -> io::Error {
    let executed = (|| {
        if program::host().is_some_and(|host| host.was_replaced()) {
            let why = "another version of it was installed";
            return Err(io::Error::other(why));
        }
        let (ours, theirs) = Channel::pair()?;
        save(&ours, processes, waiting)?;
        let mut command = command(waiting);
        redirect::uncapture(&mut command)?;
        Ok(command.stdin(Stdio::from(theirs)).exec())
    })();
    if let Err(error) = empty_standard_input() {
        tracing::debug!(%error, "emptying standard input");
    }
    executed.unwrap_or_else(|error: io::Error| error)
}

fn empty_standard_input() -> io::Result<()> {
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?).map_err(io::Error::from)
}

/// The messages fit into the socket: nothing reads before the exec.
fn save(channel: &Channel, processes: &Processes, waiting: &Waiting<'_>) -> io::Result<()> {
    for process in &processes.list {
        let saved = Saved::Process {
            pid: process.pid,
            starter: process.starter,
            is_serving: process.is_serving,
        };
        let handle = process.channel.as_fd().try_clone_to_owned()?;
        channel.send(&saved, Some(&handle))?;
    }
    for socket in processes.supervisor.iter().flat_map(|one| &one.kept) {
        channel.send(&Saved::Kept(socket.kind), Some(&socket.handle))?;
    }
    for (number, socket) in waiting.caught.into_iter().flat_map(CaughtSignals::sockets) {
        let handle = socket.try_clone_to_owned()?;
        channel.send(&Saved::Signal(number), Some(&handle))?;
    }
    let name = waiting.title.clone();
    let name = name.unwrap_or_else(program::short_name);
    let rest = Saved::Rest {
        version: VERSION,
        server: processes.server,
        end: processes.server_end(),
        held: processes.held.clone(),
        name,
        title: waiting
            .title
            .as_deref()
            .filter(|_| program::host().is_some())
            .map(Box::from),
        fallback: waiting.fallback.clone().map(OsString::from),
        supervised: processes
            .supervisor
            .as_ref()
            .map(|one| one.settings.clone()),
    };
    channel.send(&rest, None)
}

/// The program that runs, even if another one was installed since.
fn command(waiting: &Waiting<'_>) -> Command {
    let mut program = waiting.program.clone();
    if let Some(host) = program::host() {
        // No site-packages: nothing of the application is needed.
        program.arguments.truncate(1);
        program.arguments.extend(["-I".into(), "-S".into()]);
        program.arguments.push(host.main_file.clone().into());
        program.arguments.extend(program::arguments());
    }
    if cfg!(target_os = "linux") {
        program.path = "/proc/self/exe".into();
    }
    if let Some(title) = &waiting.title
        && program::host().is_none()
    {
        program.arguments = vec![title.into()];
    }
    program.command(WAITER)
}

/// Whether this program was executed to wait for the processes of a server.
pub fn is_waiter() -> bool {
    std::env::var_os(VARIABLE).as_deref() == Some(OsStr::new(WAITER))
}

/// Waits until the processes of the server have ended. Main thread.
///
/// # Errors
/// What it needs is missing.
pub fn resume() -> io::Result<ServerEnd> {
    let channel = Channel::to_starter()?;
    let notify_socket = std::env::var_os("NOTIFY_SOCKET");
    let notifier = Notifier::new(notify_socket.as_deref());
    let mut processes = Processes::none(Arc::new(notifier));
    let mut left: Vec<LeftSignal> = Vec::new();
    let mut kept = Vec::new();
    let fallback = loop {
        let missing = || io::Error::other("the waiter's state is missing");
        let (saved, handle) = channel.receive::<Saved>()?.ok_or_else(missing)?;
        match saved {
            Saved::Process {
                pid,
                starter,
                is_serving,
            } => {
                let channel = Channel::over(handle.ok_or_else(missing)?)?;
                processes.list.push(Process {
                    starter,
                    is_serving,
                    ..Process::new(pid, channel, Some(ChildProcess::of(pid)))
                });
            }
            Saved::Kept(kind) => kept.push(SharedSocket {
                kind,
                handle: handle.ok_or_else(missing)?,
            }),
            Saved::Signal(number) => left.push(LeftSignal {
                number,
                socket: handle.ok_or_else(missing)?,
            }),
            Saved::Rest { version, .. } if version != VERSION => return Err(missing()),
            Saved::Rest {
                server,
                end,
                held,
                name,
                title,
                fallback,
                supervised,
                ..
            } => {
                processes.supervisor = supervised.map(|settings| Supervisor::new(settings, kept));
                processes.server = server;
                if let Some(end) = end {
                    processes.set_end(end);
                }
                processes.held = held;
                let named = match title {
                    Some(title) => process_name::set(&title, false).map(drop),
                    None => process_name::set_short(&name),
                };
                if let Err(error) = named {
                    tracing::debug!(%error, "naming the process");
                }
                break fallback;
            }
        }
    };
    let numbers: Vec<i32> = left.iter().map(|left| left.number).collect();
    signals::ignore_unassigned(&numbers)?;
    let own = [libc::SIGCHLD, libc::SIGTSTP, libc::SIGCONT];
    let caught = CaughtSignals::catch(numbers.iter().copied().chain(own))?;
    // Those that ended before SIGCHLD was caught.
    while let Some((pid, how)) = reap() {
        processes.has_ended(pid, how);
    }
    let held = std::mem::take(&mut processes.held);
    let unread = CaughtSignals::left(left)?.read();
    for number in held.into_iter().chain(unread) {
        processes.signal(number);
    }
    signals::release(&[&numbers[..], &OWN].concat());
    wait(&mut processes, Some(&caught));
    Ok(ServerEnd {
        ended: processes.end(),
        fallback: fallback.map(PathBuf::from),
    })
}

/// Ends this process by the signal that killed the server, so that its starter sees the same.
/// Returns if the signal does not end it, as in the first process of a container.
pub fn end_by_signal(number: i32) {
    // The server has left its core dump; one of this process is of no use.
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _best = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    let Ok(signal) = Signal::try_from(number) else {
        return;
    };
    signals::release(&[number]);
    let _best = signal_hook::low_level::emulate_default_handler(signal as i32);
}
