//! What all stages of the start use.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::cancellation;
use crate::app::Deadlines;
use crate::background::alarms::Alarms;
use crate::config::{Config, Failure, Phase, Supervise};
use crate::reload::event::Event;
use crate::reload::handover::predecessor::Predecessor;
use crate::server::hooks::{self, HookContext, Next};
use crate::server::log_target::LogOutput;
use crate::waiter::link::Link;
use crate::waiter::message::Program;

/// Who has started this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A user, a shell or a service manager.
    First,
    /// The waiter (`--supervise`), at the start or after a crash.
    Waiter,
    /// A process of the server, to succeed it.
    Predecessor,
}

/// How this process was started.
pub(super) struct About {
    pub(super) origin: Origin,
    pub(super) started: Instant,
    pub(super) program: Program,
    /// How many sockets the service manager has handed over.
    pub(super) handed_over: u32,
    /// The process title overwrites the environment's memory too.
    pub(super) title_spills: bool,
}

/// The process, its log and its events, from one stage to the next.
pub(super) struct Launch<'a> {
    pub(super) config: Arc<Config>,
    pub(super) about: About,
    /// In a successor.
    pub(super) predecessor: Option<&'a mut Predecessor>,
    pub(super) link: &'a Arc<Link>,
    pub(super) alarms: &'a Arc<Alarms>,
    pub(super) output: &'a mut LogOutput,
    pub(super) events: Sender<Event>,
    pub(super) received: Receiver<Event>,
    /// They end when a stop is asked for.
    pub(super) deadlines: Deadlines,
    /// Requests are answered.
    pub(super) is_serving: Arc<AtomicBool>,
}

/// Why the start ends before the server serves.
pub(super) enum EarlyExit {
    /// An `exit:` hook: leave with this code.
    Code(i32),
    /// A stop was asked for.
    Cancelled,
    Failed(Failure),
}

impl From<Failure> for EarlyExit {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<'a> Launch<'a> {
    pub(super) fn new(
        config: &Config,
        about: About,
        predecessor: Option<&'a mut Predecessor>,
        link: &'a Arc<Link>,
        alarms: &'a Arc<Alarms>,
        output: &'a mut LogOutput,
    ) -> Self {
        // Signals that come while the application loads wait here for the supervisor.
        let (events, received) = unbounded();
        let deadlines = match predecessor {
            None => cancellation::begin(),
            Some(_) => Deadlines::endless(),
        };
        Self {
            config: Arc::new(config.clone()),
            about,
            predecessor,
            link,
            alarms,
            output,
            events,
            received,
            deadlines,
            is_serving: Arc::default(),
        }
    }

    /// The first process: does what is done once for the life of the server.
    pub(super) fn is_first(&self) -> bool {
        self.about.origin == Origin::First
    }

    /// The first process, which only starts the server (`--supervise`).
    pub(super) fn is_waiter(&self) -> bool {
        self.is_first() && self.config.process.supervise != Supervise::Off
    }

    /// Whether files and sockets are left as they are at the end, because another process serves
    /// with them, or will.
    pub(super) fn spares_files(&self) -> bool {
        let supervision = self.link.supervision();
        match self.about.origin {
            Origin::First => self.is_waiter(),
            Origin::Waiter => supervision.is_some_and(|known| known.has_served),
            Origin::Predecessor => true,
        }
    }

    /// A stage has failed, perhaps because a stop was asked for.
    pub(super) fn failed(&self, failure: Failure) -> EarlyExit {
        match self.deadlines.pause(Duration::ZERO) {
            Ok(()) => EarlyExit::Failed(failure),
            Err(_) => EarlyExit::Cancelled,
        }
    }

    /// Runs the hooks that come after privileges were dropped: in each server, and not in a first
    /// process that only starts it.
    pub(super) fn run_hooks_as_user(&self) -> Result<(), EarlyExit> {
        match self.is_waiter() {
            true => Ok(()),
            false => self.run_hooks(&[Phase::AsUser]),
        }
    }

    /// Runs the hooks of these phases.
    pub(super) fn run_hooks(&self, phases: &[Phase]) -> Result<(), EarlyExit> {
        let context = HookContext {
            say: &|line| self.output.say(line),
            alarms: self.alarms,
        };
        match hooks::run(&self.config, phases, context)? {
            Next::Go => Ok(()),
            Next::Leave(code) => Err(EarlyExit::Code(code)),
        }
    }
}
