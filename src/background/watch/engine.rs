//! The state of the watching thread `sm-watch`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use notify::RecursiveMode;

use super::WatchId;
use super::fingerprint::{
    Fingerprint, Identity, QUIET, Seen, State, identity_of, is_skipped, walk,
};
use super::kernel::{Kernel, folders_of};

/// The interval of checks for a file in a folder that the kernel does not watch.
const POLL: Duration = Duration::from_secs(1);
/// The interval of checks for watched single files, and for moved trees.
const DOUBT: Duration = Duration::from_secs(5);
/// After a walk a tree rests this many times as long as the walk took.
const REST_PER_WALK: u32 = 50;

pub(super) type OnChange = Box<dyn Fn(&Path) + Send>;

pub(super) enum Message {
    Add(WatchId, PathBuf, Option<Fingerprint>, OnChange),
    AddTree(WatchId, PathBuf, Vec<(PathBuf, Fingerprint)>, OnChange),
    Remove(WatchId),
    /// Paths with kernel events; an empty list: any path.
    Hint(Vec<PathBuf>),
    Stop,
}

struct File {
    path: PathBuf,
    state: State,
    on_change: OnChange,
    /// The folders in which changes show: its own, and the target's of symlinks.
    folders: Vec<PathBuf>,
    next_look: Instant,
    last_look: Option<Instant>,
}

struct Tree {
    root: PathBuf,
    /// The watched root without symlinks, and its identity. `None`: not watched.
    watched: Option<(PathBuf, Identity)>,
    files: HashMap<PathBuf, State>,
    pending: HashMap<PathBuf, Instant>,
    on_change: OnChange,
    /// Events may have been missed: walk the tree.
    needs_walk: bool,
    next_check: Instant,
}

pub(super) struct Engine {
    folders: Kernel,
    /// Apart from the folders: one may be both.
    roots: Kernel,
    files: HashMap<WatchId, File>,
    trees: HashMap<WatchId, Tree>,
}

impl Engine {
    pub(super) fn new(hints: &Sender<Message>) -> Self {
        Self {
            folders: Kernel::new(RecursiveMode::NonRecursive, hints),
            roots: Kernel::new(RecursiveMode::Recursive, hints),
            files: HashMap::new(),
            trees: HashMap::new(),
        }
    }

    pub(super) fn run(mut self, received: &Receiver<Message>) {
        loop {
            let message = match self.next_look() {
                Some(at) => received.recv_deadline(at),
                None => received.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // A burst of hints causes one check.
            while let Ok(message) = received.try_recv() {
                if matches!(message, Message::Stop) {
                    return;
                }
                self.take(message);
            }
            self.look(Instant::now());
        }
    }

    fn next_look(&self) -> Option<Instant> {
        let files = self.files.values().map(|file| file.next_look);
        let trees = self.trees.values().flat_map(|tree| {
            let pending = tree.pending.values().copied();
            pending.chain([tree.next_check])
        });
        files.chain(trees).min()
    }

    fn take(&mut self, message: Message) {
        let now = Instant::now();
        match message {
            Message::Add(id, path, known, on_change) => {
                let file = File {
                    path,
                    state: State::new(known),
                    on_change,
                    folders: Vec::new(),
                    next_look: now,
                    last_look: None,
                };
                self.files.insert(id, file);
            }
            Message::AddTree(id, root, known, on_change) => {
                let known = known.into_iter();
                let files = known.map(|(path, print)| (path, State::new(Some(print))));
                let tree = Tree {
                    root,
                    watched: None,
                    files: files.collect(),
                    pending: HashMap::new(),
                    on_change,
                    // Changes since the caller walked it.
                    needs_walk: true,
                    next_check: now,
                };
                self.trees.insert(id, tree);
            }
            Message::Remove(id) => {
                if let Some(file) = self.files.remove(&id) {
                    for folder in &file.folders {
                        self.folders.leave(folder);
                    }
                }
                if let Some((root, _)) = self.trees.remove(&id).and_then(|tree| tree.watched) {
                    self.roots.leave(&root);
                }
            }
            Message::Hint(paths) => self.hint(&paths, now),
            Message::Stop => {}
        }
    }

    fn hint(&mut self, paths: &[PathBuf], now: Instant) {
        for file in self.files.values_mut() {
            let is_meant = paths.is_empty()
                || paths.iter().any(|path| {
                    let parent = path.parent();
                    file.folders
                        .iter()
                        .any(|folder| folder == path || Some(folder.as_path()) == parent)
                });
            if is_meant && !file.state.is_unsettled() {
                // Limits the checks in a busy folder, for example of logs.
                let earliest = file.last_look.map_or(now, |last| last + QUIET / 2);
                file.next_look = file.next_look.min(earliest.max(now));
            }
        }
        for tree in self.trees.values_mut() {
            if paths.is_empty() {
                tree.needs_walk = true;
                tree.next_check = now;
            }
            let Some((watched, _)) = &tree.watched else {
                continue;
            };
            for path in paths {
                let Ok(relative) = path.strip_prefix(watched) else {
                    continue;
                };
                if is_skipped(relative) {
                    continue;
                }
                let path = tree.root.join(relative);
                if path.is_dir() {
                    // Made or moved here: its content is unknown.
                    tree.needs_walk = true;
                    tree.next_check = tree.next_check.min(now + QUIET / 2);
                } else {
                    tree.pending.entry(path).or_insert(now);
                }
            }
        }
    }

    fn look(&mut self, now: Instant) {
        for file in self.files.values_mut() {
            if file.next_look <= now {
                file.follow(&mut self.folders);
                file.look(now);
            }
        }
        for tree in self.trees.values_mut() {
            if tree.next_check <= now {
                tree.follow(&mut self.roots);
                tree.check(now);
            }
            tree.look(now);
        }
    }
}

impl File {
    /// Watches the right folders: symlinks may have changed.
    fn follow(&mut self, folders: &mut Kernel) {
        let before = std::mem::take(&mut self.folders);
        let wanted = folders_of(&self.path);
        // First the new, then the old ones, so that no folder is unwatched in between.
        let watched = wanted.into_iter().filter(|folder| folders.watch(folder));
        self.folders = watched.collect();
        for folder in &before {
            folders.leave(folder);
        }
    }

    fn look(&mut self, now: Instant) {
        self.last_look = Some(now);
        let seen = self.state.look(now, Fingerprint::of(&self.path));
        self.next_look = now
            + match seen {
                Seen::Unsettled => QUIET,
                _ if self.folders.is_empty() => POLL,
                _ => DOUBT,
            };
        if seen == Seen::Changed {
            (self.on_change)(&self.path);
        }
    }
}

impl Tree {
    fn follow(&mut self, roots: &mut Kernel) {
        let real = fs::canonicalize(&self.root).ok();
        let found = real.and_then(|real| identity_of(&real).map(|identity| (real, identity)));
        if found == self.watched {
            return;
        }
        let before = self.watched.take();
        self.watched = found.filter(|(real, _)| roots.watch(real));
        if let Some((root, _)) = before {
            roots.leave(&root);
        }
        // Another tree, or one that has come back.
        self.needs_walk = true;
    }

    /// Looks for files that no hint has named, if there is a reason.
    fn check(&mut self, now: Instant) {
        let is_watched = self.watched.is_some();
        let pause = if is_watched { DOUBT } else { POLL };
        if !std::mem::replace(&mut self.needs_walk, false) && is_watched {
            self.next_check = now + pause;
            return;
        }
        let (files, pending) = (&self.files, &mut self.pending);
        walk(&self.root, &mut |path, print| {
            if files
                .get(path)
                .is_none_or(|state| !state.is_known_as(print))
            {
                pending.entry(path.to_path_buf()).or_insert(now);
            }
        });
        self.next_check = now + pause.max(now.elapsed() * REST_PER_WALK);
    }

    fn look(&mut self, now: Instant) {
        let due: Vec<PathBuf> = self
            .pending
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(path, _)| path.clone())
            .collect();
        for path in due {
            self.pending.remove(&path);
            let print = Fingerprint::of(&path);
            let state = self
                .files
                .entry(path.clone())
                .or_insert_with(|| State::new(None));
            match state.look(now, print) {
                Seen::Missing => {
                    self.files.remove(&path);
                }
                Seen::Same => {}
                Seen::Unsettled => {
                    self.pending.insert(path, now + QUIET);
                }
                Seen::Changed => (self.on_change)(&path),
            }
        }
    }
}
