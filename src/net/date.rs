//! The text of the Date field (RFC 9110, 6.6.1), made once a second by each thread that needs it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::wsgi::HttpDate;

/// A thread's own copy.
pub struct DateCache {
    second: u64,
    text: HttpDate,
}

impl Default for DateCache {
    fn default() -> Self {
        Self {
            second: u64::MAX,
            text: *b"Thu, 01 Jan 1970 00:00:00 GMT",
        }
    }
}

impl DateCache {
    pub fn now(&mut self) -> &HttpDate {
        let now = SystemTime::now();
        let second = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        if second != self.second {
            self.second = second;
            // The format has a fixed width.
            if let Ok(text) = httpdate::fmt_http_date(now).as_bytes().try_into() {
                self.text = text;
            }
        }
        &self.text
    }
}
