//! The state of a thread of this process by the kernel: `/proc/self/task/TID/{stat,wchan,syscall}`
//! (proc(5)). Reading them stops no thread.
//!
//! By hand: `procfs` reads a thread's `stat`, and neither its `wchan` nor its `syscall`.

use std::fs;
use std::time::Duration;

use super::thread_state::NativeThread;

/// `None` if the thread has ended.
pub(crate) fn look_at(native_id: u32) -> Option<NativeThread> {
    let read = |file: &str| fs::read_to_string(format!("/proc/self/task/{native_id}/{file}"));
    let mut thread = parse_stat(&read("stat").ok()?, rustix::param::clock_ticks_per_second())?;
    let call = read("syscall").ok().and_then(|line| system_call(&line));
    let place = read("wchan")
        .ok()
        .filter(|place| !place.is_empty() && place != "0");
    thread.waits_in = call.or(place);
    Some(thread)
}

/// proc_pid_stat(5): the name stands in brackets and may contain any character.
fn parse_stat(stat: &str, ticks_per_second: u64) -> Option<NativeThread> {
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let mut fields = after.split_ascii_whitespace();
    let state = match fields.next()? {
        "R" => "running",
        "S" => "sleeping",
        "D" => "waiting for a device",
        "T" | "t" => "stopped",
        "Z" | "X" | "x" => "ended",
        "I" => "idle",
        other => other,
    };
    // utime and stime are fields 14 and 15; the state is the third.
    let mut times = fields.skip(10);
    let ticks: u64 = times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?;
    let micros = ticks.saturating_mul(1_000_000) / ticks_per_second.max(1);
    Some(NativeThread {
        name: name.to_owned(),
        state: state.to_owned(),
        waits_in: None,
        busy: Duration::from_micros(micros),
    })
}

/// proc_pid_syscall(5): `running`, or -1 outside of a call, or the number of the call and its
/// arguments.
fn system_call(line: &str) -> Option<String> {
    let number: u32 = line.split_ascii_whitespace().next()?.parse().ok()?;
    let known = CALLS.iter().find(|(_, call)| *call == number);
    Some(known.map_or_else(
        || format!("system call {number}"),
        |(name, _)| (*name).to_owned(),
    ))
}

/// Calls in which threads wait (the kernel's syscall_64.tbl).
#[cfg(target_arch = "x86_64")]
const CALLS: &[(&str, u32)] = &[
    ("read", 0),
    ("write", 1),
    ("open", 2),
    ("poll", 7),
    ("ioctl", 16),
    ("pread64", 17),
    ("readv", 19),
    ("writev", 20),
    ("select", 23),
    ("nanosleep", 35),
    ("sendfile", 40),
    ("connect", 42),
    ("accept", 43),
    ("sendto", 44),
    ("recvfrom", 45),
    ("sendmsg", 46),
    ("recvmsg", 47),
    ("wait4", 61),
    ("fcntl", 72),
    ("flock", 73),
    ("fsync", 74),
    ("fdatasync", 75),
    ("futex", 202),
    ("clock_nanosleep", 230),
    ("epoll_wait", 232),
    ("waitid", 247),
    ("openat", 257),
    ("pselect6", 270),
    ("ppoll", 271),
    ("epoll_pwait", 281),
    ("accept4", 288),
    ("epoll_pwait2", 441),
];

/// Calls in which threads wait (the kernel's unistd.h for new architectures).
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
const CALLS: &[(&str, u32)] = &[
    ("epoll_pwait", 22),
    ("fcntl", 25),
    ("ioctl", 29),
    ("flock", 32),
    ("openat", 56),
    ("read", 63),
    ("write", 64),
    ("readv", 65),
    ("writev", 66),
    ("pread64", 67),
    ("sendfile", 71),
    ("pselect6", 72),
    ("ppoll", 73),
    ("fsync", 82),
    ("fdatasync", 83),
    ("waitid", 95),
    ("futex", 98),
    ("nanosleep", 101),
    ("clock_nanosleep", 115),
    ("accept", 202),
    ("connect", 203),
    ("sendto", 206),
    ("recvfrom", 207),
    ("sendmsg", 211),
    ("recvmsg", 212),
    ("accept4", 242),
    ("wait4", 260),
    ("epoll_pwait2", 441),
];

#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64"
)))]
const CALLS: &[(&str, u32)] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_anything() {
        let stat = "123 (a) R (b) S 1 1 1 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 4 0 99 0";
        let thread = parse_stat(stat, 100).unwrap_or_default();
        assert_eq!(
            (thread.name.as_str(), thread.state.as_str()),
            ("a) R (b", "sleeping")
        );
        assert_eq!(thread.busy, Duration::from_secs(2));
        for broken in [
            "",
            "1 (a",
            "1 (a) S",
            "1 (a) S 1 1 1 0 -1 4194304 1 0 0 0 x 50",
        ] {
            assert_eq!(parse_stat(broken, 100), None, "{broken}");
        }
    }

    #[test]
    fn calls_have_names() {
        assert_eq!(system_call("running\n"), None);
        assert_eq!(system_call("-1 0x7ff 0x7f\n"), None);
        let futex = CALLS.iter().find(|(name, _)| *name == "futex");
        if let Some((_, number)) = futex {
            assert_eq!(
                system_call(&format!("{number} 0x1 0x2")).as_deref(),
                Some("futex")
            );
        }
        assert_eq!(
            system_call("99999 0x1").as_deref(),
            Some("system call 99999")
        );
    }

    #[test]
    fn this_thread_runs() {
        let own = rustix::thread::gettid()
            .as_raw_nonzero()
            .get()
            .cast_unsigned();
        let thread = look_at(own).unwrap_or_default();
        assert_eq!(thread.state, "running");
        assert_eq!(look_at(u32::MAX), None);
    }
}
