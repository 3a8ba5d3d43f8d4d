//! `--py-tracebacker PREFIX`: unix sockets that print where Python code stands, and close.
//!
//! As in uWSGI there is one at PREFIX1, PREFIX2 ... for each worker, in uWSGI's format
//! (plugins/python/tracebacker.c), so that programs that read those read these. PREFIX itself
//! prints all workers, with more details. `sm-tracebacker` serves one client at a time, each for a
//! few seconds at most, and runs no Python.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

use crate::app::inspect::stacks::{PythonSide, Stacks};
use crate::app::process::Process;
use crate::config::Config;
use crate::config::Failure;
use crate::net::vital;
use crate::os::vacuum::Vacuum;
use crate::os::writable;
use crate::python::{Isolation, PythonStack};

/// An interpreter has this long to release its GIL.
const PATIENCE: Duration = Duration::from_secs(1);
/// A client has this long to read a part of the text.
const CLIENT_PATIENCE: Duration = Duration::from_secs(1);
/// How long to leave it alone when clients cannot be accepted, for want of descriptors say.
const PAUSE: Duration = Duration::from_millis(200);
/// Clients that may wait.
const BACKLOG: i32 = 16;
const HEADER: &str = "*** uWSGI Python tracebacker output ***\n\n";

/// Whether the sockets could be bound.
pub fn check(config: &Config) -> Result<(), Failure> {
    let Some(prefix) = &config.python.tracebacker else {
        return Ok(());
    };
    for worker in 0..=config.workers.processes {
        let path = path_of(prefix, worker);
        let checked = match path.symlink_metadata() {
            Ok(found) if found.file_type().is_socket() => Ok(()),
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(_) => writable::check_folder(&path),
        };
        checked.map_err(|error| failed(config, &path, &error))?;
    }
    Ok(())
}

fn failed(config: &Config, path: &Path, error: &io::Error) -> Failure {
    let why = format!("cannot listen on {}: {error}", path.display());
    Failure::about(config, "py-tracebacker", why)
}

/// Binds the sockets, if they are asked for, and starts the thread that answers.
pub fn start(config: &Config, process: &Arc<Process>, vacuum: &mut Vacuum) -> Result<(), Failure> {
    let Some(prefix) = &config.python.tracebacker else {
        return Ok(());
    };
    let mut sockets = Vec::new();
    for worker in 0..=config.workers.processes {
        let path = path_of(prefix, worker);
        let socket = bind_private(&path).map_err(|error| failed(config, &path, &error))?;
        vacuum.note_socket(&path);
        sockets.push(socket);
    }
    let process = Arc::clone(process);
    let threads = config.workers.threads;
    std::thread::Builder::new()
        .name("sm-tracebacker".to_owned())
        .spawn(move || serve(&sockets, &process, threads))
        .map_err(Failure::new)?;
    tracing::info!(
        "the Python tracebacker is available on {} (of worker N: {}N)",
        prefix.display(),
        prefix.display()
    );
    Ok(())
}

/// The socket of a worker; 0 is all of them.
fn path_of(prefix: &Path, worker: usize) -> PathBuf {
    let mut path = OsString::from(prefix);
    if worker > 0 {
        path.push(worker.to_string());
    }
    PathBuf::from(path)
}

/// A socket that only this process's user can connect to: it has its mode before it listens. A
/// socket file that is there already was left behind, or belongs to the server that this one
/// succeeds.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
    listen(&socket, BACKLOG)?;
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn serve(sockets: &[UnixListener], process: &Process, threads: usize) {
    loop {
        let mut ready: Vec<_> = sockets
            .iter()
            .map(|socket| PollFd::new(socket, PollFlags::IN))
            .collect();
        if poll(&mut ready, None).is_err() {
            continue;
        }
        let ready: Vec<bool> = ready.iter().map(|one| !one.revents().is_empty()).collect();
        for (worker, (socket, is_ready)) in sockets.iter().zip(ready).enumerate() {
            if !is_ready {
                continue;
            }
            match socket.accept() {
                Ok((client, _)) => {
                    let stacks = process.stacks(PATIENCE);
                    let text = match worker {
                        0 => stacks.to_string(),
                        worker => as_uwsgi_has_it(&stacks, worker, threads),
                    };
                    // The client has closed.
                    answer(client, &text).ok();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if vital::is_loss(&error) => {
                    let by = "the application has closed a descriptor that is not its own";
                    return tracing::error!("--py-tracebacker: the socket is closed: {by}");
                }
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }
}

fn answer(mut client: UnixStream, text: &str) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_write_timeout(Some(CLIENT_PATIENCE))?;
    client.write_all(text.as_bytes())
}

/// The stacks of one worker, a line for each call. In the main interpreter a worker has as many of
/// its threads as a process would have, and the application's own threads belong to all workers.
fn as_uwsgi_has_it(stacks: &Stacks, worker: usize, threads: usize) -> String {
    let mut text = HEADER.to_owned();
    for one in &stacks.workers {
        let is_main = one.isolation == Isolation::Main;
        let (number, core) = if is_main {
            (one.core / threads.max(1) + 1, one.core % threads.max(1))
        } else {
            (one.worker, one.core)
        };
        if number != worker {
            continue;
        }
        let name = format!("uWSGIWorker{number}Core{core}");
        match &one.python {
            PythonSide::Stack(stack) => lines(&mut text, &name, stack),
            PythonSide::None | PythonSide::Ended => {}
            PythonSide::Silent => {
                let native = one.native.as_ref().map_or_else(String::new, |native| {
                    format!(", thread {} {native}", one.native_id.unwrap_or(0))
                });
                writeln!(
                    text,
                    "thread_id = {name} has no stack: code outside of Python holds the GIL ({}{native})\n",
                    one.doing
                )
                .ok();
            }
        }
    }
    for other in &stacks.others {
        let belongs_to_all = other.interpreter == 0;
        if belongs_to_all || other.worker == worker {
            let name = other.stack.name.as_deref();
            lines(
                &mut text,
                name.unwrap_or("<UnnamedPythonThread>"),
                &other.stack,
            );
        }
    }
    text
}

fn lines(text: &mut String, name: &str, stack: &PythonStack) {
    for frame in &stack.frames {
        let (file, line, function) = (&frame.file, frame.line, &frame.function);
        write!(
            text,
            "thread_id = {name} filename = {file} lineno = {line} function = {function}"
        )
        .ok();
        if !frame.text.is_empty() {
            write!(text, " line = {}", frame.text).ok();
        }
        text.push('\n');
    }
    text.push('\n');
}
