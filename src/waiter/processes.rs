//! The processes of the server as the waiter knows them, and what it does for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channel::{Channel, Handle};
use super::child_process::{ChildProcess, Ended};
use super::message::{Notice, Program, Request, SharedSocket, VERSION};
use super::role::SUCCESSOR;
use super::supervision::Supervisor;
use crate::os::service_manager::notify::Notifier;
use crate::os::service_manager::watchdog::Watchdog;

/// How long a process may take to end after it has closed its channel.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// All of them. One thread at a time.
pub(super) struct Processes {
    pub(super) list: Vec<Process>,
    /// The one that gets the signals.
    pub(super) server: Option<u32>,
    /// Signals for the next server.
    pub(super) held: Vec<i32>,
    /// How the server ended that had no successor, and the last process of all.
    server_end: Option<Ended>,
    last_end: Option<Ended>,
    notifier: Arc<Notifier>,
    /// With `--supervise`.
    pub(super) supervisor: Option<Supervisor>,
    /// When the service manager is told that the waiter works, while no server does.
    watchdog: Watchdog,
}

/// A process of the server.
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) channel: Arc<Channel>,
    /// `None`: the process that the waiter is a thread of.
    pub(super) child: Option<ChildProcess>,
    /// The process that asked for it.
    pub(super) starter: Option<u32>,
    /// It is the server, or has been and has no successor yet.
    pub(super) is_serving: bool,
    /// Its channel is closed; it is killed then.
    pub(super) kill_at: Option<Instant>,
    /// It serves no more, and another process does.
    pub(super) has_left: bool,
    /// Sockets for a server that the waiter starts.
    pub(super) keeps: Vec<SharedSocket>,
    /// Memory with its requests in progress.
    pub(super) in_progress: Option<Handle>,
}

impl Process {
    pub(super) fn new(pid: u32, channel: Channel, child: Option<ChildProcess>) -> Self {
        Self {
            pid,
            channel: Arc::new(channel),
            child,
            starter: None,
            is_serving: false,
            kill_at: None,
            has_left: false,
            keeps: Vec::new(),
            in_progress: None,
        }
    }
}

impl Processes {
    pub(super) fn none(notifier: Arc<Notifier>) -> Self {
        Self {
            list: Vec::new(),
            server: None,
            held: Vec::new(),
            server_end: None,
            last_end: None,
            notifier,
            supervisor: None,
            watchdog: Watchdog::of_environment(std::process::id()),
        }
    }

    /// Tells the service manager's watchdog that a server is coming, while none serves. Returns
    /// when to do it again.
    pub(super) fn tell_watchdog(&mut self) -> Option<Instant> {
        if self.serves() {
            return None;
        }
        if self.watchdog.is_due(Instant::now()) {
            self.notifier.alive();
        }
        self.watchdog.next()
    }

    /// Adds the process that the waiter is a thread of.
    pub(super) fn add_own(&mut self, channel: Channel) {
        self.list
            .push(Process::new(std::process::id(), channel, None));
    }

    /// Whether the waiter is a thread of a process of the server.
    #[cfg_attr(
        windows,
        expect(dead_code, reason = "the waiter is always a thread there")
    )]
    pub(super) fn has_own(&self) -> bool {
        self.list.iter().any(|process| process.child.is_none())
    }

    /// Does what a process asks for.
    pub(super) fn handle(&mut self, from: u32, request: Request, handle: Option<Handle>) {
        match request {
            Request::Start {
                program,
                invitation,
            } => {
                let started = self.start(from, &program, invitation, handle);
                self.tell(from, &Notice::Started(started));
            }
            Request::Kill(pid) => {
                let mut list = self.list.iter_mut();
                if let Some(process) = list.find(|one| one.pid == pid && one.starter == Some(from))
                    && let Some(child) = &mut process.child
                {
                    child.kill();
                }
            }
            Request::Serving => {
                self.server = Some(from);
                self.set_serving(from, true);
                self.serving(from);
                for signal in std::mem::take(&mut self.held) {
                    self.signal(signal);
                }
            }
            Request::Leaving => {
                self.server.take_if(|server| *server == from);
                self.set_serving(from, false);
                self.tell(from, &Notice::Hold);
            }
            Request::Unhandled(signals) => self.pass_on(signals),
            Request::Notify(text) => self.notifier.send(&text),
            Request::Loaded { resident_bytes } => self.loaded(from, resident_bytes),
            Request::Keep(kind) => {
                if let (Some(process), Some(handle)) = (self.process(from), handle) {
                    process.keeps.push(SharedSocket { kind, handle });
                }
            }
            Request::InProgress => {
                if let Some(process) = self.process(from) {
                    process.in_progress = handle;
                }
            }
            Request::Log => log_to(handle),
            Request::Renewed => self.renewed(),
            Request::Stopping => self.stopping(),
        }
    }

    /// Passes on what a process was sent and has not handled. It is older than what was held
    /// meanwhile.
    pub(super) fn pass_on(&mut self, signals: Vec<i32>) {
        let newer = std::mem::replace(&mut self.held, signals);
        self.held.extend(newer);
        if self.server.is_some() {
            for signal in std::mem::take(&mut self.held) {
                self.signal(signal);
            }
        }
    }

    fn start(
        &mut self,
        from: u32,
        program: &Program,
        invitation: Option<String>,
        handle: Option<Handle>,
    ) -> Result<u32, String> {
        let pid = self.spawn(program, SUCCESSOR)?;
        let begin = Notice::Begin {
            version: VERSION,
            waiter: std::process::id(),
            invitation,
        };
        let known = self.supervisor.as_ref().map(Supervisor::supervision);
        if let Some(process) = self.list.iter_mut().find(|process| process.pid == pid) {
            process.starter = Some(from);
            let sent = process.channel.send(&begin, handle.as_ref());
            let known = Notice::Supervision(known);
            if let Err(error) = sent.and_then(|()| process.channel.send(&known, None)) {
                tracing::debug!(%error, "a process ended before it began");
            }
        }
        Ok(pid)
    }

    /// Starts a process in this role.
    pub(super) fn spawn(&mut self, program: &Program, role: &str) -> Result<u32, String> {
        let mut command = program.command(role);
        command.current_dir(&program.folder);
        let (channel, child) = Channel::to_child(command)?;
        let pid = child.pid();
        self.list.push(Process::new(pid, channel, Some(child)));
        Ok(pid)
    }

    /// This process was sent a signal: the server gets it.
    pub(super) fn signal(&mut self, number: i32) {
        if self.stops_by(number) {
            return;
        }
        match self.server {
            Some(server) if self.tell(server, &Notice::Signal(number)) => {}
            _ => self.held.push(number),
        }
    }

    /// The channel of this process is closed, or broken.
    pub(super) fn closed(&mut self, pid: u32) {
        if let Some(process) = self.list.iter_mut().find(|process| process.pid == pid) {
            process.kill_at.get_or_insert(Instant::now() + END_TIMEOUT);
        }
        // The process that the waiter is a thread of has no end to wait for.
        self.list
            .retain(|process| process.pid != pid || process.child.is_some());
    }

    /// Looks for processes that have ended. Those that have closed their channels and do not end
    /// are killed in time.
    pub(super) fn look_for_ends(&mut self) {
        let now = Instant::now();
        let mut ended = Vec::new();
        for process in &mut self.list {
            let Some(child) = &mut process.child else {
                continue;
            };
            if let Some(how) = child.ended() {
                ended.push((process.pid, how));
            } else if process.kill_at.is_some_and(|at| at <= now) {
                child.kill();
            }
        }
        for (pid, how) in ended {
            self.has_ended(pid, how);
        }
    }

    /// A child has ended and is reaped.
    pub(super) fn has_ended(&mut self, pid: u32, how: Ended) {
        let Some(channel) = self.process(pid).map(|one| Arc::clone(&one.channel)) else {
            return;
        };
        // It may have sent something before its end.
        while channel.has_message()
            && let Ok(Some((request, handle))) = channel.receive()
        {
            self.handle(pid, request, handle);
        }
        let Some(index) = self.list.iter().position(|process| process.pid == pid) else {
            return;
        };
        let process = self.list.remove(index);
        self.server.take_if(|server| *server == pid);
        self.last_end = Some(how);
        if process.is_serving {
            self.server_end = Some(how);
        }
        self.supervised_has_ended(&process, how);
        if let Some(starter) = process.starter {
            let how = how.to_string();
            self.tell(starter, &Notice::Ended { pid, how });
        }
    }

    /// How the server ended, once every process has. A successor that was killed while it loaded,
    /// because the server stopped, does not matter.
    pub(super) fn end(&self) -> Ended {
        let end = self.server_end.or(self.last_end);
        end.unwrap_or_else(|| Ended::from_code(1))
    }

    /// How the process that served last has ended, if it has.
    #[cfg(unix)]
    pub(super) fn server_end(&self) -> Option<Ended> {
        self.server_end
    }

    fn set_serving(&mut self, pid: u32, is_serving: bool) {
        if let Some(process) = self.process(pid) {
            process.is_serving = is_serving;
            process.has_left = !is_serving;
        }
    }

    fn process(&mut self, pid: u32) -> Option<&mut Process> {
        self.list.iter_mut().find(|process| process.pid == pid)
    }

    /// This is how the server ended, for [`end`](Self::end).
    pub(super) fn set_end(&mut self, how: Ended) {
        self.server_end = Some(how);
    }

    /// Sends to a process. Returns whether it could.
    pub(super) fn tell(&self, pid: u32, notice: &Notice) -> bool {
        let process = self.list.iter().find(|process| process.pid == pid);
        process.is_some_and(|process| process.channel.send(notice, None).is_ok())
    }
}

/// The lines of the waiter go to the log of the server.
#[cfg(unix)]
fn log_to(log: Option<Handle>) {
    if let Some(log) = log
        && let Err(error) = crate::os::redirect::standard_streams_to(&log)
    {
        tracing::warn!(%error, "cannot write to the log of the server");
    }
}

/// Does not apply: only sockets are sent.
#[cfg(windows)]
fn log_to(_log: Option<Handle>) {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Processes with these ids, and their ends of the channels.
    fn processes(pids: &[u32]) -> (Processes, Vec<Channel>) {
        let mut processes = Processes::none(Arc::new(Notifier::new(None)));
        let mut ends = Vec::new();
        for pid in pids {
            let (ours, theirs) = Channel::local_pair().expect("a pair");
            processes.list.push(Process::new(*pid, ours, None));
            ends.push(theirs);
        }
        (processes, ends)
    }

    fn next(end: &Channel) -> Option<Notice> {
        let received = || end.receive::<Notice>().expect("whole");
        end.has_message().then(received)?.map(|(notice, _)| notice)
    }

    #[test]
    fn signals_go_to_the_server_or_wait_for_one() {
        let (mut processes, ends) = processes(&[1, 2]);
        processes.signal(1);
        processes.signal(15);
        processes.handle(1, Request::Serving, None);
        assert_eq!(next(&ends[0]), Some(Notice::Signal(1)));
        assert_eq!(next(&ends[0]), Some(Notice::Signal(15)));
        // Between its leaving and the next server's serving.
        processes.signal(2);
        processes.handle(1, Request::Leaving, None);
        processes.signal(3);
        assert_eq!(next(&ends[0]), Some(Notice::Signal(2)));
        assert_eq!(next(&ends[0]), Some(Notice::Hold));
        assert_eq!(next(&ends[0]), None);
        processes.handle(1, Request::Unhandled(vec![2]), None);
        processes.handle(2, Request::Serving, None);
        assert_eq!(next(&ends[1]), Some(Notice::Signal(2)));
        assert_eq!(next(&ends[1]), Some(Notice::Signal(3)));
        assert_eq!(next(&ends[1]), None);
    }

    #[test]
    fn a_server_that_leaves_late_passes_its_signals_on() {
        let (mut processes, ends) = processes(&[1, 2]);
        processes.handle(1, Request::Serving, None);
        processes.signal(1);
        processes.handle(2, Request::Serving, None);
        processes.handle(1, Request::Leaving, None);
        processes.signal(15);
        processes.handle(1, Request::Unhandled(vec![1]), None);
        assert_eq!(next(&ends[1]), Some(Notice::Signal(15)));
        assert_eq!(next(&ends[1]), Some(Notice::Signal(1)));
        // As the first process does before it executes itself.
        processes.pass_on(vec![2]);
        assert_eq!(next(&ends[1]), Some(Notice::Signal(2)));
    }

    #[test]
    fn a_signal_to_a_server_that_is_gone_waits() {
        let (mut processes, mut ends) = processes(&[1, 2]);
        processes.handle(1, Request::Serving, None);
        drop(ends.remove(0));
        processes.signal(15);
        processes.handle(2, Request::Serving, None);
        assert_eq!(next(&ends[0]), Some(Notice::Signal(15)));
    }

    #[test]
    fn the_end_that_counts_is_that_of_the_server() {
        // The server stops while a successor loads, which is killed.
        let (mut all, _ends) = processes(&[1, 2]);
        all.handle(1, Request::Serving, None);
        all.has_ended(1, Ended::Code(0));
        all.has_ended(2, Ended::Signal(9));
        assert_eq!(all.end(), Ended::Code(0));
        // A successor is killed when the process before it has left.
        let (mut all, _ends) = processes(&[1, 2]);
        all.handle(1, Request::Serving, None);
        all.handle(1, Request::Leaving, None);
        all.has_ended(1, Ended::Code(0));
        all.has_ended(2, Ended::Signal(9));
        assert_eq!(all.end(), Ended::Signal(9));
    }
}
