//! What a process was started for, and how the first one was started. Main thread, before Python.
//!
//! One environment variable tells it, which is removed before Python starts.

use std::io;
use std::path::{Path, PathBuf};

use super::channel::{Channel, Handle};
use super::message::{Notice, Program, SharedSocket, Supervision, VERSION};
use crate::os::program;

pub use crate::config::PROCESS_VARIABLE as VARIABLE;
pub(super) use crate::config::SERVER_PROCESS as SERVER;

/// Its value for a successor.
pub(super) const SUCCESSOR: &str = "successor";
/// Its value for the waiter.
#[cfg(unix)]
pub(super) const WAITER: &str = "waiter";

/// What a process is.
pub enum Role {
    /// Started by a user, a shell or a service manager.
    First,
    /// Started to succeed a process of the server.
    Successor(Begun),
    /// Started by the waiter (`--supervise`).
    Server(Started),
}

/// What a successor has from the beginning.
pub struct Begun {
    /// The channel to its waiter.
    pub link: Channel,
    /// The waiter's process id, which stands for the server.
    pub waiter: u32,
    /// With `--supervise`.
    pub supervision: Option<Supervision>,
    /// The channel to its predecessor.
    pub predecessor: Channel,
}

/// What a process has from the beginning that the waiter has started.
pub struct Started {
    /// The channel to its waiter.
    pub link: Channel,
    /// The waiter's process id, which stands for the server.
    pub waiter: u32,
    /// What the waiter knows.
    pub supervision: Supervision,
    /// The sockets of the server.
    pub sockets: Vec<SharedSocket>,
}

/// What this process was started for. Once: the standard input of another than the first process
/// is used up.
///
/// # Errors
/// The variable says that it is another one, and the waiter is not there or of another version.
pub fn role() -> io::Result<Role> {
    let explained = |what: &'static str| {
        move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"))
    };
    match std::env::var(VARIABLE).as_deref() {
        Ok(SUCCESSOR) => begin()
            .map(Role::Successor)
            .map_err(explained("cannot succeed a process of the running server")),
        Ok(SERVER) => started().map(Role::Server).map_err(explained(
            "cannot serve for the first process of the server",
        )),
        _ => Ok(Role::First),
    }
}

fn begin() -> io::Result<Begun> {
    let link = Channel::to_starter()?;
    let first = receive_begin(&link)?;
    let predecessor = Channel::accepted(first.handle, first.invitation.as_deref())?;
    Ok(Begun {
        link: link.with_peer(first.waiter),
        waiter: first.waiter,
        supervision: first.supervision,
        predecessor,
    })
}

fn started() -> io::Result<Started> {
    let link = Channel::to_starter()?;
    let first = receive_begin(&link)?;
    let mut sockets = Vec::new();
    loop {
        match link.receive()?.ok_or(io::ErrorKind::UnexpectedEof)? {
            (Notice::Socket(kind), Some(handle)) => sockets.push(SharedSocket { kind, handle }),
            (Notice::Load, _) => break,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(Started {
        link: link.with_peer(first.waiter),
        waiter: first.waiter,
        supervision: first.supervision.unwrap_or_default(),
        sockets,
    })
}

/// The waiter's first messages.
struct First {
    waiter: u32,
    invitation: Option<String>,
    supervision: Option<Supervision>,
    handle: Option<Handle>,
}

fn receive_begin(link: &Channel) -> io::Result<First> {
    let other_version = |version: &str| {
        io::Error::other(format!(
            "it speaks version {version} of our messages, and this program version {VERSION}: \
             stop the server, and start it with this program"
        ))
    };
    let (begin, handle) = link
        .receive()
        .map_err(|_| other_version("?"))?
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let Notice::Begin {
        version,
        waiter,
        invitation,
    } = begin
    else {
        return Err(other_version("?"));
    };
    if version != VERSION {
        return Err(other_version(&version.to_string()));
    }
    let (Notice::Supervision(supervision), _) =
        link.receive()?.ok_or(io::ErrorKind::UnexpectedEof)?
    else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    Ok(First {
        waiter,
        invitation,
        supervision,
        handle,
    })
}

impl Program {
    /// As this process was started. Call it before arguments, environment or working directory
    /// change.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn of_this_process() -> io::Result<Self> {
        Ok(Self {
            path: program::path()?.into(),
            arguments: program::command_line(),
            environment: std::env::vars_os()
                .filter(|(name, _)| name != VARIABLE)
                .chain(program::variable())
                .collect(),
            folder: logical_folder()?.into(),
        })
    }

    /// The folder that the server was started in, as the shell that started it knows it: where a
    /// symbolic link is in it, that is followed anew by each version of the application.
    pub fn folder(&self) -> &Path {
        Path::new(&self.folder)
    }

    /// The command that starts it again in this role.
    pub(super) fn command(&self, role: &str) -> std::process::Command {
        let mut command = std::process::Command::new(&self.path);
        if let Some((name, arguments)) = self.arguments.split_first() {
            #[cfg(unix)]
            std::os::unix::process::CommandExt::arg0(&mut command, name);
            #[cfg(not(unix))]
            let _unix_only = name;
            command.args(arguments);
        }
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env(VARIABLE, role);
        command
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
