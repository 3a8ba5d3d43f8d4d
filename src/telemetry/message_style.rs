//! What a message looks like: with the time in front (`--log-date`), or as a JSON object
//! (`--log-json`).

use std::io::Write as _;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::json_line::{self, Dataset, worker_of_this_thread};
use super::local_time::{TimeFormat, append_time};
use crate::config::{DatePrefix, LogConfig};

/// The form of messages.
#[derive(Default)]
pub struct MessageStyle {
    date: Option<Date>,
    is_json: bool,
}

enum Date {
    Ctime,
    Format(Mutex<TimeFormat>),
}

impl MessageStyle {
    /// By the configuration.
    pub fn of(config: &LogConfig) -> Self {
        let date = config.date.as_ref().map(|date| match date {
            DatePrefix::Ctime => Date::Ctime,
            DatePrefix::Format(format) => Date::Format(Mutex::new(TimeFormat::new(format.clone()))),
        });
        Self {
            date,
            is_json: config.json,
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Appends a message of the server. `has_time`: with the time, unless the style says one.
    pub(super) fn append(&self, level: &str, text: &str, has_time: bool, lines: &mut Vec<u8>) {
        if self.is_json {
            let (worker, text) = (worker_of_this_thread(), text.trim_end());
            let mut append = |level: &str, text: &str| {
                let (worker, text) = (worker.as_deref(), text.as_bytes());
                json_line::append_message(level, Dataset::Server, worker, text, lines);
            };
            if level.is_empty() {
                return text.split('\n').for_each(|line| append("info", line));
            }
            return append(&level.to_ascii_lowercase(), text);
        }
        // A Vec takes everything.
        if level.is_empty() {
            for line in text.split('\n') {
                self.append_time(has_time, lines);
                let _infallible = writeln!(lines, "{line}");
            }
        } else {
            self.append_time(has_time, lines);
            let _infallible = writeln!(lines, "[{level}] {text}");
        }
    }

    /// Appends a line of the application's.
    pub(super) fn append_text(&self, line: &[u8], worker: Option<&str>, lines: &mut Vec<u8>) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if self.is_json {
            return json_line::append_message("info", Dataset::Application, worker, line, lines);
        }
        lines.extend_from_slice(line);
        lines.push(b'\n');
    }

    fn append_time(&self, has_time: bool, lines: &mut Vec<u8>) {
        let now = SystemTime::now();
        match &self.date {
            Some(Date::Format(format)) => format.lock().append(now, lines),
            Some(Date::Ctime) => append_time(now, lines),
            None if has_time => append_time(now, lines),
            None => return,
        }
        // uWSGI's.
        lines.extend_from_slice(b" - ");
    }
}
