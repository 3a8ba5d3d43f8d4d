//! `--supervise`: the first process keeps the sockets and starts the server. Main thread; Python is
//! not started.

use std::time::Duration;

use super::bound::Bound;
use super::cancellation;
use super::launch::{EarlyExit, Launch};
use crate::config::{Config, Failure, Supervise};
use crate::net::Handle;
#[cfg(unix)]
use crate::os::title;
use crate::os::{memory, pidfile};
use crate::server::exit::Exit;
use crate::server::signals;
use crate::telemetry::LogWriter;
use crate::waiter::message::{Program, SharedSocket, SocketKind};
use crate::waiter::resume::{Waiting, supervise};
use crate::waiter::supervision::Settings;

/// What is left to do in a first process that supervises.
pub(super) struct Supervising {
    settings: Settings,
    sockets: Vec<SharedSocket>,
    /// Signals that came and were not handled.
    unhandled: Vec<i32>,
    unread: signals::Unread,
    #[cfg(not(unix))]
    events: crossbeam::channel::Receiver<crate::reload::event::Event>,
    writer: LogWriter,
}

impl Bound<'_> {
    /// The sockets are bound: this process keeps them for the server.
    pub(super) fn supervise(mut self) -> Result<Supervising, EarlyExit> {
        self.files.spare(true);
        let shared = self.files.share_sockets(std::mem::take(&mut self.locks));
        let listeners = self.listeners.iter().map(|listener| listener.handle());
        let listeners: std::io::Result<Vec<Handle>> = listeners.collect();
        let kind = SocketKind::Listener;
        let sockets = listeners.and_then(|listeners| {
            let listeners = listeners.into_iter();
            let listeners = listeners.map(|handle| SharedSocket { kind, handle });
            Ok(listeners.chain(shared()?).collect())
        });
        cancellation::end();
        let unread = signals::stop_reading();
        Ok(Supervising {
            settings: settings(&self.launch),
            sockets: sockets.map_err(Failure::new)?,
            unhandled: unread.unhandled(&self.launch.received),
            unread,
            #[cfg(not(unix))]
            events: self.launch.received.clone(),
            writer: self.launch.output.writer.clone(),
        })
    }
}

fn settings(launch: &Launch<'_>) -> Settings {
    Settings {
        program: launch.about.program.clone(),
        is_warm: launch.config.process.supervise == Supervise::Warm,
        stop_signals: signals::stops(),
    }
}

impl Supervising {
    /// Starts the server, and waits for its end.
    pub(super) fn wait(self, config: &Config, program: &Program) -> Exit {
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
        let (waiting, _unix_only) = {
            let unix_only = (program, self.unread, self.unhandled);
            (Waiting { fallback }, unix_only)
        };
        #[cfg(not(unix))]
        let end = supervise(
            self.settings,
            self.sockets,
            waiting,
            signals::numbers(self.events),
        );
        #[cfg(unix)]
        let end = supervise(self.settings, self.sockets, waiting);
        Exit::like(&end, &self.writer)
    }
}

impl Launch<'_> {
    /// The application is loaded: waits for the waiter's order to serve.
    pub(super) fn wait_to_serve(&self) -> Result<(), EarlyExit> {
        let (resident_bytes, _) = memory::of_this_process();
        let is_cancelled = || self.deadlines.pause(Duration::ZERO).is_err();
        match self.link.wait_to_serve(resident_bytes, is_cancelled) {
            true => Ok(()),
            false => Err(EarlyExit::Cancelled),
        }
    }

    /// Logs that the server is supervised, and how often it has crashed.
    pub(super) fn say_supervision(&self) {
        let Some(known) = self.link.supervision() else {
            return;
        };
        let process = pidfile::pid();
        match known.last_crash {
            Some(crash) => tracing::info!(
                "supervised by process {process}; crashes so far: {}, the last one: the server {}",
                known.crashes,
                crash.how
            ),
            None => tracing::info!(
                "supervised by process {process}, which starts the server again after a crash"
            ),
        }
    }

    /// A server that is started after a crash gets these sockets, and the waiter writes to this
    /// log.
    pub(super) fn keep_sockets(&self, listeners: Vec<Handle>, others: Vec<SharedSocket>) {
        let kind = SocketKind::Listener;
        let listeners = listeners.into_iter();
        let mut sockets: Vec<SharedSocket> = listeners
            .map(|handle| SharedSocket { kind, handle })
            .collect();
        sockets.extend(others);
        self.link.keep(sockets);
        self.link.share_log();
    }
}
