//! `--daemonize` and `--daemonize2`: a life without a terminal.
//!
//! The one fork of this program. It happens on the main thread before any other thread and before
//! Python, or, if Python was there first, by Python: a fork after a subinterpreter exists kills the child, and one beside threads leaves
//! their locks locked. So `--daemonize2`, which in uWSGI detaches after the application was loaded,
//! detaches before it here too; but the process that was started waits until the server serves,
//! shows what it says until then, and leaves with its exit code if it does not come up.

use std::fs::File;
use std::io::{self, PipeWriter, Read as _, Write as _};

use fork::waitpid;
use rustix::stdio::dup2_stdin;

pub enum Role {
    Starter(i32),
    Daemon(Option<Starter>),
}

/// The process that was started and waits for news (`--daemonize2`).
pub struct Starter(PipeWriter);

impl Starter {
    /// Lets it leave with code 0: the server serves.
    pub fn release(mut self) {
        // The starter may have been killed.
        let _gone = self.0.write_all(&[0]);
    }

    /// Has it leave with `code` when this process has ended, and so has said why.
    pub fn fail(mut self, code: u8) {
        let _gone = self.0.write_all(&[code]);
        // The pipe closes with the process, not before.
        std::mem::forget(self.0);
    }
}

/// Becomes a daemon: a session of its own, no terminal, nothing to read. `waits`: the starter waits
/// for [`Starter::release`]. `fork_python` forks a process in which Python runs, and returns the
/// child's id, or 0 in the child; `None` if it does not run.
pub fn detach(waits: bool, fork_python: &dyn Fn() -> Option<io::Result<i32>>) -> io::Result<Role> {
    let fork = || match fork_python() {
        Some(forked) => forked,
        None => fork::fork().map(|fork| match fork {
            fork::Fork::Parent(child) => child,
            fork::Fork::Child => 0,
        }),
    };
    let (mut news, starter) = io::pipe()?;
    match fork()? {
        child @ 1.. => {
            drop(starter);
            // The child in between leaves at once.
            waitpid(child)?;
            if !waits {
                return Ok(Role::Starter(0));
            }
            let mut told = Vec::new();
            news.read_to_end(&mut told)?;
            // A server that ended without a word was killed.
            Ok(Role::Starter(
                told.last().map_or(1, |code| i32::from(*code)),
            ))
        }
        _ => {
            drop(news);
            rustix::process::setsid()?;
            // What leads no session can never get a terminal again.
            if fork()? > 0 {
                return Ok(Role::Starter(0));
            }
            dup2_stdin(File::open("/dev/null")?)?;
            Ok(Role::Daemon(waits.then_some(Starter(starter))))
        }
    }
}
