//! The waits of an interpreter's threads, which its end interrupts (docs/internals/interpreters.md,
//! "Waits").
//!
//! An exception reaches a thread when it runs Python code, so a thread that waits in C keeps its
//! interpreter from ending. `time.sleep` waits here instead, `select` and `poll` watch a descriptor
//! of ours too, and `waits.py` ends the other waits. Runs on threads of the interpreter, attached.
//! Read `functions` after this file.

use std::ffi::c_int;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::thread_id::ident;

pub(super) mod functions;
#[cfg_attr(not(unix), path = "other.rs")]
#[cfg_attr(unix, path = "unix.rs")]
mod system;

/// The length of a sleep in an interpreter that is ending, so that a thread that catches every
/// exception does not take a whole core.
const PAUSE: Duration = Duration::from_millis(10);

/// Part of an interpreter.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// The thread that ends the interpreter, by the number that `threading` has of it.
    ended_by: Mutex<Option<u64>>,
    ended: Condvar,
    wake_up: system::WakeUp,
}

impl Waits {
    /// Ends every sleep and every wait for the descriptor; further ones end at once.
    fn end(&self) {
        *self.ended_by.lock() = Some(ident());
        self.ended.notify_all();
        self.wake_up.set();
    }

    /// The interpreter is parked: its threads wait as ever, so that they use no time.
    pub(super) fn go_on(&self) {
        *self.ended_by.lock() = None;
        self.wake_up.clear();
    }

    fn descriptor(&self) -> Option<c_int> {
        let descriptor = self.wake_up.get();
        if self.ended_by.lock().is_some() {
            // It may have been made just now.
            self.wake_up.set();
        }
        descriptor
    }

    /// Returns `false` if the end of the interpreter has interrupted it.
    fn sleep(&self, until: Instant) -> bool {
        let mut ended_by = self.ended_by.lock();
        let is_late = ended_by.is_some();
        let is_ended = |by: Option<u64>| by.is_some_and(|thread| thread != ident());
        while !is_ended(*ended_by) {
            if self.ended.wait_until(&mut ended_by, until).timed_out() {
                return true;
            }
        }
        drop(ended_by);
        if is_late {
            std::thread::sleep(PAUSE);
        }
        false
    }
}
