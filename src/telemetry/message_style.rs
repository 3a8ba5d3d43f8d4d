//! What is in front of a message (`--log-date`).

use std::time::SystemTime;

use parking_lot::Mutex;

use super::local_time::{TimeFormat, append_time};
use crate::config::DatePrefix;

/// What is in front of each message.
pub enum MessageStyle {
    /// The time as C's `ctime` writes it.
    Ctime,
    /// The time by a format.
    Format(Mutex<TimeFormat>),
}

impl MessageStyle {
    /// By the configuration.
    pub fn of(date: &DatePrefix) -> Self {
        match date {
            DatePrefix::Ctime => Self::Ctime,
            DatePrefix::Format(format) => Self::Format(Mutex::new(TimeFormat::new(format.clone()))),
        }
    }

    pub(super) fn begin(&self, lines: &mut Vec<u8>) {
        let now = SystemTime::now();
        match self {
            Self::Ctime => append_time(now, lines),
            Self::Format(format) => format.lock().append(now, lines),
        }
        // uWSGI's.
        lines.extend_from_slice(b" - ");
    }
}
