//! The folders that the kernel watches, through the `notify` crate. Runs on `sm-watch`; the crate's
//! thread only passes events on.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crossbeam::channel::Sender;
use notify::{Config, ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::engine::Message;
use super::fingerprint::{Identity, identity_of};

pub(super) struct Kernel {
    mode: RecursiveMode,
    hints: Sender<Message>,
    watcher: Option<RecommendedWatcher>,
    /// The kernel's limit was reached, or it cannot watch. Logged once.
    has_failed: bool,
    watched: HashMap<PathBuf, Watched>,
}

struct Watched {
    users: usize,
    /// A folder that was replaced by another of the same name must be watched again.
    identity: Identity,
}

impl Kernel {
    pub(super) fn new(mode: RecursiveMode, hints: &Sender<Message>) -> Self {
        Self {
            mode,
            hints: hints.clone(),
            watcher: None,
            has_failed: false,
            watched: HashMap::new(),
        }
    }

    /// Adds a user of a folder (its real path). Returns whether it is watched.
    pub(super) fn watch(&mut self, folder: &Path) -> bool {
        let Some(identity) = identity_of(folder) else {
            return false;
        };
        if let Some(watched) = self.watched.get_mut(folder)
            && watched.identity == identity
        {
            watched.users += 1;
            return true;
        }
        if !self.ask(folder) {
            return false;
        }
        let watched = self.watched.entry(folder.to_path_buf());
        let watched = watched.or_insert(Watched { users: 0, identity });
        watched.users += 1;
        watched.identity = identity;
        true
    }

    pub(super) fn leave(&mut self, folder: &Path) {
        let Some(watched) = self.watched.get_mut(folder) else {
            return;
        };
        watched.users -= 1;
        if watched.users == 0 {
            self.watched.remove(folder);
            self.forget(folder);
        }
    }

    fn ask(&mut self, folder: &Path) -> bool {
        if self.has_failed {
            return false;
        }
        if self.watched.contains_key(folder) {
            self.forget(folder);
        }
        let asked = match &mut self.watcher {
            Some(watcher) => watcher.watch(folder, self.mode),
            None => self.start().and_then(|mut watcher| {
                let asked = watcher.watch(folder, self.mode);
                self.watcher = Some(watcher);
                asked
            }),
        };
        match asked {
            Ok(()) => true,
            Err(error) => {
                self.forget(folder);
                self.judge(&error, folder);
                false
            }
        }
    }

    fn start(&self) -> notify::Result<RecommendedWatcher> {
        let hints = self.hints.clone();
        let tell = move |event: notify::Result<notify::Event>| {
            let paths = match event {
                Ok(event) if event.need_rescan() => Vec::new(),
                Ok(event) if event.kind.is_access() => return,
                Ok(event) => event.paths,
                // Events were lost: check everything.
                Err(_) => Vec::new(),
            };
            drop(hints.send(Message::Hint(paths)));
        };
        RecommendedWatcher::new(tell, Config::default().with_follow_symlinks(false))
    }

    fn forget(&mut self, folder: &Path) {
        if let Some(watcher) = &mut self.watcher {
            // The folder may be gone already.
            drop(watcher.unwatch(folder));
        }
    }

    fn judge(&mut self, error: &notify::Error, folder: &Path) {
        let why = match &error.kind {
            // It may come back; it is tried again.
            ErrorKind::PathNotFound => return,
            ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            ErrorKind::MaxFilesWatch => {
                "the kernel's limit of watched folders is reached (raise fs.inotify.max_user_watches)"
                    .to_owned()
            }
            ErrorKind::Io(error) => error.to_string(),
            _ => error.to_string(),
        };
        self.has_failed = true;
        tracing::warn!(
            folder = %folder.display(),
            "cannot be told of changed files: {why}; looking every second instead"
        );
    }
}

/// The existing folders, by their real paths, in which changes of the file at `path` show: its own,
/// those of symlinks on the way and of their targets, and the path itself if it is a folder.
pub(super) fn folders_of(path: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut add = |folder: Option<&Path>| {
        if let Some(real) = folder.and_then(|folder| fs::canonicalize(folder).ok())
            && !folders.contains(&real)
        {
            folders.push(real);
        }
    };
    add(path.parent());
    for ancestor in path.ancestors() {
        if ancestor.is_symlink() {
            add(ancestor.parent());
        }
    }
    let real = fs::canonicalize(path).ok();
    add(real.as_deref().and_then(Path::parent));
    add(real.as_deref().filter(|real| real.is_dir()));
    folders
}
