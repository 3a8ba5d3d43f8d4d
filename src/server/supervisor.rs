//! The supervisor waits for events: signals, requests to reload or stop, and results of other
//! threads' work. Main thread.
//!
//! It alone decides: a reload is built by other threads and put in charge here, so that it never
//! meets a stop.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};

use super::actions::Actions;
use super::engine::Engine;
use super::exit::KILLED_BY;
use super::stop::{self, Shutdown};
use crate::app::{Acceptor, Workers};
use crate::os::pidfile;
use crate::os::service_manager::notify::Notifier;
use crate::os::service_manager::watchdog::Watchdog;
use crate::reload::event::Event;
use crate::reload::handover::drain::Drain;
use crate::reload::handover::message::FromPredecessor;
use crate::reload::handover::successor_process::Successor;
use crate::reload::interval::Interval;
use crate::reload::reloader::{Action, Reloader};
use crate::reload::task::TaskResult;

/// How the supervision ended.
pub enum End {
    /// The server has stopped: the exit code.
    Stop(i32),
    /// Another process is the server from now on.
    Succeeded {
        /// It may have died since.
        successor: Successor,
        /// One more reload was asked for meanwhile.
        wants_reload: bool,
    },
}

/// What the server does. (The start is no phase: its stages come before the supervisor.)
enum Phase {
    /// Requests are answered. Reloads within the process are the reloader's.
    Serving,
    /// A stop was asked for and begins later (`--shutdown-delay`).
    StopDelayed(DelayedStop),
    /// A reload by another process: a successor serves, and this process drains.
    HandingOver(Drain),
    /// The server stops.
    Stopping(Stopping),
}

struct DelayedStop {
    at: Instant,
    by: &'static str,
}

struct Stopping {
    /// A successor that stops with this process.
    successor: Option<Successor>,
    /// The same one, when all else has ended.
    waited_for: Option<Successor>,
    exit_code: i32,
}

/// Serves until the server has stopped, or another process has taken over.
pub struct Supervisor<'a> {
    engine: &'a Engine,
    acceptor: &'a Acceptor,
    reloader: Reloader,
    notifier: &'a Notifier,
    actions: Actions<'a>,
    events: Sender<Event>,
    received: &'a Receiver<Event>,
    /// How long requests in progress may take when the server stops.
    mercy: Duration,
    ticks: Interval,
    looks: Interval,
    watchdog: Watchdog,
    /// How often the acceptor had looked when the watchdog was told.
    acceptor_looks: Option<u64>,
    phase: Phase,
    /// The generation that serves.
    generation: Option<u64>,
}

impl<'a> Supervisor<'a> {
    /// The server serves.
    pub fn new(
        engine: &'a Engine,
        acceptor: &'a Acceptor,
        reloader: Reloader,
        notifier: &'a Notifier,
        actions: Actions<'a>,
        events: Sender<Event>,
        received: &'a Receiver<Event>,
    ) -> Self {
        Self {
            engine,
            acceptor,
            reloader,
            notifier,
            mercy: actions.config.process.reload_mercy,
            actions,
            events,
            received,
            ticks: Interval::default(),
            looks: Interval::default(),
            watchdog: Watchdog::of_environment(pidfile::pid()),
            acceptor_looks: None,
            phase: Phase::Serving,
            generation: engine.generation(),
        }
    }

    /// Handles events until the end.
    pub fn run(mut self) -> End {
        self.reloader.begin();
        loop {
            self.adopt_configuration();
            self.note_generation();
            let end = match self.next_event() {
                Ok(event) => self.handle(event),
                Err(RecvTimeoutError::Timeout) => self.time_passed(),
                Err(RecvTimeoutError::Disconnected) => Some(End::Stop(1)),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// After a reload, a second server that waits has an old version (`--supervise=warm`).
    fn note_generation(&mut self) {
        let generation = self.engine.generation();
        if generation.is_some() && generation != self.generation {
            self.generation = generation;
            self.actions.link.renewed();
        }
    }

    /// A reload, or a rollback, may have put another configuration in charge.
    fn adopt_configuration(&mut self) {
        let config = self.reloader.config();
        if matches!(self.phase, Phase::Serving) && !Arc::ptr_eq(&config, &self.actions.config) {
            self.mercy = config.process.reload_mercy;
            self.actions.adopt(config);
        }
    }

    /// Waits for the next event, or until something is due.
    fn next_event(&mut self) -> Result<Event, RecvTimeoutError> {
        let now = Instant::now();
        let stop = match &self.phase {
            Phase::StopDelayed(stop) => Some(stop.at),
            Phase::Serving | Phase::HandingOver(_) | Phase::Stopping(_) => None,
        };
        let mut dues = vec![self.watchdog.next(), stop];
        if !matches!(self.phase, Phase::Stopping(_)) {
            dues.push(self.ticks.next(self.reloader.tick_period(), now));
            dues.push(self.looks.next(self.reloader.look_period(), now));
        }
        match dues.into_iter().flatten().min() {
            Some(next) => self
                .received
                .recv_timeout(next.saturating_duration_since(now)),
            None => self.received.recv().map_err(RecvTimeoutError::from),
        }
    }

    /// This thread works, which calls this; so does the acceptor, if it has looked since the last
    /// time. A request that hangs is no reason for a restart: `--harakiri` ends it.
    fn tell_watchdog(&mut self) {
        let looks = Some(self.acceptor.looks());
        if looks == self.acceptor_looks {
            tracing::error!("the thread that accepts connections hangs; the watchdog is not told");
        } else {
            self.notifier.alive();
        }
        self.acceptor_looks = looks;
        // It looks until the next time, though nothing happens.
        self.acceptor.nudge();
    }

    fn time_passed(&mut self) -> Option<End> {
        let now = Instant::now();
        if self.watchdog.is_due(now) {
            self.tell_watchdog();
        }
        if matches!(self.phase, Phase::Stopping(_)) {
            return None;
        }
        if let Phase::StopDelayed(DelayedStop { at, by }) = self.phase
            && at <= now
        {
            return self.stop(by, 0);
        }
        if self.ticks.is_due(now) {
            self.reloader.tick();
        }
        if self.looks.is_due(now) && matches!(self.reloader.look(), Action::Stop) {
            return self.stop("--die-on-idle", 0);
        }
        None
    }

    /// Handles an event. `Some`: the supervision ends.
    fn handle(&mut self, event: Event) -> Option<End> {
        let process = &self.actions.config.process;
        let (has_delay, exits) = (!process.shutdown_delay.is_zero(), process.exit_on_reload);
        match (&mut self.phase, event) {
            (Phase::StopDelayed(_) | Phase::Stopping(_), Event::Stop { by, signal }) => {
                return self.stop_at_once(&format!("{by} again"), KILLED_BY + signal);
            }
            // Only a stop from outside is delayed: load balancers look whether the server is ready.
            (Phase::Serving, Event::Stop { by, signal }) if signal != 0 && has_delay => {
                self.delay_stop(by);
            }
            (_, Event::Stop { by, .. }) => return self.stop(by, 0),
            (Phase::Stopping(_), Event::StopNow { by }) => return self.stop_at_once(by, 0),
            (_, Event::StopNow { by }) => {
                self.mercy = Duration::ZERO;
                return self.stop(by, 0);
            }
            (
                Phase::Stopping(_),
                Event::Predecessor(_)
                | Event::Retired { .. }
                | Event::Due(_)
                | Event::Touched(_)
                | Event::Adjust { .. }
                | Event::Rest { .. },
            ) => {}
            (_, Event::Predecessor(sent)) => return self.predecessor_sends(&sent),
            (_, Event::SuccessorEnded { how }) => self.successor_ended(&how),
            (_, Event::Drained { pid, all_closed }) => self.drained(pid, all_closed),
            (_, Event::Stopped) => return self.stopped(),
            (_, Event::Asked { number, is_rolling }) => {
                return self.client_asks(number, is_rolling);
            }
            (
                Phase::StopDelayed(_) | Phase::Stopping(_),
                Event::Reload { by } | Event::ChainReload { by },
            ) => tracing::info!("{by}: the server stops; there is nothing to reload"),
            (_, Event::Reload { by }) if exits => {
                tracing::info!("{by}: a reload is a stop here (--exit-on-reload)");
                return self.stop("reload", 0);
            }
            (Phase::HandingOver(drain), Event::Reload { by } | Event::ChainReload { by }) => {
                tracing::info!("{by}: a reload is under way; one more follows");
                drain.wants_reload = true;
            }
            (Phase::Serving, Event::Reload { by }) => self.reload(&by),
            (Phase::Serving, Event::ChainReload { by }) => self.reloader.ask_reload(&by, true),
            (_, event @ (Event::Renew { .. } | Event::MainInterpreter)) => self.renew(&event),
            (Phase::Serving, Event::InterpreterParked) => self.reloader.interpreter_was_parked(),
            (_, Event::InterpreterParked) => {}
            (_, Event::Rollback { by, reply }) => {
                let done = self.roll_back(&by);
                // An error: the client has gone.
                drop(reply.map(|reply| reply.send(done)));
            }
            (_, Event::ReopenLog { by }) => self.actions.reopen_log(&by),
            (_, Event::RotateLog { by }) => self.actions.rotate_log(&by),
            (_, Event::LogStatus { by }) => self.actions.log_status(by),
            (Phase::Stopping(_), Event::Done(result)) => result.discard(),
            (_, Event::Done(result)) => self.task_ended(*result),
            (phase, Event::Wanted(generation)) => {
                let is_refused = matches!(phase, Phase::Stopping(_) | Phase::HandingOver(_));
                self.reloader.wanted(generation, is_refused);
            }
            (_, Event::Retired { generation }) => self.reloader.generation_ended(generation),
            (phase, Event::Due(due)) => {
                let is_handing_over = matches!(phase, Phase::HandingOver(_));
                self.reloader.interpreter_is_due(due, is_handing_over);
            }
            (_, Event::Touched(hook)) => {
                let code = self.actions.run_touched(hook)?;
                return self.stop("hook-touch", code);
            }
            (_, Event::Adjust { by, is_up }) => self.reloader.adjust(&by, is_up),
            (_, Event::Rest { by }) => self.reloader.rest(&by),
        }
        None
    }

    fn predecessor_sends(&mut self, sent: &FromPredecessor) -> Option<End> {
        match sent {
            FromPredecessor::Stop => self.stop("the process before this one", 0),
            // It ends. The rest is sent before there is a supervisor.
            FromPredecessor::Gone | FromPredecessor::Reload | FromPredecessor::Finished(_) => None,
        }
    }

    fn reload(&mut self, by: &str) {
        self.notifier.reloading();
        self.actions.prepare_reload();
        self.reloader.ask_reload(by, false);
    }

    /// The server itself needs another process, or another interpreter.
    fn renew(&mut self, event: &Event) {
        match event {
            _ if !matches!(self.phase, Phase::Serving) => {}
            Event::Renew { by } => self.reloader.ask_new_process(by),
            _ => self.reloader.switch_to_main(),
        }
    }

    /// A client asks for a reload and waits for its end.
    fn client_asks(&mut self, number: u64, is_rolling: bool) -> Option<End> {
        self.reloader.history().received(number);
        let by = Cow::Borrowed("control");
        self.handle(if is_rolling {
            Event::ChainReload { by }
        } else {
            Event::Reload { by }
        })
    }

    /// A task of the reloader has ended.
    fn task_ended(&mut self, result: TaskResult) {
        match self.reloader.task_ended(result) {
            Action::HandOver(successor) if matches!(self.phase, Phase::StopDelayed(_)) => {
                successor.kill();
                self.reloader.not_renewed("the server stops".to_owned());
            }
            Action::HandOver(successor) => self.hand_over(successor),
            Action::GoOn | Action::Stop => {}
        }
        self.acceptor.nudge();
        if matches!(self.phase, Phase::Serving) && !self.reloader.is_busy() {
            self.tell_service_manager();
        }
    }

    /// No reload runs any more.
    fn tell_service_manager(&self) {
        let last = self.reloader.history().latest();
        if last.outcome == "failed" {
            self.notifier.reload_failed(&last.reason);
        } else {
            self.notifier.ready();
        }
    }

    fn roll_back(&mut self, by: &str) -> Result<String, String> {
        let why = match self.phase {
            Phase::Stopping(_) => "the server stops",
            Phase::HandingOver(_) => "another process takes over",
            Phase::Serving | Phase::StopDelayed(_) => {
                let done = self.reloader.roll_back(by);
                self.acceptor.nudge();
                return done;
            }
        };
        tracing::info!("{by}: {why}; there is nothing to go back to");
        Err(why.to_owned())
    }

    /// The successor serves from now on, and this process drains.
    fn hand_over(&mut self, successor: Successor) {
        let Engine { net, current, .. } = self.engine;
        let pid = successor.pid();
        match Drain::begin(net, current, successor, &self.events, self.mercy) {
            Ok(mut drain) => {
                tracing::info!(
                    "the new version is loaded: process {pid} serves, and this one finishes what \
                     it has begun"
                );
                drain.wants_reload = self.reloader.has_waiting();
                // Tasks begin in the new process from now on.
                self.engine.process.spooler.files.pause();
                self.phase = Phase::HandingOver(drain);
            }
            Err(why) => self
                .reloader
                .not_renewed(format!("the new process cannot serve: {why}")),
        }
    }

    /// No request is in progress here any more: the generation ends, and then this process.
    fn drained(&mut self, pid: u32, all_closed: bool) {
        match &mut self.phase {
            Phase::HandingOver(drain) if drain.successor().pid() == pid && !drain.is_complete => {
                drain.is_complete = true;
            }
            _ => return,
        }
        let at_work = self.reloader.stop();
        if !self.start_shutdown(at_work, Some(all_closed)) {
            self.go_back("there is no thread for it".to_owned());
        }
    }

    /// The handover has failed: this process serves on, and begins a reload that was asked for
    /// meanwhile.
    fn go_back(&mut self, why: String) {
        let Phase::HandingOver(drain) = std::mem::replace(&mut self.phase, Phase::Serving) else {
            return;
        };
        let wants_reload = drain.wants_reload;
        drain.go_back(&self.engine.net, &self.engine.current);
        self.engine.process.spooler.files.resume();
        if wants_reload {
            self.reloader
                .ask_reload("a reload that was asked for meanwhile", false);
        }
        self.reloader.not_renewed(why);
    }

    fn successor_ended(&mut self, how: &str) {
        match &mut self.phase {
            Phase::Stopping(stopping) => {
                if stopping.successor.take().is_some() {
                    tracing::info!("the new process {how}");
                }
            }
            Phase::HandingOver(drain) if drain.is_complete => {
                tracing::error!("the process that serves in the place of this one {how}");
            }
            Phase::HandingOver(_) => {
                self.go_back(format!("the new process {how}"));
                self.acceptor.nudge();
                self.tell_service_manager();
            }
            Phase::Serving | Phase::StopDelayed(_) => {}
        }
    }

    /// The stop begins later, so that load balancers see that the server is not ready any more.
    fn delay_stop(&mut self, by: &'static str) {
        let delay = self.actions.config.process.shutdown_delay;
        let at = Instant::now() + delay;
        self.phase = Phase::StopDelayed(DelayedStop { at, by });
        self.actions.link.stopping();
        self.engine.net.start_leaving();
        self.notifier.stopping();
        tracing::info!(
            "{by}: stopping in {} s (--shutdown-delay); requests are answered until then",
            delay.as_secs_f64()
        );
    }

    /// Begins to stop (see `stop`).
    fn stop(&mut self, by: &str, exit_code: i32) -> Option<End> {
        self.actions.link.stopping();
        self.reloader.history().close("the server stops");
        self.engine.clockwork.stop();
        self.engine.process.spooler.files.pause();
        self.notifier.stopping();
        let mut stopping = Stopping {
            successor: None,
            waited_for: None,
            exit_code,
        };
        let mut is_ending = false;
        match std::mem::replace(&mut self.phase, Phase::Serving) {
            Phase::HandingOver(drain) => {
                tracing::info!("{by}: stopping, and so does the new process");
                is_ending = drain.is_complete;
                stopping.successor = Some(drain.stop(&self.engine.net));
            }
            Phase::Serving | Phase::StopDelayed(_) | Phase::Stopping(_) => {
                tracing::info!(
                    "{by}: stopping; requests in progress have {} s to finish",
                    self.mercy.as_secs()
                );
                stop::close_listeners(&self.engine.net, &self.engine.current);
            }
        }
        self.phase = Phase::Stopping(stopping);
        let at_work = self.reloader.stop();
        if !is_ending && !self.start_shutdown(at_work, None) {
            self.kill_successor();
            return Some(End::Stop(1));
        }
        self.acceptor.nudge();
        None
    }

    fn stop_at_once(&mut self, by: &str, exit_code: i32) -> Option<End> {
        tracing::warn!("{by}: stopping now");
        self.kill_successor();
        Some(End::Stop(exit_code))
    }

    /// Starts the thread that waits for connections and workers. Returns whether it could.
    fn start_shutdown(&self, at_work: Vec<Workers>, all_closed: Option<bool>) -> bool {
        let shutdown = Shutdown {
            net: Arc::clone(&self.engine.net),
            current: Arc::clone(&self.engine.current),
            process: Arc::clone(&self.engine.process),
            at_work,
            mercy: self.mercy,
            all_closed,
        };
        let started = shutdown.start(self.events.clone());
        if let Err(error) = &started {
            tracing::error!(%error, "cannot start the thread that stops the server; stopping now");
        }
        started.is_ok()
    }

    /// Connections and workers have ended.
    fn stopped(&mut self) -> Option<End> {
        match std::mem::replace(&mut self.phase, Phase::Serving) {
            Phase::HandingOver(drain) => {
                let wants_reload = drain.wants_reload;
                Some(End::Succeeded {
                    successor: drain.end(&self.engine.net),
                    wants_reload,
                })
            }
            Phase::Stopping(mut stopping) => {
                // The successor has requests to finish too.
                let successor = stopping.successor.take();
                if let Some(successor) = successor.filter(|one| !one.has_ended()) {
                    let deadline = Instant::now() + self.mercy;
                    if stop::wait_for_successor(&successor, deadline, &self.events) {
                        stopping.waited_for = Some(successor);
                        self.phase = Phase::Stopping(stopping);
                        return None;
                    }
                    successor.kill();
                }
                Some(End::Stop(stopping.exit_code))
            }
            Phase::Serving | Phase::StopDelayed(_) => Some(End::Stop(0)),
        }
    }

    /// No successor outlives a server that stops at once.
    fn kill_successor(&mut self) {
        match &self.phase {
            Phase::HandingOver(drain) => drain.successor().kill(),
            Phase::Stopping(stopping) => {
                let both = [&stopping.successor, &stopping.waited_for];
                both.into_iter().flatten().for_each(Successor::kill);
            }
            Phase::Serving | Phase::StopDelayed(_) => {}
        }
    }
}
