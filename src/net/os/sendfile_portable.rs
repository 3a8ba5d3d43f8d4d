//! Everywhere else, and for files that the kernel cannot copy: read a piece, write it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::net::stream::Stream;

const PIECE_BYTES: u64 = 64 * 1024;

/// Sends up to `want` bytes of `file` from `offset`; how many left, 0 at the end of the file.
pub fn send_file_piece(
    stream: &mut Stream,
    mut file: &File,
    offset: u64,
    want: u64,
) -> io::Result<u64> {
    // The offset is ours and absolute: what the socket does not take is read again next time.
    file.seek(SeekFrom::Start(offset))?;
    let mut piece = Vec::new();
    file.take(want.min(PIECE_BYTES)).read_to_end(&mut piece)?;
    if piece.is_empty() {
        return Ok(0);
    }
    Ok(stream.write(&piece)? as u64)
}
