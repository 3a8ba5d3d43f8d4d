//! Reads one message from an admin connection, within a time and a size.

use std::io::{self, ErrorKind, Read as _};
use std::time::Instant;

use super::listeners::AdminConnection;

/// Reads until `parse` returns a message. Fails at `until`, at the end of the stream, and when more
/// than `bytes_max` bytes hold no message.
pub(super) fn read_message<T>(
    client: &mut AdminConnection,
    until: Option<Instant>,
    bytes_max: usize,
    mut parse: impl FnMut(&[u8]) -> io::Result<Option<T>>,
) -> io::Result<T> {
    let mut arrived = Vec::new();
    let mut piece = [0; 4 << 10];
    loop {
        if let Some(until) = until {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            client.set_timeout(Some(left))?;
        }
        let count = client.read(&mut piece)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        arrived.extend_from_slice(&piece[..count]);
        if let Some(message) = parse(&arrived)? {
            return Ok(message);
        }
        if arrived.len() > bytes_max {
            return Err(ErrorKind::InvalidData.into());
        }
    }
}
