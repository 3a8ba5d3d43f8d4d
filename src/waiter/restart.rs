//! `--supervise`: the waiter starts the server itself, and again after a crash.
//!
//! It keeps the sockets, so that connections wait in their queues while no server runs. With
//! `warm`, a second server is loaded, and waits for the order to serve.

use std::time::{Duration, Instant};

use super::child_process::Ended;
use super::in_progress;
use super::message::{Notice, VERSION};
use super::processes::{Process, Processes};
use super::role::SERVER;
use super::supervision::{Standby, Supervisor, delay};

impl Processes {
    /// Starts a server if there is none, and a second one that waits.
    pub(super) fn keep_serving(&mut self) {
        let now = Instant::now();
        let has_server = self.has_server();
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        if supervisor.is_stopping {
            return;
        }
        if has_server {
            let is_wanted = supervisor.settings.is_warm && supervisor.standby.is_none();
            if is_wanted && supervisor.served_since.is_some() && supervisor.standby_at <= now {
                self.start_standby();
            }
        } else if supervisor.start_at <= now {
            match supervisor.standby.take() {
                Some(standby) => self.put_in_charge(standby),
                None => self.start_first(),
            }
        }
    }

    /// When [`keep_serving`](Self::keep_serving) has something to do next.
    pub(super) fn next_start(&self) -> Option<Instant> {
        let supervisor = self.supervisor.as_ref()?;
        if supervisor.is_stopping {
            return None;
        }
        if !self.has_server() {
            return Some(supervisor.start_at);
        }
        let is_wanted = supervisor.settings.is_warm && supervisor.standby.is_none();
        (is_wanted && supervisor.served_since.is_some()).then_some(supervisor.standby_at)
    }

    /// Whether no process is left, and none follows.
    pub(super) fn is_over(&self) -> bool {
        let supervisor = self.supervisor.as_ref();
        self.list.is_empty() && supervisor.is_none_or(Supervisor::is_stopping)
    }

    /// Whether a server runs that serves.
    pub(super) fn serves(&self) -> bool {
        let supervisor = self.supervisor.as_ref();
        supervisor.is_none_or(|supervisor| supervisor.served_since.is_some())
    }

    /// Whether a process serves, or may serve without an order of the waiter.
    fn has_server(&self) -> bool {
        let is_standby = |pid| {
            let supervisor = self.supervisor.as_ref();
            supervisor.is_some_and(|supervisor| supervisor.is_standby(pid))
        };
        let mut list = self.list.iter();
        list.any(|process| !process.has_left && !is_standby(process.pid))
    }

    fn start_first(&mut self) {
        let started = self.start_server();
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        match started {
            Ok(pid) => {
                supervisor.starting = Some(pid);
                self.server = Some(pid);
            }
            Err(why) if supervisor.supervision.has_served => {
                supervisor.brief_lives += 1;
                let delay = delay(supervisor.brief_lives.max(2));
                supervisor.start_at = Instant::now() + delay;
                tracing::error!("{why}; the next attempt follows in {}", seconds(delay));
            }
            Err(why) => {
                supervisor.is_stopping = true;
                tracing::error!("{why}");
            }
        }
    }

    fn start_standby(&mut self) {
        let started = self.start_server();
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        match started {
            Ok(pid) => {
                supervisor.standby = Some(Standby {
                    pid,
                    is_loaded: false,
                });
            }
            Err(why) => {
                supervisor.standby_failed();
                tracing::error!("no second server: {why}");
            }
        }
    }

    /// The second server takes over; one that loads serves as soon as it can.
    fn put_in_charge(&mut self, standby: Standby) {
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        supervisor.starting = Some(standby.pid);
        self.server = Some(standby.pid);
        if standby.is_loaded {
            let notice = Notice::Serve(supervisor.supervision());
            self.tell(standby.pid, &notice);
        }
    }

    /// Starts a process that gets the sockets.
    fn start_server(&mut self) -> Result<u32, String> {
        let Some(supervisor) = &self.supervisor else {
            return Err("it is not supervised".to_owned());
        };
        let program = supervisor.settings.program.clone();
        let begin = Notice::Begin {
            version: VERSION,
            waiter: std::process::id(),
            invitation: None,
        };
        let known = Notice::Supervision(Some(supervisor.supervision()));
        let pid = self.spawn(&program, SERVER)?;
        self.tell(pid, &begin);
        self.tell(pid, &known);
        let kept = self.supervisor.iter().flat_map(|one| &one.kept);
        let mut list = self.list.iter();
        if let Some(process) = list.find(|process| process.pid == pid) {
            let mut sent = Ok(());
            for socket in kept {
                let notice = Notice::Socket(socket.kind);
                sent = sent.and_then(|()| process.channel.send(&notice, Some(&socket.handle)));
            }
            if let Err(error) = sent {
                tracing::debug!(%error, "a process ended before it began");
            }
        }
        self.tell(pid, &Notice::Load);
        Ok(pid)
    }

    /// A process that the waiter has started has loaded the application.
    pub(super) fn loaded(&mut self, pid: u32, resident_bytes: u64) {
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        if supervisor.starting == Some(pid) {
            let notice = Notice::Serve(supervisor.supervision());
            self.tell(pid, &notice);
        } else if let Some(standby) = &mut supervisor.standby
            && standby.pid == pid
        {
            standby.is_loaded = true;
            supervisor.standby_failures = 0;
            tracing::info!(
                "a second server is loaded (process {pid}, {} MB) and takes over if the server \
                 crashes",
                resident_bytes >> 20
            );
        }
    }

    /// A process serves from now on.
    pub(super) fn serving(&mut self, pid: u32) {
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        let mut list = self.list.iter_mut();
        let mut is_reload = false;
        if let Some(process) = list.find(|process| process.pid == pid) {
            is_reload = process.starter.is_some();
            if !process.keeps.is_empty() {
                supervisor.kept = std::mem::take(&mut process.keeps);
            }
        }
        supervisor.starting.take_if(|starting| *starting == pid);
        supervisor.served_since = Some(Instant::now());
        supervisor.supervision.has_served = true;
        supervisor.standby_at = Instant::now();
        if is_reload {
            self.renewed();
        }
    }

    /// Another version serves: the second server has an old one.
    pub(super) fn renewed(&mut self) {
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.standby_at = Instant::now();
        }
        self.end_standby();
    }

    /// The end of the server is no crash from now on.
    pub(super) fn stopping(&mut self) {
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.is_stopping = true;
        }
        self.end_standby();
    }

    fn end_standby(&mut self) {
        let supervisor = self.supervisor.as_mut();
        let Some(standby) = supervisor.and_then(|supervisor| supervisor.standby.take()) else {
            return;
        };
        let mut list = self.list.iter_mut();
        if let Some(process) = list.find(|process| process.pid == standby.pid) {
            process.has_left = true;
            if let Some(child) = &mut process.child {
                child.kill();
            }
        }
    }

    /// The waiter was sent this signal. Returns whether no server is left to handle it.
    pub(super) fn stops_by(&mut self, number: i32) -> bool {
        let supervisor = self.supervisor.as_ref();
        let is_stop = supervisor.is_some_and(|one| one.settings.stop_signals.contains(&number));
        if !is_stop {
            return false;
        }
        let is_idle = !self.has_server();
        self.stopping();
        if is_idle {
            tracing::info!("stopping; no server runs");
            self.set_end(Ended::from_code(0));
        }
        is_idle
    }

    /// A process has ended.
    pub(super) fn supervised_has_ended(&mut self, process: &Process, how: Ended) {
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        let pid = process.pid;
        if supervisor.is_standby(pid) {
            supervisor.standby = None;
            supervisor.standby_failed();
            tracing::warn!("the second server (process {pid}) {how}");
            return;
        }
        let was_starting = supervisor.starting.take_if(|one| *one == pid).is_some();
        if process.has_left {
            return;
        }
        let is_first = was_starting && !supervisor.supervision.has_served;
        if supervisor.is_stopping || is_first {
            supervisor.is_stopping = true;
            if was_starting {
                self.set_end(how);
            }
            return;
        }
        let delay = if process.is_serving {
            let delay = supervisor.crashed(how.to_string());
            tracing::error!("the server (process {pid}) {how}: a crash; {}", next(delay));
            delay
        } else if was_starting {
            supervisor.brief_lives += 1;
            let delay = delay(supervisor.brief_lives.max(2));
            tracing::error!("the new server (process {pid}) {how}; {}", next(delay));
            delay
        } else {
            // A successor: the process before it goes on.
            return;
        };
        supervisor.start_at = Instant::now() + delay;
        // Clients wait.
        self.keep_serving();
        if process.is_serving {
            in_progress::report(process.in_progress.as_ref());
        }
    }
}

fn next(delay: Duration) -> String {
    match delay {
        Duration::ZERO => "it is replaced at once".to_owned(),
        delay => format!("the next start follows in {}", seconds(delay)),
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}
