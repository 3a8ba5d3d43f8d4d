//! Request lines by a format of the operator's (`--log-format`). The format was read at start; a
//! line is made of the record without looking anything up.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::local_time::{TimeFormat, append_time};
use super::memory::Memory;
use super::record::{Capture, Record};
use super::text::{escape, escape_json, number};
use crate::config::{Known, Piece, Variable};

/// Apache's, as uWSGI writes `%(ltime)`.
const APACHE: &str = "%d/%b/%Y:%H:%M:%S %z";

/// A compiled format.
pub(super) struct Format {
    chunks: Vec<Chunk>,
    captures: Vec<Capture>,
    /// The format is a JSON object: values are parts of its strings.
    is_json: bool,
    pid: u32,
    apache_time: TimeFormat,
    /// `%(ftime)`
    time: TimeFormat,
}

enum Chunk {
    Text(Vec<u8>),
    /// The place of captured bytes.
    Captured(usize),
    Figure(Known),
}

impl Format {
    /// `time`: the format of `%(ftime)`, if it is not Apache's.
    pub(super) fn new(pieces: &[Piece], pid: u32, time: Option<&str>) -> Self {
        let mut captures = Vec::new();
        let mut chunks: Vec<Chunk> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Chunk::Text(text.clone()),
                Piece::Variable(variable) => chunk(variable, &mut captures),
            })
            .collect();
        chunks.push(Chunk::Text(b"\n".to_vec()));
        let opens = matches!(pieces.first(), Some(Piece::Text(text)) if text.starts_with(b"{"));
        let closes = matches!(pieces.last(), Some(Piece::Text(text)) if text.ends_with(b"}"));
        Self {
            chunks,
            captures,
            is_json: opens && closes,
            pid,
            apache_time: TimeFormat::new(APACHE.to_owned()),
            time: TimeFormat::new(time.unwrap_or(APACHE).to_owned()),
        }
    }

    pub(super) fn captures(&self) -> &[Capture] {
        &self.captures
    }

    pub(super) fn append(&mut self, record: &Record, memory: &mut Memory, out: &mut Vec<u8>) {
        let escape = if self.is_json { escape_json } else { escape };
        for chunk in &self.chunks {
            match chunk {
                Chunk::Text(text) => out.extend_from_slice(text),
                Chunk::Captured(place) => match record.captured(*place) {
                    b"" => out.push(b'-'),
                    bytes => escape(bytes, out),
                },
                Chunk::Figure(Known::ApacheTime) => {
                    self.apache_time.append(record.figures.began(), out);
                }
                Chunk::Figure(Known::FormattedTime) => {
                    self.time.append(record.figures.began(), out);
                }
                Chunk::Figure(known) => figure(*known, record, self.pid, memory, out),
            }
        }
    }
}

fn chunk(variable: &Variable, captures: &mut Vec<Capture>) -> Chunk {
    let capture = match variable {
        Variable::Known(known) => match known {
            Known::Uri => Capture::Target,
            Known::Method => Capture::Method,
            Known::User => Capture::User,
            Known::Address => Capture::Address,
            Known::Host => Capture::Host,
            Known::Protocol => Capture::Protocol,
            Known::UserAgent => Capture::UserAgent,
            Known::Referer => Capture::Referer,
            Known::RequestId => Capture::RequestId,
            Known::TraceParent => Capture::TraceParent,
            figure => return Chunk::Figure(*figure),
        },
        Variable::Request(name) => Capture::Variable(name.clone()),
        Variable::Application(name) => Capture::Application(name.clone()),
    };
    let known = captures.iter().position(|known| *known == capture);
    Chunk::Captured(known.unwrap_or_else(|| {
        captures.push(capture);
        captures.len() - 1
    }))
}

fn figure(known: Known, record: &Record, pid: u32, memory: &mut Memory, out: &mut Vec<u8>) {
    let figures = &record.figures;
    let began = || since_1970(figures.began());
    match known {
        Known::Status => number(figures.status, out),
        Known::BodyBytes => number(figures.body_bytes, out),
        Known::HeadBytes => number(figures.header_bytes, out),
        Known::Bytes => number(figures.header_bytes as u64 + figures.body_bytes, out),
        Known::RequestBodyBytes => number(figures.request_body_bytes, out),
        Known::Micros => number(figures.took().as_micros(), out),
        Known::Millis => number(figures.took().as_millis(), out),
        Known::Seconds => {
            // A Vec takes everything.
            let _infallible = write!(out, "{:.6}", figures.took().as_secs_f64());
        }
        Known::BeginMillis => number(began().as_millis(), out),
        Known::BeginMicros => number(began().as_micros(), out),
        Known::Begin => number(began().as_secs(), out),
        Known::Ctime => append_time(figures.began(), out),
        Known::Epoch => number(since_1970(SystemTime::now()).as_secs(), out),
        Known::Pid => number(pid, out),
        Known::Worker | Known::Interpreter => number(figures.worker, out),
        Known::Switches => number(figures.pieces, out),
        Known::Variables => number(figures.request_variables, out),
        Known::Core => number(figures.core, out),
        Known::AddressSpace => number(memory.used(false).address_space, out),
        Known::Resident => number(memory.used(false).resident, out),
        Known::AddressSpaceMegabytes => number(memory.used(false).address_space >> 20, out),
        Known::ResidentMegabytes => number(memory.used(false).resident >> 20, out),
        Known::RequestHeadBytes => number(figures.request_head_bytes, out),
        // Packets for the application have no other modifiers.
        Known::Modifier1 | Known::Modifier2 => out.push(b'0'),
        Known::Headers => number(figures.header_count, out),
        Known::WriteErrors | Known::Errors => number(u8::from(figures.is_broken), out),
        // A request is complete before it is answered.
        Known::ReadErrors => out.push(b'0'),
        Known::QueuedMicros => number(figures.queued.as_micros(), out),
        Known::SentMicros => number(figures.sent.as_micros(), out),
        Known::GilMicros => number(figures.gil.as_micros(), out),
        Known::Generation => number(figures.generation, out),
        // Captured, or with a format of their own.
        Known::Uri
        | Known::Method
        | Known::User
        | Known::Address
        | Known::Host
        | Known::Protocol
        | Known::UserAgent
        | Known::Referer
        | Known::RequestId
        | Known::TraceParent
        | Known::ApacheTime
        | Known::FormattedTime => {}
    }
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::memory::MemoryUsed;
    use crate::telemetry::record::tests::{FIGURES, record};

    fn line(pieces: &[Piece], captured: &[&[u8]]) -> String {
        let mut format = Format::new(pieces, 7, Some("%Y"));
        assert_eq!(format.captures().len(), captured.len());
        let mut memory = Memory::new(|_| MemoryUsed {
            resident: 3 << 20,
            ..MemoryUsed::default()
        });
        let mut out = Vec::new();
        format.append(&record(FIGURES, captured), &mut memory, &mut out);
        String::from_utf8(out).expect("text")
    }

    fn known(known: Known) -> Piece {
        Piece::Variable(Variable::Known(known))
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.as_bytes().to_vec())
    }

    #[test]
    fn a_line_has_the_values_of_its_variables() {
        let made = line(
            &[
                known(Known::Uri),
                text(" "),
                known(Known::Status),
                text(" "),
                known(Known::Seconds),
                text(" "),
                known(Known::Uri),
                text(" "),
                Piece::Variable(Variable::Application("who".to_owned())),
                text(" "),
                known(Known::FormattedTime),
                text(" "),
                known(Known::ResidentMegabytes),
                text(" "),
                known(Known::GilMicros),
            ],
            &[b"/a\x1b", b""],
        );
        assert_eq!(made, "/a\\x1b 200 0.001260 /a\\x1b - 2001 3 7\n");
    }

    #[test]
    fn values_in_a_json_object_cannot_end_its_strings() {
        let agent = [
            text(r#"{"agent":""#),
            known(Known::UserAgent),
            text(r#""}"#),
        ];
        assert_eq!(
            line(&agent, &[br#"a","x":"b"#]),
            "{\"agent\":\"a\\\",\\\"x\\\":\\\"b\"}\n"
        );
    }
}
