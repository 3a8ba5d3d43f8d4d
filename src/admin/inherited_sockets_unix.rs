//! Unix: what a process that starts anew leaves to itself beside its listeners (`rebirth`): the sockets of control and statistics,
//! whose clients wait meanwhile, files that are locked (`--flock`), and the reload that is under way.
//!
//! In an environment variable of its own, which names the process and is removed before Python starts. Main thread.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use super::listeners::AdminListener;
use crate::os::file_locks::Locks;
use crate::os::inherited;

/// The variable. Not one of ours that could be an option.
pub const VARIABLE: &str = "_SINGLEMALT_BEQUEST";

/// What was left, in the order in which it is opened.
#[derive(Debug, Default)]
pub struct InheritedSockets {
    /// Sockets of control.
    pub control: Vec<OwnedFd>,
    /// The socket of statistics.
    pub stats: Option<OwnedFd>,
    /// Files that are locked.
    pub locks: Locks,
    /// See `Journal::carried`.
    pub journal: String,
}

impl InheritedSockets {
    /// What this process has left to itself, if it has. Call it once, at start.
    pub fn read() -> Self {
        std::env::var(VARIABLE)
            .ok()
            .and_then(|text| Self::parse(&text))
            .unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '|');
        if parts.next()? != std::process::id().to_string() {
            return None;
        }
        let mut descriptors = || {
            let numbers = parts.next().unwrap_or_default().split(',');
            let taken = numbers.filter_map(|number| take(number.parse().ok()?));
            taken.collect::<Vec<_>>()
        };
        Some(Self {
            control: descriptors(),
            stats: descriptors().pop(),
            locks: descriptors().into_iter().map(File::from).collect(),
            journal: parts.next().unwrap_or_default().to_owned(),
        })
    }

    /// For an image that follows this one without having been served by it.
    pub fn journal_alone(&self) -> String {
        format!("{}||||{}", std::process::id(), self.journal)
    }

    /// What the next image of this process finds in its environment; the sockets and the locked files stay open for it.
    ///
    /// # Errors
    /// One cannot be left open.
    pub fn write(
        control: &[&AdminListener],
        stats: Option<&AdminListener>,
        locks: [&Locks; 2],
        journal: &str,
    ) -> io::Result<String> {
        let numbers = |descriptors: Vec<BorrowedFd<'_>>| {
            let numbers: io::Result<Vec<String>> = descriptors
                .into_iter()
                .map(|descriptor| {
                    rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
                    Ok(descriptor.as_raw_fd().to_string())
                })
                .collect();
            numbers.map(|numbers| numbers.join(","))
        };
        let control = control.iter().map(|listener| listener.descriptor());
        let stats = stats.into_iter().map(AdminListener::descriptor);
        let locks = locks.into_iter().flatten().map(|file| file.as_fd());
        Ok(format!(
            "{}|{}|{}|{}|{}",
            std::process::id(),
            numbers(control.collect())?,
            numbers(stats.collect())?,
            numbers(locks.collect())?,
            journal.replace('\0', "")
        ))
    }
}

/// The descriptor, closed on exec; the number itself is free again.
fn take(number: u32) -> Option<OwnedFd> {
    let taken = inherited::take(number).ok()?;
    let closed = i32::try_from(number).map(nix::unistd::close);
    debug_assert!(matches!(closed, Ok(Ok(()))), "it was open a moment ago");
    Some(taken)
}
