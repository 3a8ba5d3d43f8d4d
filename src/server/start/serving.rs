//! The last stage: the threads run, and requests are answered.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use super::bound::{HandedConnections, ServerFiles};
use super::cancellation;
use super::launch::{EarlyExit, Launch};
use super::loaded::Loaded;
use parking_lot::Mutex;

use crate::admin::control_server::{AcceptThread, ControlHandler};
use crate::admin::fifo::Fifos;
use crate::admin::metrics_snapshot::MetricsSnapshot;
use crate::admin::stats_server::StatsServer;
use crate::app::{Acceptor, Plan};
use crate::config::{Config, Failure};
use crate::os::file_locks::Locks;
use crate::os::service_manager::notify::Notifier;
#[cfg(unix)]
use crate::os::title;
use crate::python::Runtime;
use crate::reload::builder::GenerationBuilder;
use crate::reload::event::Event;
use crate::reload::handover::inherited;
use crate::reload::handover::message::SocketKind;
use crate::reload::handover::predecessor::Finished;
use crate::reload::handover::successor_process::{ShareSockets, SharedSocket, SuccessorStarter};
use crate::reload::history::{Outcome, ReloadHistory};
use crate::reload::reloader::Reloader;
use crate::reload::version::Version;
use crate::server::actions::Actions;
use crate::server::certificates::Certificates;
use crate::server::engine::Engine;
use crate::server::exit::Exit;
use crate::server::hooks::{self, HookContext};
use crate::server::log_target;
use crate::server::renewal::VersionMaker;
use crate::server::settings::{about, cron_commands};
use crate::server::sockets::Listening;
use crate::server::supervisor::{End, Supervisor};
use crate::server::{alarms, extension_scan, report, signals};
use crate::telemetry::LogWriter;
use crate::waiter::link::Link;
use crate::waiter::message::Program;
use crate::waiter::resume::{Waiting, wait_for_others};

/// The server serves.
pub(super) struct Serving<'a> {
    launch: Launch<'a>,
    locks: [Locks; 2],
    certificates: Certificates,
    listening: Vec<Listening>,
    engine: Engine,
    plan: Plan,
    acceptor: Acceptor,
    admin: AdminServers,
    history: Arc<ReloadHistory>,
    notifier: Notifier,
    files: ServerFiles,
}

/// The servers of control and statistics, and the FIFOs.
struct AdminServers {
    metrics: Arc<MetricsSnapshot>,
    accept_threads: Vec<AcceptThread>,
    fifos: Fifos,
}

impl<'a> Loaded<'a> {
    /// Starts the threads and answers requests. A successor takes over from its predecessor.
    pub(super) fn serve(self) -> Result<Serving<'a>, EarlyExit> {
        let Self {
            launch,
            locks,
            certificates,
            listening,
            handed_connections,
            mut pidfiles,
            engine,
            plan,
            generation,
            report,
            mut files,
        } = self;
        let config = Arc::clone(&launch.config);
        cancellation::end();
        let acceptor = engine.start_threads(&config).map_err(Failure::new)?;
        alarms::watch_queue(&config, launch.alarms, &engine.net)?;
        let commands = cron_commands(&config)?;
        // From here on the predecessor begins no more requests.
        if let Some(predecessor) = &launch.predecessor {
            predecessor.take_over().map_err(Failure::new)?;
        }
        engine.serve(generation);
        files.vacuum.spare(false);
        engine.clockwork.set_commands(commands);
        if let Some(HandedConnections {
            connections,
            places,
        }) = handed_connections
        {
            inherited::adopt(connections, places, &engine.net, &engine.current)
                .map_err(Failure::new)?;
        }
        let mut finished = Finished::default();
        if let Some(predecessor) = &launch.predecessor {
            acceptor.nudge();
            finished = predecessor.wait_until_finished(&launch.events, &launch.received);
            launch.link.serving();
            engine.clockwork.release();
            files.spare_admin(false);
        }
        pidfiles.when_ready(&config, &mut files.vacuum)?;
        let elapsed = launch.about.started.elapsed();
        launch
            .output
            .say(&report::serving(&report, &listening, elapsed));
        launch.output.release_starter()?;
        let folder = launch.about.program.folder();
        extension_scan::start(&config, &engine.process, folder);
        let history = Arc::new(ReloadHistory::from_predecessor(&finished.reloads));
        history.note_takeover();
        history.end(Outcome::Serves(1));
        let admin = AdminServers::start(&launch, &engine, &listening, &history, &files)?;
        let notify_socket = std::env::var_os("NOTIFY_SOCKET");
        let notifier = launch.link.notifier(notify_socket.as_deref());
        notifier.ready();
        if !launch.is_first() {
            tracing::info!("reloaded: process {} is the server now", std::process::id());
        }
        if finished.wants_reload {
            // The receiver is here.
            let _received = launch
                .events
                .send(Event::reload("a reload that was asked for meanwhile"));
        }
        Ok(Serving {
            launch,
            locks,
            certificates,
            listening,
            engine,
            plan,
            acceptor,
            admin,
            history,
            notifier,
            files,
        })
    }
}

impl AdminServers {
    fn start(
        launch: &Launch<'_>,
        engine: &Engine,
        listening: &[Listening],
        history: &Arc<ReloadHistory>,
        files: &ServerFiles,
    ) -> Result<Self, Failure> {
        let config = &launch.config;
        let started = launch.about.started;
        let metrics = Arc::new(MetricsSnapshot {
            net: Arc::clone(&engine.net),
            current: Arc::clone(&engine.current),
            process: Arc::clone(&engine.process),
            history: Arc::clone(history),
            python: engine.runtime.version().to_string(),
            listen: listening.iter().map(report::url).collect(),
            queue_max: config.limits.queue_max,
            started: (started, SystemTime::now() - started.elapsed()),
            about: about(config, listening),
        });
        let mut accept_threads = Vec::new();
        if let Some(stats) = &files.stats {
            // As in uWSGI, statistics contain the requests in progress.
            engine.process.harakiri.look_on();
            accept_threads.push(stats.serve(&metrics).map_err(Failure::new)?);
            tracing::info!("statistics at {}", stats.place(config));
        }
        let handler = Arc::new(ControlHandler {
            events: launch.events.clone(),
            history: Arc::clone(history),
            metrics: Arc::clone(&metrics),
            is_stopping: AtomicBool::new(false),
        });
        accept_threads.extend(files.control.serve(&handler).map_err(Failure::new)?);
        let fifos = Fifos::start(config, &handler, !launch.is_first())?;
        Ok(Self {
            metrics,
            accept_threads,
            fifos,
        })
    }

    /// Leaves further clients to another process.
    fn stop(self) {
        self.accept_threads.into_iter().for_each(AcceptThread::stop);
        self.fifos.leave();
    }
}

impl Serving<'_> {
    /// Serves until the server has stopped, or a successor has taken over.
    pub(super) fn supervise(mut self) -> Result<Ended, EarlyExit> {
        let builder = self.generation_builder();
        let Self {
            launch,
            certificates,
            engine,
            acceptor,
            admin,
            history,
            notifier,
            mut files,
            ..
        } = self;
        let config = Arc::clone(&launch.config);
        let actions = Actions {
            config: Arc::clone(&config),
            started_in: launch.about.program.folder().to_path_buf(),
            clockwork: &engine.clockwork,
            certificates: &certificates,
            output: launch.output,
            alarms: launch.alarms,
            metrics: &admin.metrics,
        };
        let reloader = Reloader::new(builder, launch.events.clone(), Arc::clone(&history));
        let end = Supervisor::new(
            &engine,
            &acceptor,
            reloader,
            &notifier,
            actions,
            launch.events.clone(),
            &launch.received,
        )
        .run();
        match end {
            End::Stop(code) => {
                let context = HookContext {
                    say: &|line| launch.output.say(line),
                    alarms: launch.alarms,
                };
                hooks::run_at_exit(&config, context);
                Ok(Ended::Stopped(code))
            }
            End::Succeeded {
                successor,
                wants_reload,
            } => {
                files.spare(true);
                admin.stop();
                let reloads = history.for_successor();
                let is_gone = successor.has_ended();
                if is_gone || successor.finish(reloads, wants_reload).is_err() {
                    files.spare(false);
                    let why = "the process that was to be the server is gone; the server has \
                               stopped";
                    return Err(Failure::new(why).into());
                }
                history.hand_over();
                Ok(launch.leave(engine.runtime))
            }
        }
    }

    fn generation_builder(&mut self) -> GenerationBuilder {
        let successors = SuccessorStarter {
            program: self.launch.about.program.clone(),
            link: Arc::clone(self.launch.link),
            share_sockets: self.share_sockets(),
        };
        let (config, engine) = (&self.launch.config, &self.engine);
        let version = Arc::new(Version {
            config: Arc::clone(config),
            plan: self.plan.clone(),
            site: Arc::clone(&engine.net.site()),
            folder: std::env::current_dir().unwrap_or_default(),
        });
        let maker = VersionMaker {
            program: self.launch.about.program.clone(),
            runtime: engine.runtime,
            process: Arc::clone(&engine.process),
            listening: std::mem::take(&mut self.listening),
            last_load: Arc::clone(&engine.last_load),
            first: (Arc::clone(config), self.plan.spec.environment.clone()),
        };
        GenerationBuilder {
            last_load: Arc::clone(&engine.last_load),
            successors,
            version: Mutex::new(Arc::clone(&version)),
            maker: Box::new(maker),
            runtime: engine.runtime,
            current: Arc::clone(&engine.current),
            context: engine.context.clone(),
            run_hooks: Box::new({
                let config = Arc::clone(config);
                let writer = self.launch.output.writer.clone();
                let alarms = Arc::clone(self.launch.alarms);
                move |phases| {
                    let context = HookContext {
                        say: &|line| log_target::say(&writer, line),
                        alarms: &alarms,
                    };
                    hooks::run_at_reload(&config, phases, context)
                }
            }),
        }
    }

    /// Makes second handles to all sockets and locks but the listeners.
    fn share_sockets(&mut self) -> Box<ShareSockets> {
        let control = self.files.control.share();
        let stats = self.files.stats.as_ref().map(StatsServer::share);
        let locks = std::mem::take(&mut self.locks);
        Box::new(move || {
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
}

/// How a process of the server ends.
pub(super) enum Ended {
    /// The server has stopped: the exit code.
    Stopped(i32),
    /// Another process is the server.
    Succeeded(Succeeded),
}

/// What is left to do in a process that was succeeded.
pub(super) struct Succeeded {
    /// Signals that came and were not handled.
    unhandled: Vec<i32>,
    unread: signals::Unread,
    writer: LogWriter,
    /// Threads of the application may still run.
    runtime: &'static Runtime,
}

impl Launch<'_> {
    /// Another process is the server: it gets the signals that this one has not handled.
    fn leave(&self, runtime: &'static Runtime) -> Ended {
        let unread = signals::stop_reading();
        let unhandled = || unread.unhandled(&self.received);
        let unhandled = match self.is_first() {
            true => unhandled(),
            false => {
                self.link.leave(unhandled);
                Vec::new()
            }
        };
        Ended::Succeeded(Succeeded {
            unhandled,
            unread,
            writer: self.output.writer.clone(),
            runtime,
        })
    }
}

impl Succeeded {
    /// Waits for the server's end in its first process.
    pub(super) fn wait(self, config: &Config, program: &Program, link: &Link) -> Exit {
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
        let waiting = Waiting { fallback };
        #[cfg(not(unix))]
        let _unix_only = (program, self.unread, self.unhandled);
        let end = wait_for_others(link, waiting, || {
            if let Err(error) = self.runtime.halt() {
                tracing::warn!(%error, "threads of the application run on");
            }
        });
        Exit::like(&end, &self.writer)
    }
}
