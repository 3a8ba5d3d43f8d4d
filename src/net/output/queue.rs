//! The pending output of a connection: bytes and files in order, written without blocking.
//!
//! The kernel takes as much as it can at once; the rest waits here until the poll reports the
//! socket as writable. The kernel reads files where it can (sendfile), so that their bytes never
//! enter this process. Runs on the thread that owns the connection.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;

#[cfg(target_os = "linux")]
use super::super::os::sendfile_linux::send_file_piece;
#[cfg(not(target_os = "linux"))]
use super::super::os::sendfile_portable::send_file_piece;
use super::super::stream::Stream;
use super::spool::{Lease, Spool};
use crate::protocol::fastcgi::record::{self, CONTENT_BYTES_MAX, HEADER_BYTES, Kind};
use crate::wsgi::SpoolSpace;

/// Bytes of a file per step, so that one fast reader of a large file does not delay the other
/// connections of the turn.
const FILE_PIECE_BYTES_MAX: u64 = 1 << 20;

enum Piece {
    Bytes {
        bytes: Vec<u8>,
        sent: usize,
    },
    File {
        file: File,
        offset: u64,
        left: u64,
        records: Option<Framed>,
    },
    Spool(Spool),
}

/// The state of a file that is sent in FastCGI records.
struct Framed {
    id: u16,
    /// The header of the current record, and the number of its bytes that were sent.
    header: [u8; HEADER_BYTES],
    header_sent: usize,
    /// Content of the record that was not sent.
    left: u64,
}

impl Framed {
    /// Sends the rest of a header; begins the next record if one is complete. Returns the number of
    /// bytes of the file that may follow.
    fn lead(&mut self, file_left: u64, stream: &mut Stream) -> io::Result<u64> {
        if self.left == 0 {
            self.left = file_left.min(CONTENT_BYTES_MAX as u64);
            self.header = record::header(Kind::STDOUT, self.id, self.left as usize);
            self.header_sent = 0;
        }
        while let Some(rest) = self.header.get(self.header_sent..)
            && !rest.is_empty()
        {
            match stream.write(rest)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.header_sent += count,
            }
        }
        Ok(self.left)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    All,
    Blocked,
    /// The step's budget is used up; the socket takes more.
    More,
}

/// The queue of pieces. An empty one has no memory.
#[derive(Default)]
pub struct Output {
    pieces: VecDeque<Piece>,
    /// Bytes in memory, without files, for comparison with the bound.
    memory_bytes: usize,
    /// What a complete response holds of the memory for all of them.
    lease: Option<Lease>,
}

impl Output {
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.memory_bytes += bytes.len();
        if let Some(Piece::Bytes { bytes: last, .. }) = self.pieces.back_mut() {
            last.extend_from_slice(bytes);
        } else {
            self.pieces.push_back(Piece::Bytes {
                bytes: bytes.to_vec(),
                sent: 0,
            });
        }
    }

    /// All bytes that wait, in memory and in files.
    pub fn waiting_bytes(&self) -> u64 {
        let left = |piece: &Piece| match piece {
            Piece::Bytes { bytes, sent } => (bytes.len() - sent) as u64,
            Piece::File { left, .. } => *left,
            Piece::Spool(spool) => spool.left(),
        };
        self.pieces.iter().map(left).sum()
    }

    /// Files that wait, each with a descriptor.
    pub fn files(&self) -> usize {
        let is_file = |piece: &&Piece| matches!(piece, Piece::File { .. });
        self.pieces.iter().filter(is_file).count()
    }

    /// Moves what waits in memory to temporary files. On an error the rest stays.
    pub fn spill(&mut self, space: &Arc<SpoolSpace>) -> io::Result<()> {
        let mut pieces = VecDeque::with_capacity(self.pieces.len());
        let mut outcome = Ok(());
        for piece in std::mem::take(&mut self.pieces) {
            let Piece::Bytes { bytes, sent } = piece else {
                pieces.push_back(piece);
                continue;
            };
            let rest = bytes.get(sent..).unwrap_or_default();
            if outcome.is_ok() {
                outcome = append(&mut pieces, rest, space);
            }
            match outcome {
                Ok(()) => self.memory_bytes -= rest.len(),
                Err(_) => pieces.push_back(Piece::Bytes { bytes, sent }),
            }
        }
        self.pieces = pieces;
        outcome
    }

    /// The response is complete: what waits in memory stays there if all such responses have room
    /// for it, else it moves to a temporary file, if those have.
    pub fn settle(&mut self, memory: &Arc<SpoolSpace>, files: &Arc<SpoolSpace>) -> io::Result<()> {
        match Lease::take(memory, self.memory_bytes as u64) {
            Ok(lease) => {
                self.lease = Some(lease);
                Ok(())
            }
            Err(_) => self.spill(files),
        }
    }

    /// Queues `length` bytes of `file` from `offset`.
    pub fn push_file(&mut self, file: File, offset: u64, length: u64) {
        if length > 0 {
            self.pieces.push_back(Piece::File {
                file,
                offset,
                left: length,
                records: None,
            });
        }
    }

    /// The same in FastCGI's records, for the request `id`.
    pub fn push_file_records(&mut self, file: File, offset: u64, length: u64, id: u16) {
        if length > 0 {
            self.pieces.push_back(Piece::File {
                file,
                offset,
                left: length,
                records: Some(Framed {
                    id,
                    header: [0; HEADER_BYTES],
                    header_sent: 0,
                    left: 0,
                }),
            });
        }
    }

    /// Drops everything, because the connection has failed.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Writes until the socket is full, the queue is empty or the step's budget is used up. A file
    /// that turns out shorter than promised is an `UnexpectedEof` error: the connection must be
    /// closed.
    pub fn flush(&mut self, stream: &mut Stream) -> io::Result<Flushed> {
        let mut file_bytes = 0;
        while let Some(piece) = self.pieces.front_mut() {
            match piece {
                Piece::Bytes { bytes, sent } => {
                    let rest = bytes.get(*sent..).unwrap_or_default();
                    match stream.write(rest) {
                        Ok(0) if !rest.is_empty() => return Err(io::ErrorKind::WriteZero.into()),
                        Ok(count) => {
                            *sent += count;
                            self.memory_bytes -= count;
                            if *sent < bytes.len() {
                                continue;
                            }
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            return Ok(Flushed::Blocked);
                        }
                        Err(error) => return Err(error),
                    }
                }
                Piece::Spool(spool) => {
                    if let Some(flushed) = send_spool(spool, stream, &mut file_bytes)? {
                        return Ok(flushed);
                    }
                }
                Piece::File {
                    file,
                    offset,
                    left,
                    records,
                } => {
                    let want = match records {
                        None => Ok((*left).min(FILE_PIECE_BYTES_MAX)),
                        Some(framed) => framed.lead(*left, stream),
                    };
                    let sent = want.and_then(|want| send_file_piece(stream, file, *offset, want));
                    match sent {
                        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        Ok(count) => {
                            *offset += count;
                            *left -= count;
                            file_bytes += count;
                            if let Some(framed) = records {
                                framed.left -= count;
                            }
                            if *left > 0 && file_bytes < FILE_PIECE_BYTES_MAX {
                                continue;
                            }
                            if *left > 0 {
                                return Ok(Flushed::More);
                            }
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            return Ok(Flushed::Blocked);
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            self.pieces.pop_front();
        }
        self.pieces = VecDeque::new();
        self.lease = None;
        // TLS may have taken the last bytes and not sent them.
        match stream.flush() {
            Ok(()) => Ok(Flushed::All),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Flushed::Blocked),
            Err(error) => Err(error),
        }
    }
}

/// Appends bytes to the file at the end of `pieces`, or to a new one there.
fn append(pieces: &mut VecDeque<Piece>, bytes: &[u8], space: &Arc<SpoolSpace>) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    if let Some(Piece::Spool(spool)) = pieces.back_mut() {
        return spool.push(bytes);
    }
    let mut spool = Spool::create(space)?;
    spool.push(bytes)?;
    pieces.push_back(Piece::Spool(spool));
    Ok(())
}

/// Sends from a temporary file. `None`: it is sent whole.
fn send_spool(
    spool: &mut Spool,
    stream: &mut Stream,
    file_bytes: &mut u64,
) -> io::Result<Option<Flushed>> {
    while spool.left() > 0 {
        if *file_bytes >= FILE_PIECE_BYTES_MAX {
            return Ok(Some(Flushed::More));
        }
        let want = spool.left().min(FILE_PIECE_BYTES_MAX);
        match send_file_piece(stream, spool.file(), spool.offset(), want) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                spool.took(count);
                *file_bytes += count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Some(Flushed::Blocked));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
