//! Encoders of log lines (`--log-encoder`, `--log-req-encoder`), one after the other.

use std::io::{self, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::local_time::TimeFormat;
use super::text::{escape_json, number};
use crate::config::{EncoderKind, LogEncoder, Part};

/// A chain of encoders.
pub(super) struct Encoders {
    list: Vec<Encoder>,
    /// The line before the encoder that runs.
    before: Vec<u8>,
}

struct Encoder {
    kind: Kind,
    /// The name of the one logger that it is for.
    logger: Option<String>,
}

enum Kind {
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
    NewLine,
    Text { parts: Vec<Chunk>, is_json: bool },
    Gzip,
    Zlib,
}

enum Chunk {
    Text(Vec<u8>),
    Message,
    MessageWithEnd,
    Seconds,
    Micros,
    Millis,
    Time(TimeFormat),
}

impl Encoders {
    pub(super) fn new(encoders: &[LogEncoder]) -> Self {
        let list = encoders.iter().map(|encoder| Encoder {
            kind: Kind::new(&encoder.kind),
            logger: encoder.logger.clone(),
        });
        Self {
            list: list.collect(),
            before: Vec::new(),
        }
    }

    /// Replaces `line` with what the encoders make of it for the logger of this name.
    pub(super) fn encode(&mut self, logger: Option<&str>, line: &mut Vec<u8>) {
        for encoder in &mut self.list {
            if encoder.logger.is_none() || encoder.logger.as_deref() == logger {
                self.before.clear();
                std::mem::swap(&mut self.before, line);
                // A Vec takes everything.
                let _infallible = encoder.kind.encode(&self.before, line);
            }
        }
    }
}

impl Kind {
    fn new(kind: &EncoderKind) -> Self {
        let chunks = |parts: &[Part]| parts.iter().map(Chunk::new).collect();
        match kind {
            EncoderKind::Prefix(text) => Self::Prefix(text.clone()),
            EncoderKind::Suffix(text) => Self::Suffix(text.clone()),
            EncoderKind::NewLine => Self::NewLine,
            EncoderKind::Format(parts) => Self::Text {
                parts: chunks(parts),
                is_json: false,
            },
            EncoderKind::Json(parts) => Self::Text {
                parts: chunks(parts),
                is_json: true,
            },
            EncoderKind::Gzip => Self::Gzip,
            EncoderKind::Zlib => Self::Zlib,
        }
    }

    fn encode(&mut self, line: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Prefix(text) => {
                out.extend_from_slice(text);
                out.extend_from_slice(line);
            }
            Self::Suffix(text) => {
                out.extend_from_slice(line);
                out.extend_from_slice(text);
            }
            Self::NewLine => {
                out.extend_from_slice(line);
                out.push(b'\n');
            }
            Self::Text { parts, is_json } => {
                let now = SystemTime::now();
                for part in parts {
                    part.append(line, now, *is_json, out);
                }
            }
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, Compression::default());
                encoder.write_all(line)?;
                encoder.finish()?;
            }
            Self::Zlib => {
                let mut encoder = ZlibEncoder::new(out, Compression::default());
                encoder.write_all(line)?;
                encoder.finish()?;
            }
        }
        Ok(())
    }
}

impl Chunk {
    fn new(part: &Part) -> Self {
        match part {
            Part::Text(text) => Self::Text(text.clone()),
            Part::Message => Self::Message,
            Part::MessageWithEnd => Self::MessageWithEnd,
            Part::Seconds => Self::Seconds,
            Part::Micros => Self::Micros,
            Part::Millis => Self::Millis,
            Part::Time(format) => Self::Time(TimeFormat::new(format.clone())),
        }
    }

    fn append(&mut self, line: &[u8], now: SystemTime, is_json: bool, out: &mut Vec<u8>) {
        let mut put = |bytes: &[u8]| match is_json {
            true => escape_json(bytes, out),
            false => out.extend_from_slice(bytes),
        };
        let since: Duration = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        match self {
            Self::Text(text) => out.extend_from_slice(text),
            Self::Message => put(line.strip_suffix(b"\n").unwrap_or(line)),
            Self::MessageWithEnd => put(line),
            Self::Seconds => number(since.as_secs(), out),
            Self::Micros => number(since.as_micros(), out),
            Self::Millis => number(since.as_millis(), out),
            Self::Time(format) => {
                let mut text = Vec::new();
                format.append(now, &mut text);
                put(&text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn encoded(kinds: &[EncoderKind], logger: Option<&str>) -> Vec<u8> {
        let list: Vec<LogEncoder> = kinds
            .iter()
            .map(|kind| LogEncoder {
                kind: kind.clone(),
                logger: logger.map(str::to_owned),
            })
            .collect();
        let mut line = b"a \"b\"\n".to_vec();
        Encoders::new(&list).encode(Some("x"), &mut line);
        line
    }

    #[test]
    fn encoders_run_one_after_the_other() {
        let json = EncoderKind::Json(vec![
            Part::Text(b"{\"m\":\"".to_vec()),
            Part::Message,
            Part::Text(b"\"}".to_vec()),
        ]);
        let prefix = EncoderKind::Prefix(b"> ".to_vec());
        let all = [json.clone(), EncoderKind::NewLine, prefix];
        assert_eq!(encoded(&all, None), b"> {\"m\":\"a \\\"b\\\"\"}\n");
        assert_eq!(encoded(&all, Some("x")), b"> {\"m\":\"a \\\"b\\\"\"}\n");
        assert_eq!(encoded(&all, Some("other")), b"a \"b\"\n");
    }

    #[test]
    fn gzip_makes_a_member_of_each_line() {
        let mut text = String::new();
        let packed = encoded(&[EncoderKind::Gzip], None);
        let mut reader = flate2::read::GzDecoder::new(&packed[..]);
        reader.read_to_string(&mut text).expect("gzip");
        assert_eq!(text, "a \"b\"\n");
    }
}
