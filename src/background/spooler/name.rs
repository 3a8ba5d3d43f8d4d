//! Names of tasks, as uWSGI makes them, and the order in which tasks start.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Every task begins with this.
const PREFIX: &str = "uwsgi_spoolfile_on_";
/// A file that is being written; no spooler looks at it.
const UNFINISHED: &str = ".new_";
/// How often a task was tried, and the last failure.
const TRIES: &str = ".tries_";

/// Tasks that this process has named.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A new name on this machine.
pub fn new_name(host: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or(Duration::ZERO);
    let random = RandomState::new().build_hasher().finish() >> 33;
    let counter = COUNTER.fetch_add(1, Ordering::Relaxed) + 1;
    // A separator in it would be one in the path.
    let host = host.replace(['/', '\\'], "-");
    format!(
        "{PREFIX}{host}_{}_{counter}_{random}_{}_{}",
        std::process::id(),
        since.as_secs(),
        since.subsec_micros()
    )
}

pub fn is_task(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The name of a task while it is written.
pub fn unfinished(name: &str) -> String {
    format!("{UNFINISHED}{name}")
}

/// How old an unfinished file of this name is; `None`: it is no such file.
pub fn age_of_unfinished(name: &str, now: SystemTime) -> Option<Duration> {
    let name = name.strip_prefix(UNFINISHED)?;
    let made = UNIX_EPOCH + Duration::from_secs(times_of(name)?.0);
    Some(now.duration_since(made).unwrap_or(Duration::ZERO))
}

/// The name of the file that notes how often a task was tried.
pub fn tries(name: &str) -> String {
    format!("{TRIES}{name}")
}

/// The task that such a file is about.
pub fn task_of_tries(name: &str) -> Option<&str> {
    name.strip_prefix(TRIES)
}

/// The priority that a folder stands for: uWSGI takes numbers.
pub fn priority_of(folder: &str) -> Option<u64> {
    let is_number = !folder.is_empty() && folder.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| folder.parse().ok()).flatten()
}

/// Seconds, microseconds and the counter at the end of a name.
fn times_of(name: &str) -> Option<(u64, u64, u64)> {
    let mut parts = name.rsplit('_').map(|part| part.parse::<u64>());
    let (micros, seconds) = (parts.next()?.ok()?, parts.next()?.ok()?);
    let (_random, counter) = (parts.next()?.ok()?, parts.next()?.ok()?);
    Some((seconds, micros, counter))
}

/// The place of a task among the others: tasks with a priority first, low numbers before high ones,
/// and then in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The last ones have none.
    rank: u64,
    times: (u64, u64, u64),
    /// Where the task lies.
    pub path: PathBuf,
}

impl Place {
    pub fn new(priority: Option<u64>, name: &str, path: PathBuf) -> Self {
        Self {
            rank: priority.unwrap_or(u64::MAX),
            times: times_of(name).unwrap_or_default(),
            path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(priority: Option<u64>, name: &str) -> Place {
        Place::new(priority, name, PathBuf::from(name))
    }

    #[test]
    fn names_are_uwsgis_and_none_comes_twice() {
        let (first, second) = (new_name("a/b"), new_name("host_1"));
        assert!(first.starts_with("uwsgi_spoolfile_on_a-b_"), "{first}");
        assert!(is_task(&second) && !is_task(&unfinished(&second)) && !is_task(&tries(&second)));
        assert!(times_of(&first) < times_of(&second), "{first} {second}");
        assert!(age_of_unfinished(&unfinished(&first), SystemTime::now()).is_some());
        assert_eq!(age_of_unfinished(&first, SystemTime::now()), None);
    }

    #[test]
    fn tasks_start_by_priority_and_then_by_time() {
        let mut places = [
            place(None, "uwsgi_spoolfile_on_h_9_1_5_100_2"),
            place(None, "uwsgi_spoolfile_on_h_9_2_5_100_1"),
            place(Some(10), "uwsgi_spoolfile_on_h_9_3_5_101_0"),
            place(Some(2), "uwsgi_spoolfile_on_h_9_4_5_102_0"),
        ];
        places.sort();
        let last: Vec<_> = places.iter().map(|place| place.times.2).collect();
        assert_eq!(last, [4, 3, 2, 1]);
        assert_eq!(priority_of("07"), Some(7));
        assert_eq!((priority_of("x1"), priority_of("")), (None, None));
    }
}
