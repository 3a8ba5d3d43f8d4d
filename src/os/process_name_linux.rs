//! The two names that Linux has for a process.
//!
//! By hand: crates for titles set the short name alone, or call C code that moves the environment.
//!
//! The short one, 15 bytes of it, is the main thread's: top and `pgrep` show it. The long one is
//! what stands in the memory of the arguments: `ps -f` and `pkill -f` read it. A kernel that finds
//! no NUL at the end of that memory takes what stands there, up to the first NUL and on into the
//! environment's memory, for a title (`setproctitle`; fs/proc/base.c, get_mm_cmdline). So a title
//! and a NUL are written there, and spaces up to the end.
//!
//! The bytes go in through /proc/self/mem. Nothing in this program refers to that memory: std
//! copied the arguments when `main` asked for them, and must not be asked again. Main thread, while
//! the process may still read its own /proc: before privileges are dropped.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;

const SHORT_BYTES_MAX: usize = 15;

/// A title that is longer would not be read to its end: the kernel looks at one page.
const LONG_BYTES_MAX: usize = 4095;

/// Also true if the memory of the arguments is unknown.
pub fn fits_in_arguments(title: &str) -> bool {
    Room::of_this_process().is_none_or(|room| title.len() < room.arguments)
}

/// Gives the process both names, as far as they have room; returns the long one.
pub fn set(title: &str, may_spill: bool) -> io::Result<String> {
    let short = CString::new(cut(title, SHORT_BYTES_MAX)).map_err(io::Error::other)?;
    rustix::thread::set_name(&short)?;
    let room = Room::of_this_process()
        .ok_or_else(|| io::Error::other("/proc does not tell where the arguments stand"))?;
    let (shown, bytes) = room.fill(title, may_spill);
    let memory = OpenOptions::new().write(true).open("/proc/self/mem")?;
    memory.write_all_at(&bytes, room.start)?;
    Ok(shown.to_owned())
}

/// Gives the process its short name, from any thread.
pub fn set_short(title: &str) -> io::Result<()> {
    // The main thread's id is the process's.
    let path = format!("/proc/self/task/{}/comm", std::process::id());
    fs::write(path, cut(title, SHORT_BYTES_MAX))
}

/// The text up to this many bytes, without half a character.
fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rfind(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// Where the arguments stand in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    start: u64,
    arguments: usize,
    /// Bytes of the environment behind them; 0 if it stands elsewhere.
    environment: usize,
}

impl Room {
    fn of_this_process() -> Option<Room> {
        let stat = fs::read("/proc/self/stat").ok()?;
        Room::read(&String::from_utf8_lossy(&stat))
    }

    /// From a line of /proc/PID/stat (proc(5): arg_start is field 48).
    fn read(stat: &str) -> Option<Room> {
        // The name of the program may hold what it likes, so fields count from behind its
        // parenthesis: the state is the third.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ').skip(48 - 3).map(str::trim_end);
        let mut address = || fields.next()?.parse::<u64>().ok();
        let (start, end, environment_start, environment_end) =
            (address()?, address()?, address()?, address()?);
        let length = |start: u64, end: u64| usize::try_from(end.checked_sub(start)?).ok();
        let environment = if environment_start == end {
            length(environment_start, environment_end).unwrap_or_default()
        } else {
            0
        };
        let arguments = length(start, end).filter(|_| start > 0)?;
        Some(Room {
            start,
            arguments,
            environment,
        })
    }

    /// What is shown of a title, and the bytes that say so.
    fn fill(self, title: &str, may_spill: bool) -> (&str, Vec<u8>) {
        let room = if may_spill {
            self.arguments.saturating_add(self.environment)
        } else {
            self.arguments
        };
        let shown = cut(title, room.saturating_sub(1).min(LONG_BYTES_MAX));
        let mut bytes = shown.as_bytes().to_vec();
        bytes.resize((bytes.len() + 1).min(room), 0);
        bytes.resize(bytes.len().max(self.arguments), b' ');
        (shown, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room {
        start: 4096,
        arguments: 10,
        environment: 6,
    };

    #[test]
    fn the_fields_of_proc() {
        let stat = |name: &str, rest: &str| {
            let zeros = "0 ".repeat(44);
            format!("17 ({name}) S {zeros}{rest} 0\n")
        };
        assert_eq!(
            Room::read(&stat("a) (b", "4096 4106 4106 4112")),
            Some(ROOM)
        );
        let apart = Room::read(&stat("a", "4096 4106 5000 5006"));
        assert_eq!(
            apart,
            Some(Room {
                environment: 0,
                ..ROOM
            })
        );
        for bad in ["0 0 0 0", "9 8 8 9", "4096 x 0 0", "4096"] {
            assert_eq!(Room::read(&stat("a", bad)), None, "{bad}");
        }
        assert_eq!(Room::read(""), None);
        assert!(Room::of_this_process().is_some_and(|room| room.arguments > 0));
    }

    #[test]
    fn a_title_and_spaces() {
        let fill = |title, may_spill| {
            let (shown, bytes) = ROOM.fill(title, may_spill);
            (shown, String::from_utf8(bytes).unwrap())
        };
        assert_eq!(fill("abc", false), ("abc", "abc\0      ".to_owned()));
        assert_eq!(fill("abc", true), ("abc", "abc\0      ".to_owned()));
        assert_eq!(
            fill("123456789", false),
            ("123456789", "123456789\0".to_owned())
        );
        assert_eq!(fill("1234567890", false).1, "123456789\0");
        assert_eq!(fill("1234567890", true).1, "1234567890\0");
        assert_eq!(fill("12345678901234567", true).1, "123456789012345\0");
        // Half a character is none.
        assert_eq!(
            fill("12345678é", false),
            ("12345678", "12345678\0 ".to_owned())
        );
        assert_eq!(fill("", false), ("", "\0         ".to_owned()));
    }
}
