//! Waits for what concerns the whole server: signals, and the end.
//!
//! It alone decides: a reload is built elsewhere and put in charge here, so that it never meets a stop.
//! Stopping is a walk in reverse: the listeners close, connections finish what they have begun, the
//! generation is dropped, its workers end their interpreters. A second signal cuts it short.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};

use super::handover::drain::Relay;
use super::stop;
use crate::app::{Acceptor, Current, Roster};
use crate::background::clockwork::Clockwork;
use crate::net::{Net, Turn};
use crate::os::service_manager::notify::Notifier;
use crate::reload::event::Event;
use crate::reload::handover::successor_process::{Heard, StandIn};
use crate::reload::interval::Interval;
use crate::reload::reloader::{Action, Reloader};
use crate::reload::task::TaskResult;

/// A signal ends a process with this and its number (the shell's convention).
pub(super) const KILLED_BY: i32 = 128;

/// What the supervisor looks after, and how it was told to.
pub struct Charge<'a> {
    /// Where it is told, and by what it hears of the end.
    pub events: (&'a Sender<Event>, &'a Receiver<Event>),
    /// Sockets and the poll.
    pub net: &'a Arc<Net>,
    /// The generation that serves.
    pub current: &'a Arc<Current>,
    /// Takes connections while every worker is stuck.
    pub acceptor: &'a Acceptor,
    /// Raises signals by the clock.
    pub clockwork: &'a Clockwork,
    /// What requests in progress are given when the server stops.
    pub mercy: Duration,
    /// How long it goes on as before after a signal to stop (`--shutdown-delay`).
    pub delay: Duration,
    /// A reload is a stop (`--exit-on-reload`).
    pub exits_on_reload: bool,
    /// Makes the next generation.
    pub reloader: Reloader,
    /// Hears of reloads and of the stop.
    pub notifier: &'a Notifier,
    /// Opens the log anew; at every reload too.
    pub reopen_log: &'a mut dyn FnMut(),
    /// Does what a touched file asks for; `Some` if that is to leave with this code.
    pub on_touch: &'a mut dyn FnMut(usize) -> Option<i32>,
    /// What else is done at every reload before the application is loaded anew, also if that fails then.
    pub on_reload: Vec<Box<dyn FnMut() + 'a>>,
}

/// How the supervision ended.
pub enum End {
    /// The server has stopped: the exit code.
    Stop(i32),
    /// Another process is the server from now on.
    Succeeded {
        /// `None`: it has gone in the last moment.
        successor: Option<StandIn>,
        /// One more reload was asked for meanwhile.
        wants_reload: bool,
    },
}

/// Serves until the server has stopped, or another process has taken it over.
pub fn supervise(charge: Charge<'_>) -> End {
    let watch = Watch {
        mercy: charge.mercy,
        leaving: None,
        awaited: None,
        charge,
        departure: None,
        ticks: Interval::default(),
        looks: Interval::default(),
        relay: None,
        is_stopping: false,
        exit_code: 0,
    };
    watch.run()
}

/// The supervisor at work.
struct Watch<'a> {
    charge: Charge<'a>,
    mercy: Duration,
    /// When the stop begins that was asked for, and by what (`--shutdown-delay`).
    departure: Option<(Instant, &'static str)>,
    ticks: Interval,
    looks: Interval,
    /// The process leaves its place to a successor.
    relay: Option<Relay>,
    /// A successor that stops with this process.
    leaving: Option<StandIn>,
    /// The same one when nothing else is waited for.
    awaited: Option<StandIn>,
    is_stopping: bool,
    exit_code: i32,
}

impl Watch<'_> {
    fn run(mut self) -> End {
        self.charge.reloader.begin();
        loop {
            let end = match self.next_event() {
                Ok(event) => self.hear(event),
                Err(RecvTimeoutError::Timeout) => self.time_passed(),
                Err(RecvTimeoutError::Disconnected) => Some(End::Stop(1)),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Waits for the next event, or until something is due.
    fn next_event(&mut self) -> Result<Event, RecvTimeoutError> {
        let now = Instant::now();
        let (_, receiver) = self.charge.events;
        let reloader = &self.charge.reloader;
        let next_tick = self.ticks.next(reloader.tick_period(), now);
        let next_look = self.looks.next(reloader.look_period(), now);
        let begins = self.departure.map(|(at, _)| at);
        let next = [next_tick, next_look, begins].into_iter().flatten().min();
        match next.filter(|_| !self.is_stopping) {
            Some(next) => receiver.recv_timeout(next.saturating_duration_since(now)),
            None => receiver.recv().map_err(RecvTimeoutError::from),
        }
    }

    fn time_passed(&mut self) -> Option<End> {
        let now = Instant::now();
        if let Some((_, by)) = self.departure.take_if(|(at, _)| *at <= now) {
            return self.stop(by);
        }
        if self.ticks.is_due(now) {
            self.charge.reloader.tick();
        }
        if self.looks.is_due(now) && matches!(self.charge.reloader.look(), Action::Stop) {
            return self.stop("--die-on-idle");
        }
        None
    }

    /// `Some`: that is all.
    fn hear(&mut self, event: Event) -> Option<End> {
        let is_going_on = !self.is_stopping;
        match event {
            Event::Asked { number, is_rolling } => {
                self.charge.reloader.history().received(number);
                let by = Cow::Borrowed("control");
                self.hear(if is_rolling {
                    Event::ChainReload { by }
                } else {
                    Event::Reload { by }
                })
            }
            Event::Stop { by, signal } if self.is_stopping || self.departure.is_some() => {
                tracing::warn!("{by} again: stopping now");
                self.drop_stand_ins();
                Some(End::Stop(KILLED_BY + signal))
            }
            // Only what comes from outside is worth a delay: others look whether the server is ready.
            Event::Stop { by, signal }
                if signal != 0 && !self.charge.delay.is_zero() && self.relay.is_none() =>
            {
                self.depart(by);
                None
            }
            Event::Stop { by, .. } => self.stop(by),
            Event::StopNow { by } if is_going_on => {
                self.mercy = Duration::ZERO;
                self.stop(by)
            }
            Event::StopNow { by } => {
                tracing::warn!("{by}: stopping now");
                self.drop_stand_ins();
                Some(End::Stop(0))
            }
            Event::Reload { by } | Event::ChainReload { by }
                if self.is_stopping || self.departure.is_some() =>
            {
                tracing::info!("{by}: the server stops; there is nothing to reload");
                None
            }
            Event::Reload { by } if self.charge.exits_on_reload => {
                tracing::info!("{by}: a reload is a stop here (--exit-on-reload)");
                self.stop("reload")
            }
            Event::Reload { by } | Event::ChainReload { by } if self.relay.is_some() => {
                tracing::info!("{by}: a reload is under way; one more follows");
                if let Some(relay) = &mut self.relay {
                    relay.wants_reload = true;
                }
                None
            }
            Event::Reload { by } => {
                self.charge.notifier.reloading();
                (self.charge.reopen_log)();
                for hook in &mut self.charge.on_reload {
                    hook();
                }
                self.charge.reloader.ask_reload(&by, false);
                None
            }
            Event::ChainReload { by } => {
                self.charge.reloader.ask_reload(&by, true);
                None
            }
            Event::Renew { by } => {
                if is_going_on && self.relay.is_none() && self.departure.is_none() {
                    self.charge.reloader.ask_new_process(&by);
                }
                None
            }
            Event::Rollback { by, reply } => {
                let done = self.roll_back(&by);
                if let Some(reply) = reply {
                    // Whoever asked has left.
                    let _gone = reply.send(done);
                }
                None
            }
            Event::ReopenLog { by } => {
                tracing::info!("{by}: opening the log anew");
                (self.charge.reopen_log)();
                None
            }
            // What was born for a server that stops is dropped, and ends.
            Event::Done(done) if self.is_stopping => {
                done.discard();
                None
            }
            Event::Retired { .. }
            | Event::Due(_)
            | Event::Touched(_)
            | Event::Adjust { .. }
            | Event::Rest { .. }
                if self.is_stopping =>
            {
                None
            }
            Event::Wanted(generation) => {
                let is_leaving = self.is_stopping || self.relay.is_some();
                self.charge.reloader.wanted(generation, is_leaving);
                None
            }
            Event::Adjust { by, is_up } => {
                self.charge.reloader.adjust(&by, is_up);
                None
            }
            Event::Rest { by } => {
                self.charge.reloader.rest(&by);
                None
            }
            Event::Touched(hook) => {
                let code = (self.charge.on_touch)(hook)?;
                self.exit_code = code;
                self.stop("hook-touch")
            }
            Event::Done(done) => {
                self.done(*done);
                None
            }
            Event::Due(due) => {
                self.charge
                    .reloader
                    .interpreter_is_due(due, self.relay.is_some());
                None
            }
            Event::Retired { generation } => {
                self.charge.reloader.generation_ended(generation);
                None
            }
            Event::Drained { pid, all_closed } => {
                self.drained(pid, all_closed);
                None
            }
            Event::StandIn(heard) => self.heard(heard),
            Event::Stopped => self.stopped(),
        }
    }

    /// A task of the reloader has ended.
    fn done(&mut self, done: TaskResult) {
        match self.charge.reloader.task_ended(done) {
            Action::HandOver(stand_in) if self.departure.is_some() => {
                stand_in.kill();
                self.charge
                    .reloader
                    .not_renewed("the server stops".to_owned());
            }
            Action::HandOver(stand_in) => self.begin_relay(stand_in),
            Action::GoOn | Action::Stop => {}
        }
        self.charge.acceptor.nudge();
        if self.relay.is_none() && self.departure.is_none() && !self.charge.reloader.is_busy() {
            self.charge.notifier.ready();
        }
    }

    fn roll_back(&mut self, by: &str) -> Result<String, String> {
        if self.is_stopping {
            tracing::info!("{by}: the server stops; there is nothing to go back to");
            return Err("the server stops".to_owned());
        }
        if self.relay.is_some() {
            tracing::info!("{by}: another process takes over; there is nothing to go back to");
            return Err("another process takes over".to_owned());
        }
        let done = self.charge.reloader.roll_back(by);
        self.charge.acceptor.nudge();
        done
    }

    /// A stop is to come: others have time to see that the server is not ready any more.
    fn depart(&mut self, by: &'static str) {
        let delay = self.charge.delay;
        self.departure = Some((Instant::now() + delay, by));
        self.charge.net.start_leaving();
        self.charge.notifier.stopping();
        tracing::info!(
            "{by}: stopping in {} s (--shutdown-delay); requests are answered until then",
            delay.as_secs_f64()
        );
    }

    /// The successor serves from now on, and this process finishes what it has.
    fn begin_relay(&mut self, stand_in: StandIn) {
        let Charge { net, current, .. } = self.charge;
        let pid = stand_in.pid();
        let how = (self.charge.events.0, self.mercy);
        match Relay::begin(net, current, stand_in, how) {
            Ok(mut relay) => {
                tracing::info!(
                    "the new version is loaded: process {pid} serves, and this one finishes what it has begun"
                );
                relay.wants_reload = self.charge.reloader.has_waiting();
                self.relay = Some(relay);
            }
            Err(why) => self
                .charge
                .reloader
                .not_renewed(format!("the new process cannot serve: {why}")),
        }
    }

    /// Nothing is under way: the generation ends, and then this process.
    fn drained(&mut self, pid: i32, all_closed: bool) {
        let Some(relay) = &mut self.relay else { return };
        if relay.pid() != pid || relay.is_drained {
            return;
        }
        relay.is_drained = true;
        let at_work = self.charge.reloader.stop();
        if !self.start_stopping(at_work, Some(all_closed))
            && let Some(relay) = self.relay.take()
        {
            self.go_back(relay, "there is no thread for it".to_owned());
        }
    }

    /// This process serves on after all. What was asked for meanwhile is not forgotten.
    fn go_back(&mut self, relay: Relay, why: String) {
        let wants_reload = relay.wants_reload;
        relay.go_back(self.charge.net, self.charge.current);
        if wants_reload {
            let reloader = &mut self.charge.reloader;
            reloader.ask_reload("a reload that was asked for meanwhile", false);
        }
        self.charge.reloader.not_renewed(why);
    }

    fn heard(&mut self, heard: Heard) -> Option<End> {
        let how = match heard {
            Heard::Stop if self.is_stopping => return None,
            Heard::Stop => return self.stop("the process before this one"),
            // It was heard before there was a supervisor.
            Heard::OneMore | Heard::Farewell(_) => return None,
            Heard::Left(how) => how,
        };
        if self.leaving.take().is_some() {
            tracing::info!("the new process {how}");
            return None;
        }
        match self.relay.take() {
            Some(relay) if relay.is_drained => {
                tracing::error!("the process that serves in the place of this one {how}");
                self.relay = Some(relay);
            }
            Some(relay) => {
                self.go_back(relay, format!("the new process {how}"));
                self.charge.acceptor.nudge();
                self.charge.notifier.ready();
            }
            None => {}
        }
        None
    }

    /// A stop begins.
    fn stop(&mut self, by: &str) -> Option<End> {
        self.is_stopping = true;
        self.departure = None;
        self.charge.reloader.history().close("the server stops");
        self.charge.clockwork.stop();
        self.charge.notifier.stopping();
        let was_drained = match self.relay.take() {
            // What goes on is a stop like any other.
            Some(relay) => {
                tracing::info!("{by}: stopping, and so does the new process");
                let is_drained = relay.is_drained;
                self.leaving = Some(relay.stop(self.charge.net));
                is_drained
            }
            None => {
                tracing::info!(
                    "{by}: stopping; requests in progress have {} s to finish",
                    self.mercy.as_secs()
                );
                let Charge { net, current, .. } = self.charge;
                net.start_leaving();
                if Turn::default().accept_the_rest(net, &**current) > 0
                    && let Some(generation) = current.load()
                {
                    generation.queue().wake_if_idle(net);
                }
                net.start_draining();
                false
            }
        };
        let at_work = self.charge.reloader.stop();
        if !was_drained && !self.start_stopping(at_work, None) {
            self.drop_stand_ins();
            return Some(End::Stop(1));
        }
        self.charge.acceptor.nudge();
        None
    }

    /// The generation has ended.
    fn stopped(&mut self) -> Option<End> {
        if let Some(relay) = self.relay.take() {
            let (successor, wants_reload) = relay.finish(self.charge.net);
            return Some(End::Succeeded {
                successor,
                wants_reload,
            });
        }
        // It has requests to finish too.
        if let Some(stand_in) = self.leaving.take().filter(|one| one.left().is_none()) {
            let (sender, mercy) = (self.charge.events.0.clone(), self.mercy);
            let waiting = stand_in.clone();
            let waiter = std::thread::Builder::new().name("sm-stop".to_owned());
            let waits = waiter.spawn(move || {
                waiting.see_off(Instant::now() + mercy);
                let _gone = sender.send(Event::Stopped);
            });
            if waits.is_ok() {
                // For whoever has no patience.
                self.awaited = Some(stand_in);
                return None;
            }
            stand_in.kill();
        }
        // Leaving somebody behind at the end of the mercy is how a stop was asked to go.
        Some(End::Stop(self.exit_code))
    }

    /// No stand-in outlives this process.
    fn drop_stand_ins(&mut self) {
        let relay = self.relay.as_ref().map(Relay::stand_in);
        let all = [relay, self.leaving.as_ref(), self.awaited.as_ref()];
        for stand_in in all.into_iter().flatten() {
            stand_in.kill();
        }
    }

    /// Starts the thread that waits for the end. `drained`: connections were waited for already; whether all are closed. Whether it
    /// could.
    fn start_stopping(&self, at_work: Vec<Roster>, drained: Option<bool>) -> bool {
        let Charge { net, current, .. } = self.charge;
        let (net, current, mercy) = (Arc::clone(net), Arc::clone(current), self.mercy);
        let sender = self.charge.events.0.clone();
        let stopper = std::thread::Builder::new()
            .name("sm-stop".to_owned())
            .spawn(move || {
                let all_closed =
                    drained.unwrap_or_else(|| net.wait_until_closed(Instant::now() + mercy));
                stop::end(&net, &current, at_work, (mercy, all_closed));
                tracing::info!("stopped ({})", stop::summary(&net));
                // The supervisor left first: a second signal came.
                let _gone = sender.send(Event::Stopped);
            });
        if let Err(error) = &stopper {
            tracing::error!(%error, "cannot start the thread that stops the server; stopping now");
        }
        stopper.is_ok()
    }
}
