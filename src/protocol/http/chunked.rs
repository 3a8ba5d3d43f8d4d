//! The chunked transfer coding of a request (RFC 9112, 7.1), undone strictly.
//!
//! A machine over single bytes where bytes are framing, and over slices where they are data: it
//! keeps no bytes and reads none twice, but for an incomplete trailer line. Input that the RFC lets
//! a server ignore is refused where servers and proxies were found to disagree: line ends in
//! extensions, quoted strings, sloppy sizes.

use memchr::memchr;

use super::field::trailer_line;
use super::parse::BARE_LF;
use super::{Limits, Refusal};

/// Where in a chunked body we are. 32 bytes: it lives in every connection's reader.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChunkedBody {
    /// Data bytes of all chunks so far, the current one included.
    total: u64,
    /// The size of the chunk while its line is read, then what is left of its data.
    left: u64,
    /// Bytes of the size line so far; in trailers how much of the line was looked at.
    line: u32,
    /// Framing beyond what the data justifies, [`Limits::CHUNK_OVERHEAD_BYTES_MAX`]; in trailers
    /// their bytes so far.
    spent: u32,
    /// Digits of the size so far.
    digits: u8,
    place: Place,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// A digit of the size, or what ends it.
    #[default]
    Size,
    /// The space that may stand between the size and an extension.
    SizeSpace,
    /// A byte of the extensions.
    Extension,
    /// The LF of the size line.
    SizeLf,
    /// Data.
    Data,
    /// The CR behind the data.
    DataCr,
    /// The LF behind the data.
    DataLf,
    /// A byte of the trailer section.
    Trailers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'i> {
    /// All was consumed, or all but an incomplete trailer line.
    NeedMore,
    /// Data; never empty.
    Data(&'i [u8]),
    /// The body is complete, trailers included.
    End,
}

impl ChunkedBody {
    /// Consumes from the front of `input` up to the next piece, and says how many bytes.
    pub(super) fn read<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
    ) -> Result<(usize, Piece<'i>), Refusal> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.place {
                Place::Data => {
                    let length = usize::try_from(self.left)
                        .unwrap_or(usize::MAX)
                        .min(input.len() - at);
                    self.left -= length as u64;
                    if self.left == 0 {
                        self.place = Place::DataCr;
                    }
                    return Ok((at + length, Piece::Data(&input[at..at + length])));
                }
                Place::DataCr if byte == b'\r' => self.place = Place::DataLf,
                Place::DataLf if byte == b'\n' => self.place = Place::Size,
                Place::DataCr | Place::DataLf => {
                    return Err(Refusal::bad("chunk data is not followed by CR LF"));
                }
                Place::Trailers => {
                    let (length, piece) = self.trailers(&input[at..], limits)?;
                    return Ok((at + length, piece));
                }
                Place::Size | Place::SizeSpace | Place::Extension | Place::SizeLf => {
                    self.size_line(byte, limits)?
                }
            }
            at += 1;
        }
        Ok((at, Piece::NeedMore))
    }

    fn size_line(&mut self, byte: u8, limits: &Limits) -> Result<(), Refusal> {
        self.line += 1;
        if self.line as usize > limits.chunk_line_bytes_max {
            return Err(Refusal::bad("a chunk size line is over its bound"));
        }
        self.place = match (self.place, byte) {
            (Place::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                // 16 digits fill 64 bits; leading zeros count, so that no line is endless.
                if self.digits == 16 {
                    return Err(Refusal::bad("a chunk size is over 16 digits"));
                }
                self.digits += 1;
                self.left = self.left << 4 | u64::from(hex(byte));
                Place::Size
            }
            (Place::Size, _) if self.digits == 0 => {
                return Err(Refusal::bad("a chunk has no size in hex digits"));
            }
            (Place::Size | Place::Extension, b'\r') => Place::SizeLf,
            (Place::Size | Place::SizeSpace, b';') => Place::Extension,
            (Place::Size | Place::SizeSpace, b' ' | b'\t') => Place::SizeSpace,
            (Place::Size | Place::SizeSpace, _) => {
                return Err(Refusal::bad("a chunk size is not in hex digits"));
            }
            (Place::Extension, b'\t' | b' '..=b'~' | 0x80..) if byte != b'"' => Place::Extension,
            // Stricter than the grammar: where a quoted string ends is what parsers disagree about
            // (CVE-2025-55315 and its kin), and no client is known to send one.
            (Place::Extension, b'"') => {
                return Err(Refusal::bad("a quoted string in a chunk extension"));
            }
            (Place::Extension, _) => {
                return Err(Refusal::bad("a control byte in a chunk extension"));
            }
            (Place::SizeLf, b'\n') => return self.size_line_end(limits),
            (_, _) => return Err(Refusal::bad("a bare CR in a chunk size line")),
        };
        Ok(())
    }

    fn size_line_end(&mut self, limits: &Limits) -> Result<(), Refusal> {
        let size = self.left;
        self.total = self
            .total
            .checked_add(size)
            .filter(|&total| total <= limits.body_bytes_max)
            .ok_or(Refusal::with(
                413,
                "the chunks are over the bound of bodies",
            ))?;
        let justified = u32::try_from(size.saturating_mul(2))
            .unwrap_or(u32::MAX)
            .saturating_add(16);
        self.spent = self
            .spent
            .saturating_add(self.line)
            .saturating_sub(justified);
        if self.spent > Limits::CHUNK_OVERHEAD_BYTES_MAX {
            return Err(Refusal::bad("a chunked body that is mostly framing"));
        }
        self.line = 0;
        self.digits = 0;
        if size == 0 {
            self.spent = 0;
            self.place = Place::Trailers;
        } else {
            self.place = Place::Data;
        }
        Ok(())
    }

    /// The trailer section, line by line. An incomplete line is not consumed, but not looked at
    /// twice either.
    fn trailers<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
    ) -> Result<(usize, Piece<'i>), Refusal> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            let line_feed = memchr(b'\n', rest.get(self.line as usize..).unwrap_or_default())
                .map(|behind| self.line as usize + behind);
            let length = line_feed.map_or(rest.len(), |line_feed| line_feed + 1);
            if self.spent as usize + length > limits.trailer_bytes_max {
                return Err(Refusal::with(431, "the trailer section is over its bound"));
            }
            let Some(line_feed) = line_feed else {
                self.line = length as u32;
                return Ok((at, Piece::NeedMore));
            };
            let [line @ .., b'\r'] = &rest[..line_feed] else {
                return Err(BARE_LF);
            };
            at += length;
            self.line = 0;
            if line.is_empty() {
                return Ok((at, Piece::End));
            }
            trailer_line(line)?;
            self.spent += length as u32;
        }
    }
}

const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}
