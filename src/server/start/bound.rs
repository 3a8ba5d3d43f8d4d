//! The second stage: sockets and pidfiles, and then no more privileges.

use std::sync::Arc;

use crossbeam::channel::Receiver;

use super::launch::{EarlyExit, Launch};
use super::prepared::Prepared;
use crate::admin::control_server::ControlServer;
use crate::admin::stats_server::StatsServer;
use crate::app::Apps;
use crate::background::clockwork::Clockwork;
use crate::config::{Awaited, Phase, WaitTarget};
use crate::net::{Listener, ParkedConnection};
use crate::os::file_locks::Locks;
use crate::os::vacuum::Vacuum;
use crate::os::{pidfile, privileges};
use crate::reload::handover::inherited::Places;
use crate::reload::handover::successor_process::ShareSockets;
use crate::server::certificates::Certificates;
use crate::server::folders::Folders;
use crate::server::sockets::{self, Listening};
use crate::server::wait_for;
use crate::waiter::message::{SharedSocket, SocketKind};
use crate::wsgi::AddedFields;

/// The sockets are bound, and privileges are dropped.
pub(super) struct Bound<'a> {
    pub(super) launch: Launch<'a>,
    pub(super) locks: [Locks; 2],
    pub(super) clockwork: Arc<Clockwork>,
    pub(super) apps: Apps,
    pub(super) certificates: Certificates,
    pub(super) added_fields: AddedFields,
    pub(super) listeners: Vec<Listener>,
    pub(super) listening: Vec<Listening>,
    pub(super) handed_connections: Option<HandedConnections>,
    pub(super) pidfiles: pidfile::Files,
    pub(super) files: ServerFiles,
}

/// Connections that the predecessor hands over.
pub(super) struct HandedConnections {
    pub(super) connections: Receiver<ParkedConnection>,
    /// For each of the predecessor's listeners its place here.
    pub(super) places: Places,
}

/// The files of the server: dropped, it removes them, unless another process uses them.
pub(super) struct ServerFiles {
    pub(super) stats: Option<StatsServer>,
    pub(super) control: ControlServer,
    pub(super) vacuum: Vacuum,
}

impl ServerFiles {
    /// Whether another process uses the files.
    pub(super) fn spare(&mut self, is_spared: bool) {
        self.vacuum.spare(is_spared);
        self.spare_admin(is_spared);
    }

    /// Makes second handles to all sockets and locks but the listeners.
    pub(super) fn share_sockets(&self, locks: [Locks; 2]) -> Arc<ShareSockets> {
        let control = self.control.share();
        let stats = self.stats.as_ref().map(StatsServer::share);
        Arc::new(move || {
            let kind = SocketKind::Control;
            let control = control()?.into_iter();
            let mut shared: Vec<SharedSocket> = control
                .map(|handle| SharedSocket { kind, handle })
                .collect();
            if let Some(stats) = &stats {
                shared.push(SharedSocket {
                    kind: SocketKind::Stats,
                    handle: stats()?,
                });
            }
            #[cfg(unix)]
            for lock in locks.iter().flatten() {
                shared.push(SharedSocket {
                    kind: SocketKind::Lock,
                    handle: lock.try_clone()?.into(),
                });
            }
            #[cfg(not(unix))]
            let _there_are_none = &locks;
            Ok(shared)
        })
    }

    /// As [`spare`](Self::spare), for the sockets of control and statistics.
    pub(super) fn spare_admin(&mut self, is_spared: bool) {
        self.control.spare(is_spared);
        if let Some(stats) = &mut self.stats {
            stats.spare(is_spared);
        }
    }
}

impl<'a> Prepared<'a> {
    /// Binds the sockets and drops privileges.
    pub(super) fn bind(self) -> Result<Bound<'a>, EarlyExit> {
        let Self {
            launch,
            locks,
            mut inherited,
            connections,
            clockwork,
            apps,
            certificates,
            added_fields,
        } = self;
        let config = Arc::clone(&launch.config);
        let is_first = launch.is_first();
        let mut vacuum = Vacuum::new(config.sockets.vacuum);
        // A predecessor still serves at its sockets.
        vacuum.spare(launch.spares_files());
        let (listeners, places) = match is_first {
            true => (
                sockets::bind(&config, &certificates, &mut vacuum)?,
                Places::new(),
            ),
            false => {
                let left = std::mem::take(&mut inherited.listeners);
                sockets::bind_again(&config, &certificates, &mut vacuum, left)?
            }
        };
        let listening = sockets::listening(&config, &listeners);
        if !launch.is_waiter() {
            sockets::warn_of_open_protocols(&listening);
        }
        let mut pidfiles = if is_first {
            pidfile::Files::before_privileges(&config, &mut vacuum)?
        } else {
            pidfile::Files::of_successor(&config, &mut vacuum)
        };
        let mut files = ServerFiles {
            stats: None,
            control: ControlServer::open(&config, &mut inherited)?,
            vacuum,
        };
        files.control.spare(launch.spares_files());
        let say = |line: &str| launch.output.say(line);
        if is_first {
            let before = awaited(&config.start.awaited, false);
            wait_for::wait(before, &say, &launch.deadlines).map_err(|why| launch.failed(why))?;
            launch.run_hooks(&[Phase::AsRoot])?;
            privileges::drop(&config)?;
        }
        let folders = Folders::new(&config, launch.about.program.folder());
        launch.output.open_late(&config, &folders)?;
        launch.output.open_loggers(&config, &folders)?;
        if is_first {
            pidfiles.after_privileges(&config, &mut files.vacuum)?;
        }
        files.stats = StatsServer::open(&config, &mut inherited)?;
        files.spare_admin(launch.spares_files());
        launch.run_hooks_as_user()?;
        if is_first {
            let before = awaited(&config.start.awaited, true);
            wait_for::wait(before, &|line| launch.output.say(line), &launch.deadlines)
                .map_err(|why| launch.failed(why))?;
        }
        Ok(Bound {
            launch,
            locks,
            clockwork,
            apps,
            certificates,
            added_fields,
            listeners,
            listening,
            handed_connections: connections.map(|connections| HandedConnections {
                connections,
                places,
            }),
            pidfiles,
            files,
        })
    }
}

/// What is waited for: other servers' sockets, before the application is loaded, and all else
/// before privileges are dropped.
fn awaited(all: &[Awaited], is_socket: bool) -> impl Iterator<Item = &Awaited> {
    all.iter()
        .filter(move |one| matches!(one.target, WaitTarget::Socket(_)) == is_socket)
}
