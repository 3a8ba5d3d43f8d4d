//! The last stage: the threads run, and requests are answered.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use super::bound::{HandedConnections, ServerFiles};
use super::launch::{EarlyExit, Launch};
use super::loaded::Loaded;
use parking_lot::Mutex;

use crate::admin::control_server::{AcceptThread, ControlHandler};
use crate::admin::fifo::Fifos;
use crate::admin::metrics_snapshot::MetricsSnapshot;
use crate::admin::stats_server::StatsServer;
use crate::app::{Acceptor, Plan};
use crate::config::Failure;
use crate::os::file_locks::Locks;
use crate::os::service_manager::notify::Notifier;
use crate::reload::builder::GenerationBuilder;
use crate::reload::event::Event;
use crate::reload::handover::message::Word;
use crate::reload::handover::origin;
use crate::reload::history::{Outcome, ReloadHistory};
use crate::reload::reloader::Reloader;
use crate::reload::version::Version;
use crate::server::actions::Actions;
use crate::server::certificates::Certificates;
use crate::server::engine::Engine;
use crate::server::handover::successor::Farewell;
use crate::server::hooks::{self, HookContext};
use crate::server::log_target;
use crate::server::renewal::VersionMaker;
use crate::server::settings::{about, cron_commands};
use crate::server::sockets::Listening;
use crate::server::supervisor::{End, Supervisor};
use crate::server::{alarms, report, signals};

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
        let acceptor = engine.start_threads(&config).map_err(Failure::new)?;
        alarms::watch_queue(&config, launch.alarms, &engine.net)?;
        let commands = cron_commands(&config)?;
        // From here on the predecessor begins no more requests.
        if let Some(succession) = &launch.succession {
            succession.take_over()?;
        }
        engine.serve(generation);
        files.vacuum.spare(false);
        engine.clockwork.run_commands(commands);
        if let Some(HandedConnections {
            connections,
            places,
        }) = handed_connections
        {
            origin::adopt(connections, places, &engine.net, &engine.current)
                .map_err(Failure::new)?;
        }
        let mut farewell = Farewell::default();
        if let Some(succession) = &launch.succession {
            acceptor.nudge();
            farewell = succession.wait_for_farewell(&launch.events, &launch.received);
            engine.clockwork.release();
            files.spare_admin(false);
        }
        pidfiles.when_ready(&config, &mut files.vacuum)?;
        let elapsed = launch.about.started.elapsed();
        launch
            .output
            .say(&report::serving(&report, &listening, elapsed));
        launch.output.release_starter()?;
        let history = Arc::new(ReloadHistory::from_predecessor(&farewell.reloads));
        history.note_takeover();
        history.end(Outcome::Serves(1));
        let admin = AdminServers::start(&launch, &engine, &listening, &history, &files)?;
        let notifier = notifier(&launch)?;
        notifier.ready();
        if !launch.is_first() {
            tracing::info!("reloaded: process {} is the server now", std::process::id());
        }
        if farewell.wants_reload {
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

/// Tells the service manager how the server is; a successor does so through the first process.
fn notifier(launch: &Launch<'_>) -> Result<Notifier, Failure> {
    let socket = std::env::var_os("NOTIFY_SOCKET");
    match &launch.succession {
        Some(succession) => succession.notifier(socket.as_deref()).map_err(Failure::new),
        None => Ok(Notifier::new(socket.as_deref())),
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
            metrics,
            is_stopping: AtomicBool::new(false),
        });
        accept_threads.extend(files.control.serve(&handler).map_err(Failure::new)?);
        let fifos = Fifos::start(config, &handler, !launch.is_first())?;
        Ok(Self {
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
    /// Serves until the server has stopped, or a successor has taken over. Returns the exit code.
    pub(super) fn supervise(mut self) -> Result<i32, EarlyExit> {
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
            config: &config,
            certificates: &certificates,
            output: launch.output,
            alarms: launch.alarms,
        };
        let reloader = Reloader::new(builder, launch.events.clone(), Arc::clone(&history));
        let end = Supervisor::new(
            &engine,
            &acceptor,
            reloader,
            &notifier,
            actions,
            launch.events,
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
                Ok(code)
            }
            End::Succeeded {
                successor,
                wants_reload,
            } => {
                files.spare(true);
                admin.stop();
                let is_informed = successor.is_some_and(|successor| {
                    let reloads = history.for_successor();
                    successor.bid_farewell(reloads, wants_reload).is_ok()
                });
                if !is_informed {
                    files.spare(false);
                    let why = "the process that was to be the server is gone; the server has \
                               stopped";
                    return Err(Failure::new(why).into());
                }
                history.hand_over();
                launch.keeper.leave_to_others();
                signals::forward_to(launch.keeper, &launch.received);
                // Threads that the application has started are to run no further.
                engine.runtime.halt().map_err(Failure::new)?;
                Ok(0)
            }
        }
    }

    fn generation_builder(&mut self) -> GenerationBuilder {
        let successor_messages = self.share_with_successor();
        let (config, engine) = (&self.launch.config, &self.engine);
        let version = Arc::new(Version {
            config: Arc::clone(config),
            plan: self.plan.clone(),
            site: Arc::clone(&engine.net.site()),
            folder: std::env::current_dir().unwrap_or_default(),
        });
        let maker = VersionMaker {
            origin: self.launch.about.origin.clone(),
            runtime: engine.runtime,
            process: Arc::clone(&engine.process),
            listening: std::mem::take(&mut self.listening),
            last_load: Arc::clone(&engine.last_load),
        };
        GenerationBuilder {
            last_load: Arc::clone(&engine.last_load),
            origin: self.launch.about.origin.clone(),
            successor_messages,
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

    /// Makes the messages that give a successor all sockets and locks but the listeners.
    fn share_with_successor(&mut self) -> Box<dyn Fn() -> io::Result<Vec<Word>> + Send + Sync> {
        let control = self.files.control.share();
        let stats = self.files.stats.as_ref().map(StatsServer::share);
        let locks = std::mem::take(&mut self.locks);
        let keeper = Arc::clone(self.launch.keeper);
        Box::new(move || {
            let mut words: Vec<Word> = control()?.into_iter().map(Word::Control).collect();
            if let Some(stats) = &stats {
                words.push(Word::Stats(stats()?));
            }
            #[cfg(unix)]
            for lock in locks.iter().flatten() {
                words.push(Word::Lock(lock.try_clone()?.into()));
            }
            #[cfg(not(unix))]
            let _there_are_none = &locks;
            words.push(Word::Keeper(keeper.invitation()?));
            Ok(words)
        })
    }
}
