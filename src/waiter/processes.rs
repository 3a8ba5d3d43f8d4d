//! The processes of the server as the waiter knows them, and what it does for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channel::{Channel, Handle};
use super::child_process::{ChildProcess, Ended};
use super::message::{Notice, Program, Request, VERSION};
use super::role::SUCCESSOR;
use crate::os::service_manager::notify::Notifier;

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
        }
    }

    /// Adds the process that the waiter is a thread of.
    pub(super) fn add_own(&mut self, channel: Channel) {
        self.list.push(Process {
            pid: std::process::id(),
            channel: Arc::new(channel),
            child: None,
            starter: None,
            is_serving: false,
            kill_at: None,
        });
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
        let mut command = program.command(SUCCESSOR);
        command.current_dir(&program.folder);
        let (channel, mut child) = Channel::to_child(command)?;
        let begin = Notice::Begin {
            version: VERSION,
            waiter: std::process::id(),
            invitation,
        };
        if let Err(error) = channel.send(&begin, handle.as_ref()) {
            child.kill();
            tracing::debug!(%error, "a process ended before it began");
        }
        let pid = child.pid();
        self.list.push(Process {
            pid,
            channel: Arc::new(channel),
            child: Some(child),
            starter: Some(from),
            is_serving: false,
            kill_at: None,
        });
        Ok(pid)
    }

    /// This process was sent a signal: the server gets it.
    pub(super) fn signal(&mut self, number: i32) {
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
        let Some(index) = self.list.iter().position(|process| process.pid == pid) else {
            return;
        };
        let process = self.list.remove(index);
        // It may have sent something before its end.
        while process.channel.has_message()
            && let Ok(Some((request, handle))) = process.channel.receive()
        {
            self.handle(pid, request, handle);
        }
        self.server.take_if(|server| *server == pid);
        self.last_end = Some(how);
        if process.is_serving {
            self.server_end = Some(how);
        }
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

    fn set_serving(&mut self, pid: u32, is_serving: bool) {
        let mut list = self.list.iter_mut();
        if let Some(process) = list.find(|process| process.pid == pid) {
            process.is_serving = is_serving;
        }
    }

    /// Sends to a process. Returns whether it could.
    fn tell(&self, pid: u32, notice: &Notice) -> bool {
        let process = self.list.iter().find(|process| process.pid == pid);
        process.is_some_and(|process| process.channel.send(notice, None).is_ok())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Processes with these ids, and their ends of the channels.
    fn processes(pids: &[u32]) -> (Processes, Vec<Channel>) {
        let mut processes = Processes::none(Arc::new(Notifier::new(None)));
        let mut ends = Vec::new();
        for pid in pids {
            let (ours, theirs) = Channel::local_pair().expect("a pair");
            processes.list.push(Process {
                pid: *pid,
                channel: Arc::new(ours),
                child: None,
                starter: None,
                is_serving: false,
                kill_at: None,
            });
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
