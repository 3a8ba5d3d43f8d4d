//! What all stages of the start use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::cancellation;
use crate::app::Deadlines;
use crate::background::alarms::Alarms;
use crate::config::{Config, Failure, Phase};
use crate::reload::event::Event;
use crate::reload::handover::predecessor::Predecessor;
use crate::server::hooks::{self, HookContext, Next};
use crate::server::log_target::LogOutput;
use crate::waiter::link::Link;
use crate::waiter::message::Program;

/// How this process was started.
pub(super) struct About {
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
    /// `None` at a first start.
    pub(super) predecessor: Option<&'a mut Predecessor>,
    pub(super) link: &'a Arc<Link>,
    pub(super) alarms: &'a Arc<Alarms>,
    pub(super) output: &'a mut LogOutput,
    pub(super) events: Sender<Event>,
    pub(super) received: Receiver<Event>,
    /// They end when a stop is asked for.
    pub(super) deadlines: Deadlines,
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
        }
    }

    /// A first start, and no successor: does what is done once for the life of the server.
    pub(super) fn is_first(&self) -> bool {
        self.predecessor.is_none()
    }

    /// A stage has failed, perhaps because a stop was asked for.
    pub(super) fn failed(&self, failure: Failure) -> EarlyExit {
        match self.deadlines.pause(Duration::ZERO) {
            Ok(()) => EarlyExit::Failed(failure),
            Err(_) => EarlyExit::Cancelled,
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
