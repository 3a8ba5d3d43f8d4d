//! Reports changed files: touch files, file monitors and the modules of an application.
//!
//! The thread `sm-watch` keeps the state of each file and runs the callbacks; the `notify` crate
//! has a thread for the kernel's events. An event is only a hint to look: a file has changed when
//! its time, size or identity has, also through a rename or a symlink on the way. The content is
//! not read: touching a file is a change, as in uWSGI.
//!
//! Folders are watched, not files, so a file may be missing at first. Where the kernel cannot watch
//! (its limit is reached, the folder is missing), files are checked every second, and single files
//! every five seconds in any case: network file systems report nothing.

mod engine;
mod fingerprint;
mod kernel;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::channel::{Sender, unbounded};

use engine::{Engine, Message, OnChange};
use fingerprint::{Fingerprint, walk};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId(u64);

/// The watching thread. It ends soon after the drop; then nothing is reported.
pub struct FileWatch {
    messages: Sender<Message>,
    next_id: AtomicU64,
}

impl fmt::Debug for FileWatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FileWatch").finish_non_exhaustive()
    }
}

impl FileWatch {
    /// Starts the thread. Call it after everything that forks. If the kernel cannot watch, files
    /// are polled and a warning is logged.
    pub fn start() -> io::Result<Self> {
        let (messages, received) = unbounded();
        let hints = messages.clone();
        std::thread::Builder::new()
            .name("sm-watch".to_owned())
            .spawn(move || Engine::new(&hints).run(&received))?;
        Ok(Self {
            messages,
            next_id: AtomicU64::new(1),
        })
    }

    /// Calls `on_change` on the watching thread when the file has changed and has been stable for
    /// 100 ms: once per burst. Later changes are noticed from the return on. A missing file is
    /// reported when it appears; a removed one is not. A folder changes when an entry is made,
    /// renamed or deleted.
    ///
    /// `on_change` must be quick: it delays other reports.
    pub fn add(&self, path: &Path, on_change: impl Fn(&Path) + Send + 'static) -> WatchId {
        let path = absolute(path);
        let known = Fingerprint::of(&path);
        self.send(|id| Message::Add(id, path, known, Box::new(on_change)))
    }

    /// As [`add`](Self::add), for each file below `path` at any depth, except in symlinked folders
    /// and those of tools: `.git`, `.hg`, `.svn`, `__pycache__`, `node_modules`.
    ///
    /// Walks the tree before it returns: some microseconds per file.
    pub fn add_tree(&self, path: &Path, on_change: impl Fn(&Path) + Send + 'static) -> WatchId {
        let path = absolute(path);
        let mut known = Vec::new();
        walk(&path, &mut |file, print| {
            known.push((file.to_path_buf(), print))
        });
        let on_change: OnChange = Box::new(on_change);
        self.send(|id| Message::AddTree(id, path, known, on_change))
    }

    /// Ends a watch. A report under way may still come.
    pub fn remove(&self, id: WatchId) {
        self.tell(Message::Remove(id));
    }

    fn send(&self, message: impl FnOnce(WatchId) -> Message) -> WatchId {
        let id = WatchId(self.next_id.fetch_add(1, Ordering::Relaxed));
        self.tell(message(id));
        id
    }

    fn tell(&self, message: Message) {
        if self.messages.send(message).is_err() {
            tracing::error!("the thread that watches files has ended; changes go unnoticed");
        }
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        // Not joined: the last owner may be a callback on that thread.
        self.tell(Message::Stop);
    }
}

/// The process may change its directory later; symlinks stay.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

#[cfg(test)]
mod tests;
