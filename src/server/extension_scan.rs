//! Which installed extensions refuse interpreters with a GIL of their own: after the start of a
//! server (`--extension-scan`), and for a person (`--check-extensions`).
//!
//! The server starts a process of low priority that reads the files (`--extension-worker scan`).
//! That one starts others that load them (`--extension-worker try`), since some crash or hang. Each
//! of these leaves when its standard input is closed, so none outlives the server.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;

use super::{prepare, process};
use crate::app::process::Process;
use crate::config::{Config, Failure, IsolationChoice};
use crate::extensions::cache::Cache;
use crate::extensions::prober;
use crate::extensions::scan::{self, Environment, Row};
use crate::os::program;
use crate::python::{ExtensionImport, InterpreterThread, exit_now};

/// So many packages are named in the log.
const PACKAGES_MAX: usize = 20;
/// A longer line is no environment. Bytes.
const ENVIRONMENT_BYTES_MAX: u64 = 16 << 20;

/// Scans the environment of the application, which has been loaded, and logs what it should not
/// import. Returns at once.
pub(super) fn start(config: &Config, process: &Arc<Process>, folder: &Path) {
    let extensions = &process.refused_extensions;
    let is_wanted = config.workers.scans_extensions
        && config.workers.isolation == IsolationChoice::Auto
        && !extensions.needs_main();
    let Some(environment) = extensions.environment().filter(|_| is_wanted) else {
        return;
    };
    let mut command = command(config, folder, "scan", extensions.cache());
    command.args(["--prio", "19"]);
    let process = Arc::clone(process);
    let scan = move || match scan_elsewhere(command, &environment) {
        Ok(rows) => tell(&rows, &process),
        Err(error) => tracing::info!("the installed extensions were not looked at: {error}"),
    };
    let thread = std::thread::Builder::new().name("sm-extensions".to_owned());
    if let Err(error) = thread.spawn(scan) {
        tracing::warn!(%error, "the installed extensions are not looked at");
    }
}

fn scan_elsewhere(mut command: Command, environment: &Environment) -> io::Result<Vec<Row>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut text = serde_json::to_vec(environment).map_err(io::Error::other)?;
    text.push(b'\n');
    // Open until the answer is there.
    let mut input = child.stdin.take();
    if let Some(input) = &mut input {
        input.write_all(&text)?;
    }
    let mut answer = Vec::new();
    if let Some(output) = &mut child.stdout {
        output.read_to_end(&mut answer)?;
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(io::Error::other(format!("the process for it: {status}")));
    }
    serde_json::from_slice(&answer).map_err(io::Error::other)
}

/// Logs the packages that would make the server switch.
fn tell(rows: &[Row], process: &Process) {
    let mut met = process.refused_extensions.met();
    met.retain(|one| !one.is_missed());
    // The package goes on without the extension.
    let copes = |row: &Row| met.iter().any(|one| one.distribution == row.distribution);
    let mut rows = rows.to_vec();
    rows.retain(|row| !row.has_twin() && !copes(row));
    let mut packages = scan::refusing_packages(&rows);
    if packages.is_empty() {
        return;
    }
    let more = packages.len().saturating_sub(PACKAGES_MAX);
    packages.truncate(PACKAGES_MAX);
    let packages = packages.join(", ");
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more (--check-extensions lists them)"),
    };
    tracing::info!(
        "installed, but refused by interpreters with a GIL of their own: {packages}{more}; the \
         server will switch to the main interpreter if the app imports one that does not go on in \
         pure Python"
    );
}

/// `--extension-worker scan`: answers the server.
pub(super) fn scan_for_server(config: &Config, folder: &Path) -> Result<i32, Failure> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .take(ENVIRONMENT_BYTES_MAX)
        .read_line(&mut line)
        .map_err(Failure::new)?;
    let environment: Environment = serde_json::from_str(&line).map_err(Failure::new)?;
    leave_with_the_server()?;
    let rows = scan(config, folder, &environment);
    let text = serde_json::to_vec(&rows).map_err(Failure::new)?;
    io::stdout().write_all(&text).map_err(Failure::new)?;
    Ok(0)
}

/// Ends this process when its standard input is closed.
fn leave_with_the_server() -> Result<(), Failure> {
    std::thread::Builder::new()
        .name("sm-server".to_owned())
        .spawn(|| {
            let _ended = io::copy(&mut io::stdin(), &mut io::sink());
            exit_now(1);
        })
        .map(drop)
        .map_err(Failure::new)
}

fn scan(config: &Config, folder: &Path, environment: &Environment) -> Vec<Row> {
    let cache = process::isolation_cache(config).map(Cache::new);
    let path = cache.as_ref().map(Cache::path);
    scan::scan(environment, cache.as_ref(), &|files| {
        prober::try_all(files, &|| command(config, folder, "try", path))
    })
}

/// `--extension-worker try`: loads what is named on standard input, and answers on `output`.
pub(super) fn try_extensions(
    python: &mut InterpreterThread,
    mut output: File,
) -> Result<i32, Failure> {
    let (sender, tasks) = channel();
    let reading = std::thread::Builder::new().name("sm-tasks".to_owned());
    reading
        .spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
            // Whatever is being tried: the result is not wanted any more.
            prober::remove_scratch();
            exit_now(0);
        })
        .map_err(Failure::new)?;
    writeln!(output, "ready").map_err(Failure::new)?;
    for task in tasks {
        let Some((module, file)) = task.split_once('\t') else {
            continue;
        };
        let outcome = python.attached(|py| py.try_extension(module, Path::new(file)));
        let answer = serde_json::to_string(&outcome).map_err(Failure::new)?;
        writeln!(output, "{answer}").map_err(Failure::new)?;
    }
    Ok(0)
}

/// `--check-extensions`: prints all of the environment. `imports`: of the application, if it was
/// loaded.
pub(super) fn check(
    config: &Config,
    folder: &Path,
    environment: &Environment,
    imports: Option<&[ExtensionImport]>,
    is_json: bool,
) -> Result<String, Failure> {
    let mut rows = scan(config, folder, environment);
    for import in imports.unwrap_or_default() {
        let file = import.file.canonicalize();
        let file = file.unwrap_or_else(|_| import.file.clone());
        if let Some(row) = rows.iter_mut().find(|row| row.file == file) {
            let begun = match import.begun.as_str() {
                "" => String::new(),
                begun => format!(" from {begun}"),
            };
            row.importers.push(format!("{}{begun}", import.importer));
        }
    }
    if is_json {
        let answer = serde_json::json!({ "python": environment.python, "extensions": rows });
        return Ok(format!("{answer}\n"));
    }
    Ok(scan::table(&rows, imports.is_some()))
}

/// This program with the same Python and environment, for another task.
fn command(config: &Config, folder: &Path, task: &str, cache: Option<&Path>) -> Command {
    let mut command = this_program();
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        // Options in variables, and what a service manager tells the server alone.
        let is_ours = [
            "UWSGI_",
            "SINGLEMALT_",
            "_SINGLEMALT_",
            "LISTEN_",
            "NOTIFY_",
            "VIRTUAL_ENV",
        ]
        .iter()
        .any(|prefix| text.starts_with(prefix));
        if is_ours {
            command.env_remove(&name);
        }
    }
    let mut add = |name: &str, value: OsString| {
        command.arg(format!("--{name}")).arg(value);
    };
    add("extension-worker", task.into());
    add(
        "isolation-cache",
        cache.map_or("off".into(), OsString::from),
    );
    if let Some(home) = prepare::home(config, folder) {
        add("virtualenv", home.into());
    }
    for path in &config.python.path {
        add("pythonpath", folder.join(path).into());
    }
    if let Some(program) = &config.python.program_name {
        add("py-programname", program.into());
    }
    if config.python.no_site {
        command.arg("--no-site");
    }
    command
}

/// The running program, also when its file has been replaced.
fn this_program() -> Command {
    if cfg!(target_os = "linux") && program::host().is_none() {
        return Command::new("/proc/self/exe");
    }
    program::command().unwrap_or_else(|_| Command::new("singlemalt"))
}
