//! Unix: standard output and standard error become the log, so that whatever is printed lands
//! there.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::stdio::{dup2_stderr, dup2_stdout};

use crate::telemetry::{Destination, LogWriter};

/// A new log can be read by its owner and group, as in uWSGI.
pub fn private(options: &mut OpenOptions) {
    options.mode(0o640);
}

/// Everything goes to `file`.
pub fn to_file(file: &File, writer: &LogWriter) -> io::Result<()> {
    standard_streams(file)?;
    writer.send_to(Destination::Stderr);
    writer.set_times(is_stderr_a_file());
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
    let facts = rustix::fs::fstat(io::stderr()).ok()?;
    let kind = rustix::fs::FileType::from_raw_mode(facts.st_mode);
    let is_file = kind == rustix::fs::FileType::RegularFile;
    u64::try_from(facts.st_size).ok().filter(|_| is_file)
}

/// What the application prints goes to `socket`.
pub fn standard_streams_to_socket(socket: &UdpSocket) -> io::Result<()> {
    standard_streams(socket)
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
    standard_streams(to)
}

fn standard_streams(to: &impl AsFd) -> io::Result<()> {
    dup2_stdout(to)?;
    dup2_stderr(to)?;
    Ok(())
}
