//! Descriptors without which the server cannot go on: the poll, its events, the listeners, and
//! those that other rooms name.
//!
//! An application shares its process's descriptors with the server, and some code closes all of
//! them (`os.closerange(3, 64)`, written for a child process). Without the poll nothing is served,
//! and signals may not arrive either, so the loss ends the process, and the service manager starts
//! another. A loss is found by the error of a call, or by a look now and then: a listener that is
//! closed leaves the poll without a word. Any thread.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

type OnLoss = Box<dyn Fn(&str) + Send + Sync>;
type IsThere = Box<dyn Fn() -> bool + Send>;

static ON_LOSS: OnceLock<OnLoss> = OnceLock::new();
static IS_LOST: AtomicBool = AtomicBool::new(false);
static OTHERS: Mutex<Vec<(&str, IsThere)>> = Mutex::new(Vec::new());

/// Sets the function that ends the process. It gets the name of the descriptor. Called once.
pub fn on_loss(end: OnLoss) {
    let was_unset = ON_LOSS.set(end);
    debug_assert!(was_unset.is_ok(), "a process ends in one way");
}

/// Adds a descriptor of another room.
#[cfg_attr(windows, expect(dead_code, reason = "handles are not lost there"))]
pub fn watch(name: &'static str, is_there: IsThere) {
    OTHERS.lock().push((name, is_there));
}

/// A descriptor is lost: ends the process.
pub fn lost(name: &str) {
    let Some(end) = ON_LOSS.get() else {
        return;
    };
    if IS_LOST.swap(true, Ordering::SeqCst) {
        // Another thread ends the process.
        loop {
            std::thread::park();
        }
    }
    end(name);
}

/// Looks whether the descriptors of other rooms are there.
pub(super) fn look() {
    let others = OTHERS.lock();
    let missing = others.iter().find(|(_, is_there)| !is_there());
    if let Some((name, _)) = missing {
        lost(name);
    }
}

/// Whether a call failed because its descriptor is closed, or is another file by now.
pub fn is_loss(error: &io::Error) -> bool {
    #[cfg(unix)]
    return is_closed(error) || error.raw_os_error() == Some(libc::EINVAL);
    #[cfg(not(unix))]
    is_closed(error)
}

/// Whether a call failed because its descriptor is closed, or is no socket by now.
pub(super) fn is_closed(error: &io::Error) -> bool {
    #[cfg(unix)]
    return matches!(error.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK));
    // An application cannot close what it does not know.
    #[cfg(not(unix))]
    {
        let _unix_only = error;
        false
    }
}

/// What a descriptor was when it was opened. Another file may get its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(#[cfg(unix)] Option<(libc::dev_t, libc::ino_t)>);

impl Identity {
    #[cfg(unix)]
    pub fn of(descriptor: impl std::os::fd::AsFd) -> Self {
        let facts = rustix::fs::fstat(descriptor).ok();
        Self(facts.map(|facts| (facts.st_dev, facts.st_ino)))
    }

    #[cfg(not(unix))]
    pub fn of<T>(_descriptor: T) -> Self {
        Self()
    }
}
