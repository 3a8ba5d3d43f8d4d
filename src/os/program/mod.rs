//! The program that this process runs, and how to start it again: the binary, or a Python that has
//! imported the server as an extension module (the wheel). Set once, on the main thread, before
//! anything else; read on any thread.

mod host;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub use host::Host;

/// Names the last start with a new Python of this process, so that it happens once for each wish.
pub const RELAUNCH_VARIABLE: &str = "_SINGLEMALT_RELAUNCHED";

/// Folders that follow in `sys.path`: of the environment that the command was started from, where
/// the application has another one.
pub const FURTHER_PACKAGES: &str = "_SINGLEMALT_PACKAGES";

static HOST: OnceLock<Host> = OnceLock::new();

/// This process is a Python that runs the server.
pub fn set_host(mut host: Host) {
    let further = std::env::var_os(FURTHER_PACKAGES).filter(|folders| !folders.is_empty());
    host.further_packages = further.iter().flat_map(std::env::split_paths).collect();
    host.note_module();
    HOST.get_or_init(|| host);
}

/// `None`: this process runs the binary.
pub fn host() -> Option<&'static Host> {
    HOST.get()
}

/// The arguments of the command, without its name.
pub fn arguments() -> Vec<OsString> {
    match host() {
        Some(host) => host.script.iter().skip(1).cloned().collect(),
        None => std::env::args_os().skip(1).collect(),
    }
}

/// The whole command line, the program's name first.
pub fn command_line() -> Vec<OsString> {
    match host() {
        Some(host) => {
            let arguments = host.command_line.iter().skip(1).cloned();
            let name = host.executable.clone().into_os_string();
            std::iter::once(name).chain(arguments).collect()
        }
        None => std::env::args_os().collect(),
    }
}

/// The variable that tells Python which environment it belongs to, where its name does not.
pub fn variable() -> Option<(OsString, OsString)> {
    host()?.variable(None)
}

/// The file to execute.
///
/// # Errors
/// The system does not tell.
pub fn path() -> io::Result<PathBuf> {
    match host() {
        Some(host) => host.path(),
        None => std::env::current_exe(),
    }
}

/// The short name of the process, if the configuration gives it none.
pub fn short_name() -> String {
    let file = match host() {
        Some(_) => None,
        None => std::env::current_exe().ok(),
    };
    let name = file.as_deref().and_then(Path::file_name);
    let name = name.unwrap_or(OsStr::new("singlemalt"));
    name.to_string_lossy().into_owned()
}

/// The command that starts this program again, without its arguments.
///
/// # Errors
/// The system does not tell.
pub fn command() -> io::Result<Command> {
    let Some(host) = host() else {
        return Ok(Command::new(std::env::current_exe()?));
    };
    let mut command = host.command(None)?;
    command.args(host.options()).arg(&host.main_file);
    Ok(command)
}

/// What the configuration may read of these variables. An active virtualenv names the environment
/// of the application for the binary, and for a Python of a tool's environment (uvx, pipx). Any
/// other Python that runs the server has an environment of its own.
pub fn for_configuration(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    let ignores_active = host().is_some_and(|host| !host.is_of_a_tool());
    variables.filter(move |(name, _)| !(ignores_active && name == "VIRTUAL_ENV"))
}
