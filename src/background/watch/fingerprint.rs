//! Fingerprints of files, and the rules for when a changed file is stable. Pure: the time is an
//! argument.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// A file with two equal fingerprints this far apart is stable.
pub(super) const QUIET: Duration = Duration::from_millis(100);
/// An unstable file is reported this long after its first change.
const UNREST_MAX: Duration = Duration::from_secs(2);

/// The state of a file. A symlink on the way that points elsewhere is a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    modified: Option<SystemTime>,
    bytes: u64,
    identity: Identity,
}

/// Device and number; zeros where the system has none.
pub(super) type Identity = (u64, u64);

pub(super) fn identity_of(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|facts| identity(&facts))
}

impl Fingerprint {
    /// `None` if the file is missing or not accessible.
    pub(super) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|facts| Self::from(&facts))
    }
}

impl From<&fs::Metadata> for Fingerprint {
    fn from(facts: &fs::Metadata) -> Self {
        Self {
            modified: facts.modified().ok(),
            bytes: facts.len(),
            identity: identity(facts),
        }
    }
}

#[cfg(unix)]
fn identity(facts: &fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (facts.dev(), facts.ino())
}

#[cfg(not(unix))]
fn identity(_facts: &fs::Metadata) -> Identity {
    (0, 0)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Missing,
    /// As reported last, or as at first.
    Same,
    /// Changed and perhaps still being written: check again after [`QUIET`].
    Unsettled,
    Changed,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    known: Option<Fingerprint>,
    unsettled: Option<(Fingerprint, Instant)>,
}

impl State {
    /// The state of a file that is not reported as it is now; `None`: missing, reported when it
    /// appears.
    pub(super) fn new(known: Option<Fingerprint>) -> Self {
        Self {
            known,
            unsettled: None,
        }
    }

    pub(super) fn is_known_as(&self, print: Fingerprint) -> bool {
        self.known == Some(print)
    }

    pub(super) fn is_unsettled(&self) -> bool {
        self.unsettled.is_some()
    }

    /// Judges a check at `now`. Checks are at least [`QUIET`] apart while the file is unstable.
    ///
    /// A file that disappears and comes back unchanged has not changed.
    pub(super) fn look(&mut self, now: Instant, found: Option<Fingerprint>) -> Seen {
        let Some(found) = found else {
            self.unsettled = None;
            return Seen::Missing;
        };
        if self.known == Some(found) {
            self.unsettled = None;
            return Seen::Same;
        }
        match self.unsettled {
            Some((before, since))
                if before == found || now.saturating_duration_since(since) >= UNREST_MAX =>
            {
                *self = Self::new(Some(found));
                Seen::Changed
            }
            before => {
                let since = before.map_or(now, |(_, since)| since);
                self.unsettled = Some((found, since));
                Seen::Unsettled
            }
        }
    }
}

/// Folders of tools: large, and no part of an application.
const SKIPPED: &[&str] = &[".git", ".hg", ".svn", "__pycache__", "node_modules"];

pub(super) fn is_skipped(relative: &Path) -> bool {
    relative
        .iter()
        .any(|part| SKIPPED.iter().any(|skipped| part == *skipped))
}

/// Calls `found` with each file below `root`. Symlinked folders are not followed: they may form a
/// circle.
pub(super) fn walk(root: &Path, found: &mut dyn FnMut(&Path, Fingerprint)) {
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        // The folder vanished or may not be read.
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let kind: io::Result<fs::FileType> = entry.file_type();
            if kind.is_ok_and(|kind| kind.is_dir()) {
                if !is_skipped(Path::new(&entry.file_name())) {
                    folders.push(path);
                }
            } else if let Ok(facts) = fs::metadata(&path)
                && facts.is_file()
            {
                found(&path, Fingerprint::from(&facts));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(bytes: u64) -> Option<Fingerprint> {
        Some(Fingerprint {
            modified: None,
            bytes,
            identity: (0, 0),
        })
    }

    #[test]
    fn a_change_is_reported_once_and_only_at_rest() {
        let start = Instant::now();
        let at = |looks: u32| start + QUIET * looks;
        let mut state = State::new(print(1));
        assert_eq!(state.look(at(0), print(1)), Seen::Same);
        assert_eq!(state.look(at(1), print(2)), Seen::Unsettled);
        assert_eq!(state.look(at(2), print(3)), Seen::Unsettled);
        assert_eq!(state.look(at(3), print(3)), Seen::Changed);
        assert_eq!(state.look(at(4), print(3)), Seen::Same);
    }

    #[test]
    fn a_file_that_never_rests_is_reported_now_and_then() {
        let start = Instant::now();
        let mut state = State::new(print(0));
        let reports = (1..=60_u32)
            .filter(|look| {
                state.look(start + QUIET * *look, print(u64::from(*look))) == Seen::Changed
            })
            .count();
        assert!((2..=3).contains(&reports), "{reports}");
    }

    #[test]
    fn gone_and_back_is_no_change_but_gone_and_replaced_is() {
        let now = Instant::now();
        let mut state = State::new(print(1));
        assert_eq!(state.look(now, None), Seen::Missing);
        assert_eq!(state.look(now, print(1)), Seen::Same);
        assert_eq!(state.look(now, None), Seen::Missing);
        assert_eq!(state.look(now, print(2)), Seen::Unsettled);
        assert_eq!(state.look(now + QUIET, print(2)), Seen::Changed);
    }

    #[test]
    fn a_change_that_is_taken_back_in_time_is_none() {
        let now = Instant::now();
        let mut state = State::new(print(1));
        assert_eq!(state.look(now, print(2)), Seen::Unsettled);
        assert_eq!(state.look(now + QUIET, print(1)), Seen::Same);
        assert!(!state.is_unsettled());
    }

    #[test]
    fn a_file_that_was_missing_is_reported_when_it_appears() {
        let now = Instant::now();
        let mut state = State::new(None);
        assert_eq!(state.look(now, None), Seen::Missing);
        assert_eq!(state.look(now, print(0)), Seen::Unsettled);
        assert_eq!(state.look(now + QUIET, print(0)), Seen::Changed);
    }

    #[test]
    fn folders_of_tools_are_left_out() {
        assert!(is_skipped(Path::new("site/.git/index")));
        assert!(is_skipped(Path::new("__pycache__/a.pyc")));
        assert!(!is_skipped(Path::new("site/git/a.py")));
    }
}
