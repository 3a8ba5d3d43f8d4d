//! Starts Python anew where the configuration asks for that. A Python that has imported the server
//! has started before the configuration was read, so `--virtualenv`, `--optimize`, `--no-site`,
//! `--py-programname` and variables such as PYTHONPATH come too late for it. Main thread, before
//! anything else has started.

use std::ffi::OsString;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::config::{self, Config, Failure, OneShot};
use crate::os::program::{self, FURTHER_PACKAGES, Host, RELAUNCH_VARIABLE};
use crate::python;
use crate::server::exit::Exit;
use crate::server::prepare;
use crate::waiter::message::Program;

/// Executes Python again, if that is needed. On Unix it returns only if it is not, or fails;
/// elsewhere it waits for the new process.
pub(super) fn if_needed(config: &Config) -> Option<Result<Exit, Failure>> {
    let host = program::host()?;
    if config.python.one_shot == Some(OneShot::PythonVersion) {
        return None;
    }
    let started = match Program::of_this_process() {
        Ok(program) => program.folder().to_path_buf(),
        Err(error) => return Some(Err(Failure::new(error))),
    };
    let wanted = Wanted::of(config, &started, host);
    let key = format!("{wanted:?}");
    // Python may not have done as it was told; once is enough.
    let is_done = std::env::var_os(RELAUNCH_VARIABLE).is_some_and(|last| last == *key);
    if wanted == Wanted::default() || is_done {
        return None;
    }
    if config::used_up().other {
        let why = "Python has to be started anew for --virtualenv, --optimize or the like, and the \
                   configuration was read from a pipe, which is empty now: read it from a file or \
                   from standard input, or start singlemalt with that Python";
        return Some(Err(Failure::new(why)));
    }
    let command = wanted.command(host, &key).and_then(|mut command| {
        give_standard_input(&mut command)?;
        Ok(command)
    });
    Some(execute(command))
}

/// The configuration that came from there is read again.
fn give_standard_input(command: &mut Command) -> std::io::Result<()> {
    if let Some(bytes) = config::used_up().standard_input {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        file.rewind()?;
        command.stdin(file);
    }
    Ok(())
}

/// What CPython 3.15 reads for `--lazy-imports`.
const LAZY_IMPORTS: &str = "PYTHON_LAZY_IMPORTS";

/// What Python has to be started anew for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// The interpreter of another environment.
    program: Option<PathBuf>,
    /// What Python takes for its executable.
    name: Option<PathBuf>,
    optimize: Option<u8>,
    no_site: bool,
    /// Python's own variables: set, or removed.
    variables: Vec<(String, Option<String>)>,
}

impl Wanted {
    fn of(config: &Config, started: &Path, host: &Host) -> Self {
        let python = &config.python;
        let home = prepare::home(config, started).filter(|home| *home != host.prefix);
        // What is wrong with it is told when Python is taken up.
        let program = home.and_then(|home| python::program_of(&home).ok());
        let name = python.program_name.clone();
        let name = name.filter(|name| python.virtualenv.is_none() && *name != host.executable);
        let removed = python.environment_unset.iter().map(|name| (name, None));
        let set = python.environment_set.iter();
        let set = set.map(|(name, value)| (name, Some(value)));
        let mut variables: Vec<(String, Option<String>)> = Vec::new();
        for (name, value) in removed.chain(set) {
            if name.starts_with("PYTHON") {
                if let Some(is_lazy) = python.lazy_imports {
                    // Before CPython 3.15 it reads no such variable.
                    let how = if is_lazy { "all" } else { "none" };
                    variables.push((LAZY_IMPORTS.to_owned(), Some(how.to_owned())));
                }
                variables.retain(|(other, _)| other != name);
                variables.push((name.clone(), value.cloned()));
            }
        }
        variables
            .retain(|(name, value)| std::env::var_os(name) != value.as_ref().map(OsString::from));
        Self {
            program,
            name,
            optimize: Some(python.optimize).filter(|level| host.optimize < *level),
            no_site: python.no_site && !host.no_site,
            variables,
        }
    }

    fn command(&self, host: &Host, key: &str) -> std::io::Result<Command> {
        let mut command = match &self.program {
            Some(program) => Command::new(program),
            None => host.command(self.name.as_deref())?,
        };
        let options = host.options();
        command.args(&options);
        if let Some(level) = self.optimize {
            let given = options.iter().filter(|option| *option == "-O").count();
            let missing = usize::from(level.min(2)).saturating_sub(given);
            command.args(std::iter::repeat_n("-O", missing));
        }
        if self.no_site {
            command.arg("-S");
        }
        command.arg(&host.main_file).args(program::arguments());
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if self.program.is_some() && host.is_of_a_tool() {
            // `uvx --with PACKAGE`
            let folders = std::env::join_paths(&host.packages);
            command.env(FURTHER_PACKAGES, folders.unwrap_or_default());
        }
        command.env(RELAUNCH_VARIABLE, key);
        Ok(command)
    }
}

fn execute(command: std::io::Result<Command>) -> Result<Exit, Failure> {
    let failed = |error| Failure::new(format_args!("cannot start Python anew: {error}"));
    let mut command = command.map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        Err(failed(command.exec()))
    }
    #[cfg(not(unix))]
    {
        // Ctrl-C is for the new process, which gets it too.
        let _best = ctrlc::set_handler(|| {});
        let status = command.status().map_err(failed)?;
        Ok(Exit::with(status.code().unwrap_or(1)))
    }
}
