//! Unix: the waiter's loop. On a thread (`sm-waiter`) while this process serves too; on the main
//! thread after that.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::child_process::{ChildProcess, reap};
use super::processes::{Process, Processes};
use crate::os::signals::CaughtSignals;

/// How often the end of a child is looked for where SIGCHLD belongs to the application.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// The same, for a child that has closed its channel: it ends now.
const ENDING_LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The waiter as a thread.
pub(super) struct WaiterThread(JoinHandle<Processes>);

impl WaiterThread {
    /// Starts it.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(mut processes: Processes) -> io::Result<Self> {
        let run = move || {
            wait(&mut processes, None);
            processes
        };
        let thread = std::thread::Builder::new().name("sm-waiter".to_owned());
        thread.spawn(run).map(Self)
    }

    /// Ends it, when the channel of this process is closed. Returns what it waits for.
    pub(super) fn join(self) -> Option<Processes> {
        self.0.join().ok()
    }
}

/// Waits until this process's own channel is closed, or, without one, until every process has
/// ended. With `caught`, this process serves no more, and signals are forwarded.
pub(super) fn wait(processes: &mut Processes, caught: Option<&CaughtSignals>) {
    let has_own = processes.has_own();
    if caught.is_some() {
        // Children may have ended before their signal was caught.
        reap_all(processes);
    }
    loop {
        processes.look_for_ends();
        processes.keep_serving();
        if processes.is_over() || processes.has_own() != has_own {
            return;
        }
        let next = [processes.next_start(), processes.tell_watchdog()];
        let next = next.into_iter().flatten().min();
        let (readable, has_signal) = match poll_all(processes, caught, next) {
            Ok(polled) => polled,
            Err(error) => {
                tracing::error!(%error, "cannot wait for the processes of the server");
                std::thread::sleep(LOOK_INTERVAL);
                continue;
            }
        };
        for pid in readable {
            receive(processes, pid);
        }
        if let Some(caught) = caught.filter(|_| has_signal) {
            caught
                .read()
                .into_iter()
                .for_each(|number| handle_signal(processes, number));
        }
    }
}

/// The processes whose channels can be read, and whether a signal has come. Waits until `next`
/// at the latest.
fn poll_all(
    processes: &Processes,
    caught: Option<&CaughtSignals>,
    next: Option<Instant>,
) -> io::Result<(Vec<u32>, bool)> {
    let is_open = |process: &&Process| process.kill_at.is_none();
    let open: Vec<&Process> = processes.list.iter().filter(is_open).collect();
    let mut polled: Vec<PollFd<'_>> = open
        .iter()
        .map(|process| PollFd::new(&*process.channel, PollFlags::IN))
        .collect();
    for (_, socket) in caught.iter().flat_map(|caught| caught.sockets()) {
        polled.push(PollFd::from_borrowed_fd(socket, PollFlags::IN));
    }
    let is_ending = open.len() < processes.list.len();
    let catches_ends =
        caught.is_some_and(|caught| caught.sockets().any(|(number, _)| number == libc::SIGCHLD));
    let has_children = processes.list.iter().any(|process| process.child.is_some());
    let timeout = match is_ending {
        true => Some(ENDING_LOOK_INTERVAL),
        false if has_children && !catches_ends => Some(LOOK_INTERVAL),
        false => None,
    };
    let next = next.map(|at| at.saturating_duration_since(Instant::now()));
    let timeout = timeout.into_iter().chain(next).min();
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match poll(&mut polled, timeout.as_ref()) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok((Vec::new(), false)),
        Err(error) => return Err(error.into()),
    }
    let mut is_readable = polled.iter().map(|one| !one.revents().is_empty());
    let readable = open.iter().zip(is_readable.by_ref());
    let readable = readable
        .filter_map(|(process, is)| is.then_some(process.pid))
        .collect();
    Ok((readable, is_readable.any(|is| is)))
}

fn receive(processes: &mut Processes, pid: u32) {
    let mut list = processes.list.iter();
    let Some(channel) = list
        .find(|one| one.pid == pid)
        .map(|one| Arc::clone(&one.channel))
    else {
        return;
    };
    match channel.receive() {
        Ok(Some((request, handle))) => processes.handle(pid, request, handle),
        Ok(None) => processes.closed(pid),
        Err(error) => {
            tracing::debug!(%error, pid, "receiving from a process of the server");
            processes.closed(pid);
        }
    }
}

/// A signal to this process, which serves no more.
fn handle_signal(processes: &mut Processes, number: i32) {
    match number {
        libc::SIGCHLD => reap_all(processes),
        // Both stop and continue together, as one process would.
        libc::SIGTSTP => {
            signal_all(processes, Signal::SIGSTOP);
            if let Err(error) = nix::sys::signal::raise(Signal::SIGSTOP) {
                tracing::warn!(%error, "cannot stop");
            }
        }
        libc::SIGCONT => signal_all(processes, Signal::SIGCONT),
        number => processes.signal(number),
    }
}

fn reap_all(processes: &mut Processes) {
    while let Some((pid, how)) = reap() {
        processes.has_ended(pid, how);
    }
}

fn signal_all(processes: &Processes, signal: Signal) {
    let children = processes
        .list
        .iter()
        .filter_map(|process| process.child.as_ref());
    children.for_each(|child: &ChildProcess| child.signal(signal));
}
