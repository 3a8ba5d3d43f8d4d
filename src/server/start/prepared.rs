//! The first stage: everything before the sockets are bound.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::launch::{EarlyExit, Launch};
use super::shared_jobs::share_jobs;
use crate::app::Apps;
use crate::background::clockwork::Clockwork;
use crate::config::{Config, Failure, Phase};
use crate::net::ParkedConnection;
use crate::os::file_locks::{self, Locks};
use crate::os::service_manager::socket_activation;
use crate::os::{limits, privileges};
use crate::python::exit_now;
use crate::reload::event::Event;
use crate::reload::handover::inherited::InheritedSockets;
use crate::reload::handover::predecessor::{Listeners, Predecessor};
use crate::server::certificates::Certificates;
use crate::server::folders::Folders;
use crate::server::prepare::enter_directory;
use crate::server::settings::added_fields;
use crate::server::{alarms, applications, exit, hooks, signals};
use crate::telemetry::LogWriter;
use crate::wsgi::AddedFields;

/// The configuration is checked, the log open, signals are caught, and resource limits are set.
pub(super) struct Prepared<'a> {
    pub(super) launch: Launch<'a>,
    /// Files that are locked early and late (`--flock`).
    pub(super) locks: [Locks; 2],
    /// The predecessor's sockets.
    pub(super) inherited: InheritedSockets,
    /// The predecessor's connections.
    pub(super) connections: Option<Receiver<ParkedConnection>>,
    pub(super) clockwork: Arc<Clockwork>,
    pub(super) apps: Apps,
    pub(super) certificates: Certificates,
    pub(super) added_fields: AddedFields,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(
        mut launch: Launch<'a>,
        mut inherited: InheritedSockets,
        early_locks: Locks,
    ) -> Result<Self, EarlyExit> {
        let config = Arc::clone(&launch.config);
        let say = |line: &str| launch.output.say(line);
        let late_locks = file_locks::take(&config, true, &say, &mut inherited.locks)?;
        // The configuration no longer asks for the rest of the predecessor's locks.
        inherited.locks = Locks::default();
        let meanings = hooks::signals(&config);
        let writer = launch.output.writer.clone();
        exit::report_crashes(&writer);
        exit::end_at_loss(writer.clone());
        signals::listen(launch.events.clone(), &meanings, writer).map_err(Failure::new)?;
        let mut connections = None;
        if !launch.is_first() {
            connect_to_waiter(&launch).map_err(Failure::new)?;
        }
        if let Some(predecessor) = &mut launch.predecessor {
            let (events, writer) = (&launch.events, &launch.output.writer);
            connections = Some(connect(predecessor, events, writer).map_err(Failure::new)?);
        }
        if !launch.is_waiter() {
            say_notices(&config);
        }
        let clockwork = Arc::new(Clockwork::default());
        alarms::start(&config, launch.alarms, &launch.output.writer, &clockwork)?;
        let mut apps = applications::choose(&config)?;
        if let Some(predecessor) = &launch.predecessor {
            applications::need(&mut apps, predecessor.needed);
        }
        if !launch.is_first() {
            clockwork.hold();
        }
        if let Some(config) = socket_activation::apply(&config, launch.about.handed_over)? {
            launch.config = Arc::new(config);
        }
        let config = Arc::clone(&launch.config);
        let folders = Folders::new(&config, launch.about.program.folder());
        let certificates = Certificates::open(&config, &folders.start)?;
        enter_directory(&config)?;
        let folder = std::env::current_dir().unwrap_or_default();
        let added_fields = added_fields(&config, &folder)?;
        if launch.is_first() {
            limits::apply(&config);
            privileges::drop_at_once(&config)?;
            launch.run_hooks(&[Phase::PreJail, Phase::PostJail, Phase::InJail])?;
        }
        Ok(Self {
            launch,
            locks: [early_locks, late_locks],
            inherited,
            connections,
            clockwork,
            apps,
            certificates,
            added_fields,
        })
    }
}

fn say_notices(config: &Config) {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    for remark in &config.remarks {
        tracing::info!("{remark}");
    }
}

/// Listens to the waiter. When that is gone, this process stops too.
fn connect_to_waiter(launch: &Launch<'_>) -> io::Result<()> {
    signals::release();
    let on_waiter_gone = {
        let (events, writer) = (launch.events.clone(), launch.output.writer.clone());
        let is_serving = Arc::clone(&launch.is_serving);
        move || {
            tracing::error!("the first process of the server is gone; this process stops too");
            if !is_serving.load(Ordering::SeqCst) {
                end(&writer);
            }
            // An error: the supervisor has ended, and so does this process.
            let _gone = events.send(Event::stop("the end of the first process", 0));
        }
    };
    let on_signal = {
        let (events, writer) = (launch.events.clone(), launch.output.writer.clone());
        move |signal| signals::forwarded(signal, &events, &writer)
    };
    launch.link.listen(on_signal, on_waiter_gone)?;
    if launch.link.supervision().is_some()
        && let Err(error) = share_jobs(launch.link)
    {
        tracing::warn!(%error, "the requests in progress will not be known after a SIGKILL");
    }
    Ok(())
}

/// Listens to the predecessor, with which this process ends until it serves. Returns what receives
/// connections.
fn connect(
    predecessor: &mut Predecessor,
    events: &Sender<Event>,
    writer: &LogWriter,
) -> io::Result<Receiver<ParkedConnection>> {
    let (sender, receiver) = unbounded();
    let writer = writer.clone();
    predecessor.listen(Listeners {
        connections: sender,
        events: events.clone(),
        is_new_stop: signals::is_new_stop_of_predecessor,
        on_gone: Box::new(move || end(&writer)),
    })?;
    Ok(receiver)
}

fn end(writer: &LogWriter) {
    /// How long the last lines of the log may take.
    const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
    writer.flush(FLUSH_TIMEOUT);
    exit_now(1);
}
