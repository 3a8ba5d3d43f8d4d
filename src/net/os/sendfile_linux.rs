//! Linux: the kernel copies from the file to the socket.

use std::fs::File;
use std::io;

use crate::net::stream::Stream;

/// Sends up to `want` bytes of `file` from `offset`; how many left, 0 at the end of the file.
pub fn send_file_piece(
    stream: &mut Stream,
    file: &File,
    offset: u64,
    want: u64,
) -> io::Result<u64> {
    let Some(socket) = stream.unencrypted() else {
        // The kernel cannot encrypt.
        return super::sendfile_portable::send_file_piece(stream, file, offset, want);
    };
    let mut position = offset;
    let count = usize::try_from(want).unwrap_or(usize::MAX);
    loop {
        match rustix::fs::sendfile(socket, file, Some(&mut position), count) {
            Ok(sent) => return Ok(sent as u64),
            Err(rustix::io::Errno::INTR) => {}
            // The file is of a kind the kernel cannot map (a FIFO, some filesystems): read it
            // ourselves.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                return super::sendfile_portable::send_file_piece(stream, file, offset, want);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
