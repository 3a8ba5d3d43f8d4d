//! A spooler's directory. It is the only state: a task is there when its file has its final name,
//! and done when the file is gone.
//!
//! A task is written under another name, synchronised and renamed. Who runs it holds the lock of
//! its file; a process that dies loses the lock, so another one runs the task. What is no task is
//! moved to `broken/`, a task that is tried no more to `failed/`. Any thread; no Python.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::disk::Disk;
use super::format::{Malformed, Packet, TooLarge};
use super::name::{self, Place};

/// Files that are no tasks.
pub const BROKEN: &str = "broken";
/// Tasks that are tried no more.
pub const FAILED: &str = "failed";
/// A writer that needs longer has died.
const UNFINISHED_AGE_MAX: Duration = Duration::from_secs(60 * 60);
/// uWSGI creates a file before it locks and writes it: a short one that is younger may grow.
const SHORT_AGE_MIN: Duration = Duration::from_secs(60);

/// A task that is to be put into a directory.
#[derive(Clone, Debug, Default)]
pub struct NewTask {
    pub packet: Packet,
    /// The number of a sub-directory.
    pub priority: Option<u64>,
    /// Not before this time.
    pub at: Option<SystemTime>,
}

/// Why a task was not accepted. It does not exist then.
#[derive(Debug)]
pub enum NotSpooled {
    TooLarge(TooLarge),
    Disk(PathBuf, io::Error),
}

impl fmt::Display for NotSpooled {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(why) => why.fmt(out),
            Self::Disk(path, error) => write!(out, "cannot write {}: {error}", path.display()),
        }
    }
}

/// Why a task is not run now.
#[derive(Debug)]
pub enum NotClaimed {
    /// It is done, or was removed.
    Gone,
    /// Another process runs it, or still writes it.
    Locked,
    /// Its time has not come.
    Early(SystemTime),
    /// It was no task and is in `broken/` now.
    Broken(Malformed),
    Disk(io::Error),
}

/// How often a task was tried without success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    pub count: u32,
    /// When the last try ended, in seconds since 1970.
    pub last: u64,
    /// The traceback of the last try, if it raised.
    pub why: String,
}

/// A task that this process runs: no other one does before this is dropped.
pub struct Claim {
    pub path: PathBuf,
    pub packet: Packet,
    file: File,
}

/// A directory.
pub struct Folder {
    pub path: PathBuf,
    pub disk: Disk,
    /// Whether changes are on the disk before they are acknowledged.
    pub is_durable: bool,
    /// The name of this machine.
    pub host: String,
}

/// The directory and the name of a path.
fn split(path: &Path) -> (&Path, String) {
    let name = path.file_name().unwrap_or_default();
    let parent = path.parent().unwrap_or(Path::new("."));
    (parent, name.to_string_lossy().into_owned())
}

impl Folder {
    /// Makes the directory if it is missing, as uWSGI does, and checks that it can be written to.
    pub fn prepare(&self) -> io::Result<()> {
        if !self.path.is_dir() {
            fs::create_dir_all(&self.path)?;
        }
        let probe = self
            .path
            .join(name::unfinished(&name::new_name(&self.host)));
        self.disk.create(&probe)?;
        self.disk.remove(&probe)
    }

    /// Puts a task into the directory. After the return it is on the disk.
    pub fn add(&self, task: &NewTask) -> Result<PathBuf, NotSpooled> {
        let bytes = task.packet.encode().map_err(NotSpooled::TooLarge)?;
        let mut folder = self.path.clone();
        if let Some(priority) = task.priority {
            folder.push(priority.to_string());
            self.add_folder(&folder)
                .map_err(|error| NotSpooled::Disk(folder.clone(), error))?;
        }
        let name = name::new_name(&self.host);
        let path = folder.join(&name);
        let unfinished = folder.join(name::unfinished(&name));
        let written = self.write(&unfinished, &bytes, task.at);
        let renamed = written.and_then(|()| self.disk.rename(&unfinished, &path));
        if let Err(error) = renamed {
            // It may not exist.
            drop(self.disk.remove(&unfinished));
            return Err(NotSpooled::Disk(path, error));
        }
        if self.is_durable
            && let Err(error) = self.disk.sync_folder(&folder)
        {
            // A spooler may run it already; otherwise it goes.
            drop(self.disk.remove(&path));
            return Err(NotSpooled::Disk(path, error));
        }
        Ok(path)
    }

    fn write(&self, path: &Path, bytes: &[u8], at: Option<SystemTime>) -> io::Result<()> {
        let mut file = self.disk.create(path)?;
        self.disk.write(&mut file, bytes)?;
        if let Some(at) = at {
            self.disk.set_time(&file, at)?;
        }
        if self.is_durable {
            self.disk.sync(&file)?;
        }
        Ok(())
    }

    fn add_folder(&self, folder: &Path) -> io::Result<()> {
        if self.disk.make_folder(folder)? && self.is_durable {
            self.disk.sync_folder(&self.path)?;
        }
        Ok(())
    }

    /// The tasks in the directory and in those of priorities. Removes what dead writers left.
    pub fn scan(&self) -> io::Result<Vec<Place>> {
        let mut places = Vec::new();
        for (name, path) in self.disk.list(&self.path)? {
            match name::priority_of(&name) {
                Some(priority) if path.is_dir() => {
                    for (name, path) in self.disk.list(&path)? {
                        self.note(Some(priority), &name, path, &mut places);
                    }
                }
                _ => self.note(None, &name, path, &mut places),
            }
        }
        Ok(places)
    }

    fn note(&self, priority: Option<u64>, name: &str, path: PathBuf, places: &mut Vec<Place>) {
        if name::is_task(name) {
            places.push(Place::new(priority, name, path));
        } else if name::age_of_unfinished(name, SystemTime::now())
            .is_some_and(|age| age > UNFINISHED_AGE_MAX)
        {
            tracing::warn!(
                "removing {}: its writer has died, and the task was never acknowledged",
                path.display()
            );
            // The next look tries again.
            drop(self.disk.remove(&path));
        } else if let Some(task) = name::task_of_tries(name)
            && !path.with_file_name(task).exists()
        {
            // Another spooler has done the task.
            drop(self.disk.remove(&path));
        }
    }

    /// The place of a path that was seen to change, if it is that of a task.
    pub fn place_of(&self, path: &Path) -> Option<Place> {
        let (parent, name) = split(path);
        if !name::is_task(&name) {
            return None;
        }
        if parent == self.path {
            return Some(Place::new(None, &name, path.to_owned()));
        }
        let priority = name::priority_of(&split(parent).1);
        let is_ours = priority.is_some() && parent.parent() == Some(&self.path);
        is_ours.then(|| Place::new(priority, &name, path.to_owned()))
    }

    /// When a task may run; `None`: there is no such file.
    pub fn time_of(path: &Path) -> Option<SystemTime> {
        let metadata = fs::symlink_metadata(path).ok()?;
        metadata.is_file().then(|| metadata.modified().ok())?
    }

    /// Locks and reads a task, to run it.
    pub fn claim(&self, path: &Path) -> Result<Claim, NotClaimed> {
        // Neither symlinks nor folders are tasks.
        let time = Self::time_of(path).ok_or(NotClaimed::Gone)?;
        let now = SystemTime::now();
        if time > now {
            return Err(NotClaimed::Early(time));
        }
        let mut file = self.disk.open(path).map_err(of_error)?;
        if !self.disk.lock(&file, path).map_err(of_error)? {
            return Err(NotClaimed::Locked);
        }
        // It may have been given another time meanwhile.
        let time = Self::time_of(path).ok_or(NotClaimed::Gone)?;
        if time > now {
            return Err(NotClaimed::Early(time));
        }
        let bytes = self.disk.read(&mut file).map_err(of_error)?;
        match Packet::decode(&bytes) {
            Ok(packet) => Ok(Claim {
                path: path.to_owned(),
                packet,
                file,
            }),
            Err(Malformed::TooShort)
                if now.duration_since(time).unwrap_or_default() < SHORT_AGE_MIN =>
            {
                Err(NotClaimed::Locked)
            }
            Err(why) => match self.set_aside(path, BROKEN) {
                Ok(to) => {
                    tracing::error!(
                        "{} is no task ({why}); it is kept as {}",
                        path.display(),
                        to.display()
                    );
                    Err(NotClaimed::Broken(why))
                }
                Err(error) => Err(NotClaimed::Disk(error)),
            },
        }
    }

    /// Reads a task that is not being run, whatever its time.
    pub fn read(&self, path: &Path) -> io::Result<Packet> {
        let mut file = self.disk.open(path)?;
        if !self.disk.lock(&file, path)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = self.disk.read(&mut file)?;
        Packet::decode(&bytes).map_err(|why| io::Error::other(why.to_string()))
    }

    /// Moves a file to another directory below this one.
    fn set_aside(&self, path: &Path, folder: &str) -> io::Result<PathBuf> {
        let (parent, name) = split(path);
        let folder = self.path.join(folder);
        self.add_folder(&folder)?;
        let to = folder.join(name);
        self.disk.rename(path, &to)?;
        if self.is_durable {
            self.disk.sync_folder(&folder)?;
            self.disk.sync_folder(parent)?;
        }
        Ok(to)
    }

    /// The handler has said that the task is done: removes it. That is not synchronised, which would
    /// cost more than most tasks: after a crash of the machine a task that was just done runs again.
    pub fn done(&self, claim: &Claim) -> io::Result<()> {
        match self.disk.remove(&claim.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let (parent, name) = split(&claim.path);
        // Most tasks have no such file.
        drop(fs::remove_file(parent.join(name::tries(&name))));
        Ok(())
    }

    /// The task is not to run before this time.
    pub fn postpone(&self, claim: &Claim, until: SystemTime) -> io::Result<()> {
        self.disk.set_time(&claim.file, until)
    }

    /// The task is tried no more.
    pub fn give_up(&self, claim: &Claim) -> io::Result<PathBuf> {
        let (parent, name) = split(&claim.path);
        let to = self.set_aside(&claim.path, FAILED)?;
        let tries = name::tries(&name);
        // The traceback follows; without it the task is as good.
        drop(fs::rename(parent.join(&tries), to.with_file_name(&tries)));
        Ok(to)
    }

    /// Notes a try without success. The note is of no use to the task itself, so it is not synced.
    pub fn note_try(&self, path: &Path, why: &str) -> Tries {
        let mut tries = Self::tries_of(path);
        tries.count += 1;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        tries.last = since.map_or(0, |since| since.as_secs());
        why.clone_into(&mut tries.why);
        let (parent, name) = split(path);
        let text = format!("{}\n{}\n{why}", tries.count, tries.last);
        let to = parent.join(name::tries(&name));
        let unfinished = parent.join(name::unfinished(&name::tries(&name)));
        let written = fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, &to));
        if let Err(error) = written {
            tracing::warn!("cannot note a try in {}: {error}", to.display());
        }
        tries
    }

    pub fn tries_of(path: &Path) -> Tries {
        let (parent, name) = split(path);
        let text = fs::read_to_string(parent.join(name::tries(&name))).unwrap_or_default();
        let mut lines = text.splitn(3, '\n');
        let mut number = || lines.next().and_then(|line| line.parse::<u64>().ok());
        let (count, last) = (number().unwrap_or(0), number().unwrap_or(0));
        Tries {
            count: u32::try_from(count).unwrap_or(u32::MAX),
            last,
            why: lines.next().unwrap_or_default().to_owned(),
        }
    }

    /// Lets a task run at once: one that waits, or one in `failed/`, which begins anew.
    pub fn retry(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = split(path);
        let mut file = self.disk.open(path)?;
        if !self.disk.lock(&file, path)? {
            return Err(io::Error::other("it is running"));
        }
        self.disk.set_time(&file, SystemTime::now())?;
        drop(fs::remove_file(parent.join(name::tries(&name))));
        if parent != self.path.join(FAILED) && parent != self.path.join(BROKEN) {
            return Ok(());
        }
        let bytes = self.disk.read(&mut file)?;
        let packet = Packet::decode(&bytes).map_err(|why| io::Error::other(why.to_string()))?;
        let mut folder = self.path.clone();
        if let Some(priority) = priority_in(&packet) {
            folder.push(priority.to_string());
            self.add_folder(&folder)?;
        }
        self.disk.rename(path, &folder.join(name))?;
        if self.is_durable {
            self.disk.sync_folder(&folder)?;
            self.disk.sync_folder(parent)?;
        }
        Ok(())
    }
}

/// The priority that a packet names.
pub fn priority_in(packet: &Packet) -> Option<u64> {
    let text = std::str::from_utf8(packet.value(b"priority")?).ok()?;
    name::priority_of(text)
}

fn of_error(error: io::Error) -> NotClaimed {
    match error.kind() {
        io::ErrorKind::NotFound => NotClaimed::Gone,
        io::ErrorKind::WouldBlock => NotClaimed::Locked,
        _ => NotClaimed::Disk(error),
    }
}
