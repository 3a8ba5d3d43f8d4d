//! Linux: the memory limit and the memory use of this process's cgroup. A container is a cgroup; so
//! is a unit of systemd.
//!
//! By hand: `procfs` keeps blanks in mount points escaped, and refuses a list for one odd line.
//!
//! Both versions are read. Every level from the process's own cgroup up to the mount point counts,
//! as in the kernel: the one with the least room left for its size decides.

use std::fs;
use std::path::{Path, PathBuf};

/// Names a folder that is taken for the cgroup, with the files of version 2, in a build with debug
/// assertions: for tests.
#[cfg(debug_assertions)]
const TEST_CGROUP: &str = "_SINGLEMALT_CGROUP";

/// Version 1 says "no limit" by the largest number of pages; no real limit is so high.
const NO_LIMIT: u64 = 1 << 60;

/// The level of the cgroup that has the least room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Bytes that may be used.
    pub limit: u64,
    /// Bytes that are used, without the files in the page cache that the kernel drops at need
    /// ("working set").
    pub used: u64,
}

/// Where the kernel tells of this process's memory.
#[derive(Debug)]
pub struct Cgroup {
    files: &'static Files,
    /// From the process's own up to the mount point.
    folders: Vec<PathBuf>,
}

#[derive(Debug)]
struct Files {
    /// The lowest of them counts.
    limits: &'static [&'static str],
    used: &'static str,
    /// The line of `memory.stat`.
    idle_files: &'static str,
}

const VERSION_1: Files = Files {
    limits: &["memory.limit_in_bytes"],
    used: "memory.usage_in_bytes",
    idle_files: "total_inactive_file",
};

const VERSION_2: Files = Files {
    // Above the second one the kernel slows the processes down.
    limits: &["memory.max", "memory.high"],
    used: "memory.current",
    idle_files: "inactive_file",
};

impl Cgroup {
    /// This process's, if its memory is limited now.
    pub fn find() -> Option<Self> {
        #[cfg(debug_assertions)]
        if let Some(folder) = std::env::var_os(TEST_CGROUP) {
            let cgroup = Self {
                files: &VERSION_2,
                folders: vec![folder.into()],
            };
            return cgroup.level().map(|_| cgroup);
        }
        let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        Self::limited(&cgroups, &mounts)
    }

    /// With the memory controller in version 1 the limits are there, even if version 2 is mounted.
    fn limited(cgroups: &str, mounts: &str) -> Option<Self> {
        let path = path_in(cgroups, |controllers| has(controllers, "memory"));
        let is_mount = |mount: &Mount<'_>| mount.kind == "cgroup" && has(mount.options, "memory");
        let first = path.and_then(|path| Self::mounted(&VERSION_1, path, mounts, is_mount));
        let second = || {
            let path = path_in(cgroups, str::is_empty)?;
            Self::mounted(&VERSION_2, path, mounts, |mount| mount.kind == "cgroup2")
        };
        first.or_else(second)
    }

    fn mounted(
        files: &'static Files,
        path: &str,
        mounts: &str,
        is_mount: impl Fn(&Mount<'_>) -> bool,
    ) -> Option<Self> {
        let mounts = mounts.lines().filter_map(Mount::parse).filter(is_mount);
        // The one that shows most of the way to our own; in a namespace of its own a mount may not
        // show the way at all, and is the way then.
        let place = |mount: &Mount<'_>| {
            let below = Path::new(path).strip_prefix(&mount.root).ok()?.to_owned();
            Some(below).filter(|below| !below.starts_with(".."))
        };
        let mount = mounts.max_by_key(|mount| (place(mount).is_some(), mount.root.len()))?;
        let top = PathBuf::from(&mount.point);
        let own = top.join(place(&mount).unwrap_or_default());
        let levels = own.ancestors().filter(|folder| folder.starts_with(&top));
        let cgroup = Self {
            files,
            folders: levels.map(Path::to_owned).collect(),
        };
        cgroup.level().map(|_| cgroup)
    }

    /// What is used and left now. `None`: there is no limit any more.
    pub fn level(&self) -> Option<Level> {
        let levels = self.folders.iter();
        let levels = levels.filter_map(|folder| self.files.read(folder));
        levels.max_by(|one, other| {
            // used/limit, without division.
            let left = u128::from(one.used) * u128::from(other.limit);
            left.cmp(&(u128::from(other.used) * u128::from(one.limit)))
        })
    }
}

impl Files {
    /// `None`: no limit, or nothing that could be understood.
    fn read(&self, folder: &Path) -> Option<Level> {
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        // "max" is no number.
        let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
        let limits = self.limits.iter().filter_map(|name| number(name));
        let limit = limits.filter(|limit| (1..NO_LIMIT).contains(limit)).min()?;
        let stat = read("memory.stat").unwrap_or_default();
        let idle_files = stat.lines().find_map(|line| {
            let (name, bytes) = line.split_once(' ')?;
            (name == self.idle_files).then(|| bytes.trim().parse::<u64>().ok())?
        });
        Some(Level {
            limit,
            used: number(self.used)?.saturating_sub(idle_files.unwrap_or(0)),
        })
    }
}

fn has(list: &str, word: &str) -> bool {
    list.split(',').any(|one| one == word)
}

/// The path behind the controllers that are meant: `4:memory:/path`, `0::/path`.
fn path_in(cgroups: &str, is_meant: impl Fn(&str) -> bool) -> Option<&str> {
    cgroups.lines().find_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        is_meant(controllers).then_some(path)
    })
}

/// A line of mountinfo (proc(5)).
struct Mount<'a> {
    /// What of the file system is seen there.
    root: String,
    point: String,
    kind: &'a str,
    /// The file system's own.
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// `35 31 0:32 /docker/1f /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory`
    fn parse(line: &'a str) -> Option<Self> {
        let (place, system) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let mut system = system.split(' ');
        Some(Self {
            root: unescaped(place.next()?),
            point: unescaped(place.next()?),
            kind: system.next()?,
            options: system.nth(1)?,
        })
    }
}

/// Blanks and the like stand there as octal numbers.
fn unescaped(text: &str) -> String {
    let blanks = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n")];
    let text = blanks.iter().fold(text.to_owned(), |text, (octal, blank)| {
        text.replace(octal, blank)
    });
    text.replace("\\134", "\\")
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
