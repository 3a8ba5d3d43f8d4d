//! A body that the application put into chunks itself, although framing is the server's: the chunks
//! are taken off again, so that the server can frame what was meant.
//!
//! Applications that say `Transfer-Encoding: chunked` come in two kinds: some frame the body (uWSGI
//! passes it on as it is), some leave that to the server (as Gunicorn does). The beginning of the
//! body tells which kind it is. Pure; runs on workers.

/// The most bytes of a size line, and of a trailer line.
const LINE_BYTES_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct AppChunks {
    kind: Kind,
    place: Place,
    /// The line that is being read.
    line: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// No size line is complete; the bytes so far are in `line`.
    #[default]
    Unknown,
    /// The application frames its body.
    Framed,
    /// It does not.
    Plain,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Size,
    Data(u64),
    /// The line end behind the data.
    DataEnd,
    Trailers,
    End,
}

/// The body is neither plain nor whole chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BrokenChunks;

impl AppChunks {
    /// Whether the application was found to frame its body.
    pub(super) fn is_framed(&self) -> bool {
        self.kind == Kind::Framed
    }

    /// Appends to `out` the data in the next bytes of the body.
    ///
    /// # Errors
    /// Chunks came before, and what follows is none.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BrokenChunks> {
        let was_known = self.kind != Kind::Unknown;
        if self.kind == Kind::Plain {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        let before = (!was_known).then(|| self.line.clone());
        let kept = out.len();
        let taken = self.take(bytes, out);
        match (taken, before) {
            (Err(BrokenChunks), Some(mut before)) => {
                // It only looked like a size.
                out.truncate(kept);
                out.append(&mut before);
                out.extend_from_slice(bytes);
                self.kind = Kind::Plain;
                Ok(())
            }
            (taken, _) => taken,
        }
    }

    /// The body has ended.
    ///
    /// # Errors
    /// The last chunk is missing.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), BrokenChunks> {
        match (self.kind, self.place) {
            (Kind::Unknown, _) => {
                out.append(&mut self.line);
                Ok(())
            }
            // The empty line behind the last chunk is often forgotten.
            (Kind::Plain, _) | (Kind::Framed, Place::Trailers | Place::End) => Ok(()),
            (Kind::Framed, _) => Err(BrokenChunks),
        }
    }

    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BrokenChunks> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Place::Data(left) = self.place {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let (data, behind) = rest.split_at(here);
                out.extend_from_slice(data);
                rest = behind;
                self.place = match left - here as u64 {
                    0 => Place::DataEnd,
                    left => Place::Data(left),
                };
                continue;
            }
            // Nothing follows the last chunk; an application that goes on is not heard.
            if self.place == Place::End {
                return Ok(());
            }
            let here = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let (line, behind) = rest.split_at(here);
            rest = behind;
            self.line.extend_from_slice(line);
            if !self.line.ends_with(b"\n") {
                return if self.may_be_size() {
                    Ok(())
                } else {
                    Err(BrokenChunks)
                };
            }
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r\n").ok_or(BrokenChunks)?;
            self.place = match self.place {
                Place::Size => match size(line).ok_or(BrokenChunks)? {
                    0 => Place::Trailers,
                    size => Place::Data(size),
                },
                Place::DataEnd if line.is_empty() => Place::Size,
                Place::Trailers if line.is_empty() => Place::End,
                Place::Trailers => Place::Trailers,
                Place::Data(_) | Place::DataEnd | Place::End => return Err(BrokenChunks),
            };
            self.kind = Kind::Framed;
        }
        Ok(())
    }

    /// Whether the line so far can become what is expected here.
    fn may_be_size(&self) -> bool {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        match self.place {
            _ if line.len() > LINE_BYTES_MAX => false,
            Place::Size if line.is_empty() => self.line.is_empty(),
            Place::Size => size(line).is_some(),
            Place::DataEnd => line.is_empty(),
            Place::Data(_) | Place::Trailers | Place::End => true,
        }
    }
}

/// The number of a size line without its end.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(number << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Through the machine in pieces of `step` bytes: the data, and whether chunks were taken off.
    fn through(body: &[u8], step: usize) -> Result<(Vec<u8>, bool), BrokenChunks> {
        let (mut chunks, mut out) = (AppChunks::default(), Vec::new());
        for piece in body.chunks(step) {
            chunks.push(piece, &mut out)?;
        }
        chunks.finish(&mut out)?;
        Ok((out, chunks.is_framed()))
    }

    #[test]
    fn chunks_are_taken_off_and_plain_bodies_stay() {
        for step in [1, 2, 3, 1000] {
            for (body, data) in [
                ("5\r\nhello\r\n0\r\n\r\n", "hello"),
                (
                    "5;a=b\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nA: b\r\n\r\n",
                    "hello world",
                ),
                ("0\r\n\r\n", ""),
                ("2\r\nhi\r\n0\r\n", "hi"),
                ("2\r\nhi\r\n0\r\n\r\nmore", "hi"),
                ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
            ] {
                let found = through(body.as_bytes(), step);
                assert_eq!(found, Ok((data.into(), true)), "{body:?} by {step}");
            }
            for body in [
                "hello",
                "",
                "5",
                "5\n",
                "abc",
                "5 apples\r\n",
                "\r\n",
                "deadbeef",
                "<p>",
            ] {
                let found = through(body.as_bytes(), step);
                assert_eq!(found, Ok((body.into(), false)), "{body:?} by {step}");
            }
        }
        // One piece in which chunks do not go on is plain, too.
        let body = b"5\r\nhello world";
        assert_eq!(through(body, 1000), Ok((body.to_vec(), false)));
    }

    #[test]
    fn chunks_that_break_off_are_an_error() {
        for (body, step) in [
            ("5\r\nhel", 1),
            ("5\r\nhello\r\n", 1000),
            ("5\r\nhello world", 4),
        ] {
            assert_eq!(
                through(body.as_bytes(), step),
                Err(BrokenChunks),
                "{body:?}"
            );
        }
    }
}
