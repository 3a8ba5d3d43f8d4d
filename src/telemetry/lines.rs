//! Which line a request has, by the configuration. Lives on the thread that writes.

use super::format::Format;
use super::json_line;
use super::memory::{Memory, ReadMemory};
use super::record::{Capture, Record};
use super::request_line::{CAPTURES, UwsgiLine, append_with_times};
use crate::config::{LineStyle, LogConfig};

/// Makes lines of records.
pub struct RequestLines {
    form: Form,
    memory: Memory,
}

enum Form {
    Uwsgi(UwsgiLine),
    Times { pid: u32 },
    Format(Box<Format>),
    Json { pid: u32 },
}

impl RequestLines {
    /// Lines of this process.
    pub fn new(config: &LogConfig, read_memory: ReadMemory) -> Self {
        let pid = std::process::id();
        let form = match &config.line {
            LineStyle::Uwsgi => Form::Uwsgi(UwsgiLine {
                pid,
                has_micros: config.micros,
                report: config.memory,
            }),
            LineStyle::Times => Form::Times { pid },
            LineStyle::Json => Form::Json { pid },
            LineStyle::Format(pieces) => {
                let time = config.time_format.as_deref();
                Form::Format(Box::new(Format::new(pieces, pid, time)))
            }
        };
        Self {
            form,
            memory: Memory::new(read_memory),
        }
    }

    /// The bytes that a record needs, in their order.
    pub fn captures(&self) -> &[Capture] {
        match &self.form {
            Form::Uwsgi(_) | Form::Times { .. } => &CAPTURES,
            Form::Format(format) => format.captures(),
            Form::Json { .. } => &json_line::CAPTURES,
        }
    }

    /// Appends the line of a request.
    pub(super) fn append(&mut self, record: &Record, out: &mut Vec<u8>) {
        match &mut self.form {
            Form::Uwsgi(line) => line.append(record, &mut self.memory, out),
            Form::Json { pid } => json_line::append_request(record, *pid, out),
            Form::Times { pid } => append_with_times(record, *pid, out),
            Form::Format(format) => format.append(record, &mut self.memory, out),
        }
    }
}
