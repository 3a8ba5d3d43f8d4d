//! Windows: our own lines go to the log; what the application prints stays on the console.

use std::fs::File;
use std::io;
use std::net::UdpSocket;

use crate::telemetry::{Destination, LogWriter};

/// Our lines go to `file`.
pub fn to_file(file: &File, writer: &LogWriter) -> io::Result<()> {
    writer.send_to(file_destination(file)?);
    writer.set_times(true);
    Ok(())
}

/// As [`to_file`], for the writer itself.
pub fn file_destination(file: &File) -> io::Result<Destination> {
    Ok(Destination::File(file.try_clone()?))
}

/// Whether standard error is a file on a disk: not asked for here.
pub fn is_stderr_a_file() -> bool {
    false
}

/// Bytes of the log file: not asked for here.
pub fn log_bytes() -> u64 {
    0
}

/// Standard output, which is shared with whatever the application prints.
pub fn keep_stdout() -> io::Result<File> {
    use std::os::windows::io::AsHandle as _;
    Ok(File::from(io::stdout().as_handle().try_clone_to_owned()?))
}

pub fn standard_streams_to_socket(_socket: &UdpSocket) -> io::Result<()> {
    Ok(())
}

/// Who owns a log file is the folder's business.
pub fn give(_file: &File, _uid: Option<u32>, _gid: Option<u32>) -> io::Result<()> {
    Ok(())
}
