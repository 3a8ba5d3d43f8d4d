//! Windows: the first process waits for the others as it is.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::child_process::Ended;
use super::link::Link;
use super::message::SharedSocket;
use super::processes::Processes;
use super::supervision::{Settings, Supervisor};
use super::wait::WaiterThread;
use crate::os::service_manager::notify::Notifier;

/// How the first process waits.
pub struct Waiting {
    /// The configuration to start with if the last process ends with exit code 1.
    pub fallback: Option<PathBuf>,
}

/// How the server ended.
pub struct ServerEnd {
    ended: Ended,
    fallback: Option<PathBuf>,
}

impl ServerEnd {
    /// The exit code.
    ///
    /// # Errors
    /// None on Windows.
    pub fn code(&self) -> Result<i32, i32> {
        Ok(self.ended.0)
    }

    /// The configuration to start with now.
    pub fn fallback(&self) -> Option<&PathBuf> {
        let is_wanted = self.ended.0 == 1;
        self.fallback.as_ref().filter(|_| is_wanted)
    }
}

/// Another process is the server: this one, the first, waits for the others, after `halt` has
/// stopped Python. Main thread.
pub fn wait_for_others(link: &Link, waiting: Waiting, halt: impl FnOnce()) -> ServerEnd {
    halt();
    let thread = link.take_waiter();
    ServerEnd {
        ended: thread.map_or(Ended::from_code(1), |thread| thread.wait()),
        fallback: waiting.fallback,
    }
}

/// `--supervise`: this process, the first, starts the server with these sockets, and again after a
/// crash. Before Python. Main thread. `next_signal` waits for a signal to this process.
pub fn supervise(
    settings: Settings,
    sockets: Vec<SharedSocket>,
    waiting: Waiting,
    next_signal: impl FnMut() -> Option<i32> + Send + 'static,
) -> ServerEnd {
    let mut processes = Processes::none(Arc::new(Notifier::new(None)));
    processes.supervisor = Some(Supervisor::new(settings, sockets));
    let thread = WaiterThread::start(processes).and_then(|thread| {
        thread.pass_signals(next_signal)?;
        Ok(thread)
    });
    ServerEnd {
        ended: match thread {
            Ok(thread) => thread.wait(),
            Err(error) => {
                tracing::error!(%error, "cannot wait for the processes of the server");
                Ended::from_code(1)
            }
        },
        fallback: waiting.fallback,
    }
}

/// No program waits for another one.
pub fn is_waiter() -> bool {
    false
}

/// Does not apply (see [`is_waiter`]).
///
/// # Errors
/// Always.
pub fn resume() -> io::Result<ServerEnd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Does not apply: there are no signals.
pub fn end_by_signal(_number: i32) {}
