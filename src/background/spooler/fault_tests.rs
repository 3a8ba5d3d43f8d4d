//! Tests in which file operations fail, one by one and at random, and in which the process ends in
//! between: no acknowledged task is lost, and none that is acknowledged as done runs again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::directory::{Directory, Outcome, RetryRules, Running};
use super::disk::{BeforeStep, Disk, Step};
use super::folder::{BROKEN, Claim, FAILED, Folder, NewTask, NotClaimed};
use super::format::Packet;
use super::name;

fn folder(path: &Path, before: Option<BeforeStep>) -> Folder {
    Folder {
        path: path.to_owned(),
        disk: Disk { before },
        is_durable: true,
        host: "host".to_owned(),
    }
}

fn task(text: &str) -> NewTask {
    NewTask {
        packet: Packet {
            pairs: vec![(b"id".to_vec(), text.as_bytes().to_vec())],
            body: b"body".to_vec(),
        },
        ..NewTask::default()
    }
}

fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

/// The ids of all tasks below the directory, each with the number of its files. All can be read.
fn ids(path: &Path) -> BTreeMap<String, usize> {
    let clean = folder(path, None);
    let mut paths: Vec<_> = clean
        .scan()
        .expect("a list")
        .into_iter()
        .map(|one| one.path)
        .collect();
    for aside in [FAILED, BROKEN] {
        let files = clean.disk.list(&path.join(aside)).unwrap_or_default();
        let tasks = files.into_iter().filter(|(name, _)| name::is_task(name));
        paths.extend(tasks.map(|(_, path)| path));
    }
    let mut ids = BTreeMap::new();
    for path in paths {
        let bytes = std::fs::read(&path).expect("a task");
        let packet = Packet::decode(&bytes).expect("a whole task");
        let id = packet.value(b"id").expect("an id").to_vec();
        *ids.entry(String::from_utf8(id).expect("text")).or_default() += 1;
    }
    ids
}

#[test]
fn a_task_is_on_the_disk_before_it_has_its_name() {
    let place = tempfile::tempdir().expect("a folder");
    let steps = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&steps);
    let before: BeforeStep = Arc::new(move |step| {
        noted.lock().push(step);
        Ok(())
    });
    let folder = folder(place.path(), Some(before));
    let later = NewTask {
        at: Some(SystemTime::now()),
        priority: Some(3),
        ..task("a")
    };
    let path = folder.add(&later).expect("room");
    assert!(path.starts_with(place.path().join("3")));
    let expected = [
        Step::MakeFolder,
        Step::SyncFolder,
        Step::Create,
        Step::Write,
        Step::SetTime,
        Step::Sync,
        Step::Rename,
        Step::SyncFolder,
    ];
    assert_eq!(*steps.lock(), expected);
    let claim = folder.claim(&path).expect("it is due");
    steps.lock().clear();
    folder.done(&claim).expect("it goes");
    assert_eq!(*steps.lock(), [Step::Remove]);
}

/// Fails step `at`, and with `dies` all that follow it.
fn failing(at: usize, dies: bool) -> BeforeStep {
    let count = AtomicUsize::new(0);
    Arc::new(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        if number == at || (dies && number > at) {
            return Err(full());
        }
        Ok(())
    })
}

#[test]
fn whatever_step_fails_a_task_is_acknowledged_or_does_not_exist() {
    for dies in [false, true] {
        for at in 0..40 {
            let place = tempfile::tempdir().expect("a folder");
            let faulty = folder(place.path(), Some(failing(at, dies)));
            let added = faulty.add(&NewTask {
                priority: Some(1),
                at: Some(SystemTime::now()),
                ..task("a")
            });
            let there = ids(place.path());
            match &added {
                Ok(_) => assert_eq!(there.get("a"), Some(&1), "step {at}"),
                // A process that dies after the rename could not say so.
                Err(_) if dies => assert!(there.values().all(|files| *files == 1), "step {at}"),
                Err(_) => assert!(there.is_empty(), "step {at}: {there:?}"),
            }
            let Ok(path) = added else {
                continue;
            };
            let claimed = faulty.claim(&path);
            let is_done = claimed.is_ok_and(|claim: Claim| faulty.done(&claim).is_ok());
            let there = ids(place.path());
            assert!(!(is_done && there.contains_key("a")), "step {at}");
        }
    }
}

/// A generator of numbers: the same for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

fn id_of(running: &Running) -> String {
    let id = running.claim.packet.value(b"id").unwrap_or_default();
    String::from_utf8_lossy(id).into_owned()
}

#[derive(Default)]
struct Acknowledged {
    added: BTreeSet<String>,
    /// The handler said so; the file may have gone later, or stay.
    ended: BTreeSet<String>,
    done: BTreeSet<String>,
}

/// One life of a process over the directory: adds and runs tasks while steps fail, then dies.
fn live(place: &Path, seed: u64, told: &mut Acknowledged) {
    let faults = Mutex::new(Random(seed));
    let before: BeforeStep = Arc::new(move |_| match faults.lock().below(12) {
        0 => Err(full()),
        _ => Ok(()),
    });
    let mut random = Random(seed.wrapping_mul(31));
    let rules = RetryRules {
        delay: (random.below(2) == 0).then_some(Duration::from_nanos(1)),
        tries_max: (random.below(2) == 0).then_some(2),
    };
    let folder = folder(place, Some(before));
    let directory = Directory::new(folder, false, Duration::ZERO, rules);
    let mut running: Vec<Running> = Vec::new();
    for number in 0..12 {
        if random.below(2) == 0 {
            let id = format!("{seed}-{number}");
            let priority = (random.below(4) == 0).then_some(1);
            let new = NewTask {
                priority,
                ..task(&id)
            };
            if directory.add(&new).is_ok() {
                told.added.insert(id);
            }
        }
        if random.below(2) == 0
            && let Some(next) = directory.next(&|| false, &|| true, Some(Instant::now()))
        {
            let id = id_of(&next);
            assert!(!told.done.contains(&id), "{id} is done and runs again");
            running.push(next);
        }
        if random.below(2) == 0
            && let Some(one) = running.pop()
        {
            let id = id_of(&one);
            let outcome = match random.below(6) {
                0 => Outcome::Retry,
                1 => Outcome::Raised("why".to_owned()),
                2 => Outcome::Ignored,
                _ => Outcome::Done,
            };
            if outcome == Outcome::Done {
                told.ended.insert(id.clone());
            }
            if directory.finish(one, outcome) {
                told.done.insert(id);
            }
        }
    }
    // The process dies: what runs is unlocked, and nothing is written.
}

#[test]
fn two_thousand_lives_lose_no_task_and_repeat_none() {
    let mut told = Acknowledged::default();
    let place = tempfile::tempdir().expect("a folder");
    let mut added = 0;
    for seed in 0..2500 {
        live(place.path(), seed, &mut told);
        if seed % 25 == 0 {
            let there = ids(place.path());
            for id in &told.added {
                let files = there.get(id).copied().unwrap_or(0);
                let least = usize::from(!told.ended.contains(id));
                let most = usize::from(!told.done.contains(id));
                assert!((least..=most).contains(&files), "seed {seed}, task {id}");
            }
            assert!(there.values().all(|files| *files == 1), "seed {seed}");
            // Tasks that are tried no more would only pile up: the next lives begin anew.
            added += std::mem::take(&mut told).added.len();
            drop(std::fs::remove_dir_all(place.path()));
            std::fs::create_dir(place.path()).expect("a folder");
        }
    }
    assert!(added > 2000, "{added}");
}

#[test]
fn files_that_are_no_tasks_are_set_aside() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = folder(place.path(), None);
    let name = name::new_name("host");
    let path = place.path().join(&name);
    std::fs::write(&path, b"\x11\x09\0\0short").expect("a file");
    assert!(
        matches!(folder.claim(&path), Err(NotClaimed::Locked)),
        "its writer may go on"
    );
    let old = SystemTime::now() - Duration::from_secs(3600);
    let file = std::fs::File::options().write(true).open(&path);
    file.and_then(|file| file.set_modified(old))
        .expect("a time");
    assert!(matches!(folder.claim(&path), Err(NotClaimed::Broken(_))));
    assert!(place.path().join(BROKEN).join(&name).exists());
    std::fs::write(&path, b"not a task at all").expect("a file");
    assert!(matches!(folder.claim(&path), Err(NotClaimed::Broken(_))));
}

#[test]
fn a_task_that_runs_is_claimed_by_no_one_else() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = folder(place.path(), None);
    let path = folder.add(&task("a")).expect("room");
    let claim = folder.claim(&path).expect("it is due");
    assert!(matches!(folder.claim(&path), Err(NotClaimed::Locked)));
    drop(claim);
    let claim = folder.claim(&path).expect("it is free");
    folder.done(&claim).expect("it goes");
    assert!(matches!(folder.claim(&path), Err(NotClaimed::Gone)));
}

#[test]
fn a_task_that_fails_for_good_is_kept_with_its_traceback_and_can_begin_anew() {
    let place = tempfile::tempdir().expect("a folder");
    let rules = RetryRules {
        delay: None,
        tries_max: Some(2),
    };
    let directory = Directory::new(folder(place.path(), None), false, Duration::ZERO, rules);
    let path = directory.add(&task("a")).expect("room");
    for _ in 0..2 {
        let next = directory.next(&|| false, &|| true, None).expect("a task");
        directory.finish(next, Outcome::Raised("Traceback\nKeyError: 1".to_owned()));
    }
    let kept = place
        .path()
        .join(FAILED)
        .join(path.file_name().expect("a name"));
    let tries = Folder::tries_of(&kept);
    assert_eq!((tries.count, &*tries.why), (2, "Traceback\nKeyError: 1"));
    assert!(directory.tasks().expect("a list").is_empty());
    directory.folder.retry(&kept).expect("it is there");
    let next = directory.next(&|| false, &|| true, None).expect("a task");
    directory.finish(next, Outcome::Done);
    assert!(ids(place.path()).is_empty());
}

#[test]
fn a_task_that_cannot_be_removed_does_not_run_again() {
    let place = tempfile::tempdir().expect("a folder");
    let is_broken = Arc::new(AtomicUsize::new(1));
    let seen = Arc::clone(&is_broken);
    let before: BeforeStep = Arc::new(move |step| match step {
        Step::Remove if seen.load(Ordering::SeqCst) == 1 => Err(full()),
        _ => Ok(()),
    });
    let rules = RetryRules::default();
    let disk = folder(place.path(), Some(before));
    let directory = Directory::new(disk, false, Duration::ZERO, rules);
    directory.add(&task("a")).expect("room");
    let next = directory.next(&|| false, &|| true, None).expect("a task");
    directory.finish(next, Outcome::Done);
    let again = || directory.next(&|| false, &|| true, Some(Instant::now()));
    assert!(again().is_none());
    let other = folder(place.path(), None);
    let path = other.scan().expect("a list")[0].path.clone();
    assert!(matches!(other.claim(&path), Err(NotClaimed::Locked)));
    is_broken.store(0, Ordering::SeqCst);
    assert!(again().is_none());
    assert!(ids(place.path()).is_empty());
}
