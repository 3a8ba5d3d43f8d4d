//! The end of a process that was succeeded. Main thread.

use super::launch::Launch;
use crate::config::Config;
#[cfg(unix)]
use crate::os::title;
use crate::python::Runtime;
use crate::server::exit::Exit;
use crate::server::signals;
use crate::telemetry::LogWriter;
use crate::waiter::link::Link;
use crate::waiter::message::Program;
use crate::waiter::resume::{Waiting, wait_for_others};

/// What is left to do in a process that was succeeded.
pub(super) struct Succeeded {
    /// Signals that came and were not handled.
    unhandled: Vec<i32>,
    unread: signals::Unread,
    writer: LogWriter,
    /// Threads of the application may still run.
    runtime: &'static Runtime,
}

impl Launch<'_> {
    /// Another process is the server: it gets the signals that this one has not handled.
    pub(super) fn leave(&self, runtime: &'static Runtime) -> Succeeded {
        let unread = signals::stop_reading();
        let unhandled = || unread.unhandled(&self.received);
        let unhandled = match self.is_first() {
            true => unhandled(),
            false => {
                self.link.leave(unhandled);
                Vec::new()
            }
        };
        Succeeded {
            unhandled,
            unread,
            writer: self.output.writer.clone(),
            runtime,
        }
    }
}

impl Succeeded {
    /// Waits for the server's end in its first process.
    pub(super) fn wait(self, config: &Config, program: &Program, link: &Link) -> Exit {
        let fallback = config.start.fallback.clone();
        #[cfg(unix)]
        let waiting = Waiting {
            program,
            title: title::wanted(config),
            fallback,
            caught: self.unread.caught(),
            unhandled: self.unhandled,
        };
        #[cfg(not(unix))]
        let waiting = Waiting { fallback };
        #[cfg(not(unix))]
        let _unix_only = (program, self.unread, self.unhandled);
        let end = wait_for_others(link, waiting, || {
            if let Err(error) = self.runtime.halt() {
                tracing::warn!(%error, "threads of the application run on");
            }
        });
        Exit::like(&end, &self.writer)
    }
}
