//! The time of day in the log: local time, as C's `ctime` and `strftime` write it.

use std::cell::Cell;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// `Mon Nov 30 10:45:39 2026`
type Stamp = [u8; 24];

/// Appends the time. The text is made once a second by each thread that needs it.
pub fn append_time(now: SystemTime, out: &mut Vec<u8>) {
    thread_local! {
        static LAST: Cell<(u64, Stamp)> = const { Cell::new((u64::MAX, [0; 24])) };
    }
    let second = second_of(now);
    let (made, mut stamp) = LAST.get();
    if made != second {
        stamp = stamp_of(second);
        LAST.set((second, stamp));
    }
    out.extend_from_slice(&stamp);
}

fn second_of(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

fn local(second: u64) -> Option<jiff::Zoned> {
    let time = jiff::Timestamp::from_second(i64::try_from(second).ok()?).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::system()))
}

fn stamp_of(second: u64) -> Stamp {
    let mut stamp = *b"Thu Jan  1 00:00:00 1970";
    let Some(local) = local(second) else {
        return stamp;
    };
    let mut room = &mut stamp[..];
    // Years of five digits find no room for the last one.
    let _cut = write!(room, "{}", local.strftime("%a %b %e %H:%M:%S %Y"));
    stamp
}

/// A format of `strftime`, and the text that it gave last.
#[derive(Debug)]
pub struct TimeFormat {
    format: String,
    second: u64,
    text: String,
}

impl TimeFormat {
    /// One that was checked at start.
    pub fn new(format: String) -> Self {
        Self {
            format,
            second: u64::MAX,
            text: String::new(),
        }
    }

    /// Appends the time. The text is made once for each second.
    pub fn append(&mut self, time: SystemTime, out: &mut Vec<u8>) {
        let second = second_of(time);
        if second != self.second {
            self.second = second;
            let made = local(second)
                .and_then(|local| jiff::fmt::strtime::format(&self.format, &local).ok());
            self.text = made.unwrap_or_default();
        }
        out.extend_from_slice(self.text.as_bytes());
    }
}
