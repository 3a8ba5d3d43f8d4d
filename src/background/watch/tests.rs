//! Watching real files in a temporary folder. Every wait is for a report and has a bound; that
//! nothing else was reported is shown by a later report that comes first.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam::channel::{Receiver, unbounded};
use tempfile::TempDir;

use super::FileWatch;

/// A test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

struct Watched {
    folder: TempDir,
    watch: FileWatch,
}

impl Watched {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            watch: FileWatch::start().expect("a thread"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, text).expect("a file");
    }

    fn add(&self, name: &str) -> Receiver<PathBuf> {
        let (reports, reported) = unbounded();
        self.watch.add(&self.path(name), move |path: &Path| {
            reports.send(path.to_path_buf()).ok();
        });
        reported
    }

    fn add_tree(&self, name: &str) -> Receiver<PathBuf> {
        let (reports, reported) = unbounded();
        self.watch.add_tree(&self.path(name), move |path: &Path| {
            reports.send(path.to_path_buf()).ok();
        });
        reported
    }
}

fn next(reported: &Receiver<PathBuf>) -> PathBuf {
    reported.recv_timeout(PATIENCE).expect("a report")
}

#[test]
fn a_burst_of_writes_is_not_as_many_reports() {
    const WRITES: usize = 500;
    let files = Watched::new();
    let (a, last) = (files.add("a"), files.add("last"));
    for number in 0..WRITES {
        files.write("a", &"x".repeat(number));
    }
    assert_eq!(next(&a), files.path("a"));
    files.write("last", "");
    next(&last);
    // A machine that stalls between two writes splits a burst; it does not do so at every tenth.
    assert!(a.len() < WRITES / 10, "{} reports", a.len());
}

#[test]
fn touching_a_file_counts() {
    let files = Watched::new();
    files.write("a", "same");
    let a = files.add("a");
    let file = fs::File::options()
        .append(true)
        .open(files.path("a"))
        .expect("the file");
    file.set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000))
        .expect("a time");
    next(&a);
}

#[test]
fn a_file_that_another_is_renamed_over_is_reported() {
    let files = Watched::new();
    files.write("a", "old");
    let a = files.add("a");
    for text in ["new", "old"] {
        files.write("draft", text);
        fs::rename(files.path("draft"), files.path("a")).expect("a rename");
        next(&a);
    }
}

#[test]
fn a_missing_file_is_reported_when_it_appears_even_in_a_folder_that_is_missing() {
    let files = Watched::new();
    let (here, there) = (files.add("here"), files.add("not/yet/there"));
    files.write("here", "");
    next(&here);
    files.write("not/yet/there", "");
    assert_eq!(next(&there), files.path("not/yet/there"));
    files.write("not/yet/there", "again");
    next(&there);
}

#[test]
fn a_file_that_goes_away_is_not_reported_but_its_successor_is() {
    let files = Watched::new();
    files.write("a", "1");
    let a = files.add("a");
    fs::remove_file(files.path("a")).expect("removed");
    files.write("a", "22");
    next(&a);
}

#[test]
fn neighbours_are_not_reported() {
    let files = Watched::new();
    files.write("a", "");
    files.write("b", "");
    let (a, b) = (files.add("a"), files.add("b"));
    files.write("b", "changed");
    next(&b);
    files.write("b", "changed again");
    next(&b);
    assert!(a.is_empty());
}

#[test]
fn what_was_removed_is_not_reported() {
    let files = Watched::new();
    files.write("a", "");
    let (reports, reported) = unbounded::<PathBuf>();
    let id = files.watch.add(&files.path("a"), move |path: &Path| {
        reports.send(path.to_path_buf()).ok();
    });
    let again = files.add("a");
    files.watch.remove(id);
    files.write("a", "changed");
    next(&again);
    assert!(reported.is_empty());
}

#[test]
fn a_folder_changes_with_what_is_in_it() {
    let files = Watched::new();
    files.write("folder/a", "");
    let folder = files.add("folder");
    files.write("folder/b", "");
    next(&folder);
    fs::remove_file(files.path("folder/b")).expect("removed");
    next(&folder);
}

#[cfg(unix)]
#[test]
fn a_swapped_symlink_is_a_change_at_any_place_of_the_path() {
    use std::os::unix::fs::symlink;
    let files = Watched::new();
    files.write("one/touch", "1");
    files.write("two/touch", "2");
    symlink("one", files.path("current")).expect("a link");
    symlink("current/touch", files.path("link")).expect("a link");
    let (inside, link) = (files.add("current/touch"), files.add("link"));
    symlink("two", files.path("next")).expect("a link");
    fs::rename(files.path("next"), files.path("current")).expect("a rename");
    assert_eq!(next(&inside), files.path("current/touch"));
    assert_eq!(next(&link), files.path("link"));
    // And the file at its new place is watched.
    files.write("two/touch", "333");
    next(&inside);
    next(&link);
}

#[test]
fn a_folder_that_is_made_anew_is_still_watched() {
    let files = Watched::new();
    files.write("folder/a", "1");
    let a = files.add("folder/a");
    fs::remove_dir_all(files.path("folder")).expect("removed");
    files.write("folder/a", "22");
    next(&a);
    files.write("folder/a", "333");
    next(&a);
}

#[test]
fn a_tree_reports_changed_and_new_files_at_any_depth() {
    let files = Watched::new();
    files.write("app/a.py", "");
    files.write("app/deep/er/b.py", "");
    let tree = files.add_tree("app");
    files.write("app/deep/er/b.py", "changed");
    assert_eq!(next(&tree), files.path("app/deep/er/b.py"));
    files.write("app/new/folder/c.py", "");
    assert_eq!(next(&tree), files.path("app/new/folder/c.py"));
    files.write("app/new/folder/c.py", "changed");
    assert_eq!(next(&tree), files.path("app/new/folder/c.py"));
}

#[test]
fn a_tree_leaves_out_what_tools_keep_and_what_lies_beside_it() {
    let files = Watched::new();
    files.write("app/a.py", "");
    files.write("app/__pycache__/a.pyc", "");
    files.write("app/.git/index", "");
    let tree = files.add_tree("app");
    files.write("app/__pycache__/a.pyc", "changed");
    files.write("app/.git/index", "changed");
    files.write("beside.py", "");
    files.write("app/a.py", "changed");
    assert_eq!(next(&tree), files.path("app/a.py"));
    files.write("app/a.py", "changed again");
    assert_eq!(next(&tree), files.path("app/a.py"));
    assert!(tree.is_empty());
}

#[test]
fn a_file_and_the_tree_around_it_are_independent() {
    let files = Watched::new();
    files.write("app/a.py", "");
    let (file, tree) = (files.add("app/a.py"), files.add_tree("app"));
    files.write("app/a.py", "changed");
    next(&file);
    next(&tree);
}

#[test]
fn a_tree_that_is_missing_is_reported_when_it_appears() {
    let files = Watched::new();
    let tree = files.add_tree("later");
    files.write("later/a.py", "");
    assert_eq!(next(&tree), files.path("later/a.py"));
    files.write("later/a.py", "changed");
    assert_eq!(next(&tree), files.path("later/a.py"));
}

#[test]
fn dropping_the_watch_from_a_callback_is_no_deadlock() {
    let files = tempfile::tempdir().expect("a folder");
    let path = files.path().join("a");
    let watch = std::sync::Arc::new(FileWatch::start().expect("a thread"));
    let last = parking_lot::Mutex::new(Some(std::sync::Arc::clone(&watch)));
    let (reports, reported) = unbounded();
    watch.add(&path, move |_| {
        drop(last.lock().take());
        reports.send(()).expect("the test listens");
    });
    drop(watch);
    fs::write(&path, "").expect("a file");
    reported.recv_timeout(PATIENCE).expect("a report");
}
