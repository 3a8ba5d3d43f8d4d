//! Unix: standard output and standard error become the log, so that whatever is printed lands
//! there. With loggers they are a pipe to this process, which makes lines of the text.

use std::fs::File;
use std::io::{self, PipeReader};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use parking_lot::Mutex;
use rustix::stdio::{dup2_stderr, dup2_stdout};

use crate::telemetry::{Destination, LogWriter};

/// Where the log goes while the standard streams are a pipe.
static BEHIND_PIPE: Mutex<Option<File>> = Mutex::new(None);

/// Everything goes to `file`.
pub fn to_file(file: &File, writer: &LogWriter) -> io::Result<()> {
    writer.send_to(file_destination(file)?);
    writer.set_times(is_stderr_a_file());
    Ok(())
}

/// As [`to_file`], for the writer itself.
pub fn file_destination(file: &File) -> io::Result<Destination> {
    match standard_streams(file)? {
        Streams::Log => Ok(Destination::Stderr),
        Streams::Pipe => Ok(Destination::File(file.try_clone()?)),
    }
}

/// From now on the process prints into the pipe that is returned, and the log goes where standard
/// error went.
pub fn capture(writer: &LogWriter) -> io::Result<PipeReader> {
    let (reader, pipe) = io::pipe()?;
    let stderr = || io::stderr().as_fd().try_clone_to_owned().map(File::from);
    let mut behind = BEHIND_PIPE.lock();
    writer.send_to(Destination::File(stderr()?));
    *behind = Some(stderr()?);
    dup2_stdout(&pipe)?;
    dup2_stderr(&pipe)?;
    Ok(reader)
}

/// Gives a process of the server the standard streams without the pipe, which ends with this one.
pub fn uncapture(command: &mut Command) -> io::Result<()> {
    if let Some(file) = &*BEHIND_PIPE.lock() {
        command
            .stdout(Stdio::from(file.try_clone()?))
            .stderr(Stdio::from(file.try_clone()?));
    }
    Ok(())
}

/// Whether standard error is a file on a disk.
pub fn is_stderr_a_file() -> bool {
    bytes_of_file().is_some()
}

/// Bytes of the log file; 0 if the log is none.
pub fn log_bytes() -> u64 {
    bytes_of_file().unwrap_or(0)
}

fn bytes_of_file() -> Option<u64> {
    let facts = match &*BEHIND_PIPE.lock() {
        Some(file) => rustix::fs::fstat(file).ok()?,
        None => rustix::fs::fstat(io::stderr()).ok()?,
    };
    let kind = rustix::fs::FileType::from_raw_mode(facts.st_mode);
    let is_file = kind == rustix::fs::FileType::RegularFile;
    u64::try_from(facts.st_size).ok().filter(|_| is_file)
}

/// What the application prints goes to `socket`.
pub fn standard_streams_to_socket(socket: &UdpSocket) -> io::Result<()> {
    standard_streams(socket).map(drop)
}

/// Standard output as it is, for ourselves alone: what anybody else prints goes to standard error
/// from now on.
pub fn keep_stdout() -> io::Result<File> {
    let kept = io::stdout().as_fd().try_clone_to_owned()?;
    dup2_stdout(io::stderr())?;
    Ok(File::from(kept))
}

/// Standard output and standard error are this from now on.
pub fn standard_streams_to(to: &impl AsFd) -> io::Result<()> {
    standard_streams(to).map(drop)
}

/// Gives a log file to the user that the server becomes.
pub fn give(file: &File, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    std::os::unix::fs::fchown(file, uid, gid)
}

/// What the standard streams are.
enum Streams {
    Log,
    Pipe,
}

fn standard_streams(to: &impl AsFd) -> io::Result<Streams> {
    let mut behind = BEHIND_PIPE.lock();
    if behind.is_some() {
        *behind = Some(File::from(to.as_fd().try_clone_to_owned()?));
        return Ok(Streams::Pipe);
    }
    dup2_stdout(to)?;
    dup2_stderr(to)?;
    Ok(Streams::Log)
}
