//! The third stage: Python, and the first generation.

use std::sync::Arc;

use super::bound::{Bound, HandedConnections, ServerFiles};
use super::launch::{EarlyExit, Launch};
use crate::admin::{fifo, tracebacker};
use crate::app::{Generation, Plan, Report};
use crate::config::Phase;
use crate::os::file_locks::Locks;
use crate::os::pidfile;
use crate::server::certificates::Certificates;
use crate::server::engine::{Engine, EngineParts};
use crate::server::folders::Folders;
use crate::server::prepare::{change_directory_again, check_harakiri, request_log, start_python};
use crate::server::process;
use crate::server::report;
use crate::server::settings::hostname;
use crate::server::sockets::Listening;

/// The first generation has loaded the application.
pub(super) struct Loaded<'a> {
    pub(super) launch: Launch<'a>,
    pub(super) locks: [Locks; 2],
    pub(super) certificates: Certificates,
    pub(super) listening: Vec<Listening>,
    pub(super) handed_connections: Option<HandedConnections>,
    pub(super) pidfiles: pidfile::Files,
    pub(super) engine: Engine,
    pub(super) plan: Plan,
    pub(super) generation: Arc<Generation>,
    pub(super) report: Report,
    pub(super) files: ServerFiles,
}

impl<'a> Bound<'a> {
    /// Starts Python and loads the application.
    pub(super) fn load(self) -> Result<Loaded<'a>, EarlyExit> {
        let Self {
            launch,
            locks,
            clockwork,
            apps,
            certificates,
            added_fields,
            listeners,
            listening,
            handed_connections,
            pidfiles,
            mut files,
        } = self;
        let config = Arc::clone(&launch.config);
        let runtime = start_python(&config, launch.about.program.folder())?;
        check_harakiri(&config, runtime)?;
        launch.output.say(&report::greeting(runtime));
        let folders = Folders::new(&config, launch.about.program.folder());
        let parts = EngineParts {
            runtime,
            listeners,
            listening: &listening,
            added_fields,
            request_log: request_log(&config, &launch.output.writer, &launch.events),
            events: &launch.events,
            clockwork,
            alarms: launch.alarms,
            spooler: process::spooler(&config, &folders.start, &hostname())?,
            watched_from: &folders.load,
        };
        let engine = Engine::build(&config, parts)?;
        launch.run_hooks(&[Phase::PreApp])?;
        // Before the load, to show where an application hangs in its imports.
        tracebacker::start(&config, &engine.process, &mut files.vacuum)?;
        if launch.is_first() {
            // It is made when the server is ready, which it would not stay.
            fifo::check(&config)?;
        }
        let plan = engine.plan(&config, &listening, apps);
        // A successor is of use only with the whole application.
        let is_needed = config.app.need_app || launch.predecessor.is_some();
        let loaded = engine.load(plan.clone(), is_needed, &launch.deadlines);
        let (generation, report) = loaded.map_err(|failure| launch.failed(failure))?;
        change_directory_again(&config)?;
        launch.run_hooks(&[Phase::PostApp, Phase::MasterStart])?;
        for _ in 0..config.workers.processes {
            launch.run_hooks(&[Phase::PostFork])?;
        }
        for _ in 0..config.workers.processes {
            launch.run_hooks(&[Phase::Accepting, Phase::AcceptingOnce])?;
        }
        launch.run_hooks(&[Phase::Accepting1, Phase::Accepting1Once])?;
        Ok(Loaded {
            launch,
            locks,
            certificates,
            listening,
            handed_connections,
            pidfiles,
            engine,
            plan,
            generation,
            report,
            files,
        })
    }
}
