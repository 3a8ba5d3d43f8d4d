//! Unix: what a process that starts anew leaves to itself beside its listeners (`rebirth`): the sockets of control and statistics,
//! whose callers wait meanwhile, and the reload that is under way.
//!
//! In an environment variable of its own, which names the process and is removed before Python starts. Main thread.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use super::doors::Door;
use super::inherited;

/// The variable. Not one of ours that could be an option.
pub const VARIABLE: &str = "_SINGLEMALT_BEQUEST";

/// What was left, in the order in which it is opened.
#[derive(Debug, Default)]
pub struct Bequest {
    /// Sockets of control.
    pub control: Vec<OwnedFd>,
    /// The socket of statistics.
    pub stats: Option<OwnedFd>,
    /// See `Journal::carried`.
    pub journal: String,
}

impl Bequest {
    /// What this process has left to itself, if it has. Call it once, at start.
    pub fn read() -> Self {
        std::env::var(VARIABLE)
            .ok()
            .and_then(|text| Self::parse(&text))
            .unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '|');
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
            journal: parts.next().unwrap_or_default().to_owned(),
        })
    }

    /// What the next image of this process finds in its environment; the sockets stay open for it.
    ///
    /// # Errors
    /// A socket cannot be left open.
    pub fn write(control: &[&Door], stats: Option<&Door>, journal: &str) -> io::Result<String> {
        let numbers = |doors: &[&Door]| {
            let numbers: io::Result<Vec<String>> = doors
                .iter()
                .map(|door| {
                    let descriptor = door.descriptor();
                    rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
                    Ok(descriptor.as_raw_fd().to_string())
                })
                .collect();
            numbers.map(|numbers| numbers.join(","))
        };
        Ok(format!(
            "{}|{}|{}|{}",
            std::process::id(),
            numbers(control)?,
            numbers(stats.as_slice())?,
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
