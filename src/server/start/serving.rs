//! The last stage: the threads run, and requests are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::bound::{HandedConnections, ServerFiles};
use super::cancellation;
use super::ended::Ended;
use super::launch::{EarlyExit, Launch, Origin};
use super::loaded::Loaded;
use parking_lot::Mutex;

use crate::admin::control_server::{AcceptThread, ControlHandler};
use crate::admin::fifo::Fifos;
use crate::admin::metrics_snapshot::{MetricsSnapshot, SupervisedNow};
use crate::admin::status::{Crash, Supervised};
use crate::app::{Acceptor, Plan};
use crate::config::Failure;
use crate::os::service_manager::notify::Notifier;
use crate::reload::builder::GenerationBuilder;
use crate::reload::event::Event;
use crate::reload::handover::inherited;
use crate::reload::handover::predecessor::Finished;
use crate::reload::handover::successor_process::{ShareSockets, SuccessorStarter};
use crate::reload::history::{Outcome, ReloadHistory};
use crate::reload::reloader::Reloader;
use crate::reload::version::Version;
use crate::server::actions::Actions;
use crate::server::certificates::Certificates;
use crate::server::engine::Engine;
use crate::server::hooks::{self, HookContext};
use crate::server::log_target;
use crate::server::renewal::VersionMaker;
use crate::server::settings::{about, cron_commands};
use crate::server::sockets::Listening;
use crate::server::supervisor::{End, Supervisor};
use crate::server::{alarms, extension_scan, report};
use crate::waiter::link::Link;

/// The server serves.
pub(super) struct Serving<'a> {
    launch: Launch<'a>,
    share_sockets: Arc<ShareSockets>,
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
        let share_sockets = files.share_sockets(locks);
        let elapsed = launch.about.started.elapsed();
        if launch.about.origin == Origin::Waiter {
            launch.wait_to_serve()?;
        }
        cancellation::end();
        let acceptor = engine.start_threads(&config).map_err(Failure::new)?;
        alarms::watch_queue(&config, launch.alarms, &engine.net)?;
        let commands = cron_commands(&config)?;
        // From here on the predecessor begins no more requests.
        if let Some(predecessor) = &launch.predecessor {
            predecessor.take_over().map_err(Failure::new)?;
        }
        engine.serve(generation);
        launch.is_serving.store(true, Ordering::SeqCst);
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
        let finished = launch.wait_for_predecessor(&acceptor);
        if !launch.is_first() {
            launch.become_server(&engine, &*share_sockets)?;
            files.spare_admin(false);
        }
        pidfiles.when_ready(&config, &mut files.vacuum)?;
        launch
            .output
            .say(&report::serving(&report, &listening, elapsed));
        launch.say_supervision();
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
        launch.go_on_after(&finished);
        Ok(Serving {
            launch,
            share_sockets,
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

impl Launch<'_> {
    /// Waits until a predecessor has finished its requests.
    fn wait_for_predecessor(&self, acceptor: &Acceptor) -> Finished {
        let Some(predecessor) = &self.predecessor else {
            return Finished::default();
        };
        acceptor.nudge();
        predecessor.wait_until_finished(&self.events, &self.received)
    }

    /// This process is the server from now on, and not the first one.
    fn become_server(&self, engine: &Engine, share: &ShareSockets) -> Result<(), Failure> {
        if self.link.supervision().is_some() {
            let listeners = engine.net.share_listeners().map_err(Failure::new)?;
            self.keep_sockets(listeners, share().map_err(Failure::new)?);
        }
        self.link.serving();
        engine.clockwork.release();
        Ok(())
    }

    /// The predecessor has finished.
    fn go_on_after(&self, finished: &Finished) {
        if self.about.origin == Origin::Predecessor {
            tracing::info!("reloaded: process {} is the server now", std::process::id());
        }
        if finished.wants_reload {
            // The receiver is here.
            let reload = Event::reload("a reload that was asked for meanwhile");
            let _received = self.events.send(reload);
        }
    }
}

/// The crashes that the waiter counts.
fn supervised(link: &Arc<Link>) -> SupervisedNow {
    let link = Arc::clone(link);
    Box::new(move || {
        let known = link.supervision()?;
        Some(Supervised {
            crashes: known.crashes,
            last_crash: known.last_crash.map(|crash| Crash {
                at: crash.at,
                how: crash.how,
            }),
        })
    })
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
            supervised: supervised(launch.link),
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
            link: launch.link,
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
                Ok(Ended::Succeeded(launch.leave(engine.runtime)))
            }
        }
    }

    fn generation_builder(&mut self) -> GenerationBuilder {
        let successors = SuccessorStarter {
            program: self.launch.about.program.clone(),
            link: Arc::clone(self.launch.link),
            share_sockets: Arc::clone(&self.share_sockets),
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
}
