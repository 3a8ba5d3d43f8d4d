//! The time of day in the log: local time, as C's `ctime` writes it and uWSGI logs it.

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
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (made, mut stamp) = LAST.get();
    if made != second {
        stamp = stamp_of(second);
        LAST.set((second, stamp));
    }
    out.extend_from_slice(&stamp);
}

fn stamp_of(second: u64) -> Stamp {
    let mut stamp = *b"Thu Jan  1 00:00:00 1970";
    let Ok(time) = jiff::Timestamp::from_second(i64::try_from(second).unwrap_or(i64::MAX)) else {
        return stamp;
    };
    let local = time.to_zoned(jiff::tz::TimeZone::system());
    let mut room = &mut stamp[..];
    // Years of five digits find no room for the last one.
    let _cut = write!(room, "{}", local.strftime("%a %b %e %H:%M:%S %Y"));
    stamp
}
