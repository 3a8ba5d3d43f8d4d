//! Builds the server in order: environment, sockets, Python, the first generation; then supervises it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::unbounded;

use crate::app::acceptor::Bell;
use crate::app::worker::{OnSources, Surroundings};
use crate::app::{
    Acceptor, Apps, Current, Generation, Patience, Plan, Report, StartError, openers,
};
use crate::background::alarms::Alarms;
use crate::background::clockwork::Clockwork;
use crate::config::{Awaited, Config, Phase, PollChoice, Thing};
use crate::net::Net;
use crate::net::SharedPoll;
use crate::python::Runtime;
use crate::telemetry::{self, LogWriter};

use super::alarms;
use super::applications;
use super::certificates::Certificates;
use super::handover::in_place;
use super::handover::successor::{Farewell, Succession};
use super::handover::waiter::Keeper;
use super::hooks::{self, Means, Next};
use super::log_target::Log;
use super::prepare::{
    change_directory_again, check_harakiri, enter_directory, request_log, say_early, start_python,
};
use super::settings::{about, added_fields, cron_commands, hostname, plan, settings};
use super::supervisor::{self, Charge, End};
use super::wait_for;
use super::{one_shot, process, report, signals, sockets};
use crate::admin::control_server::{AcceptThread, ControlHandler, ControlServer};
use crate::admin::fifo::Fifos;
use crate::admin::metrics_snapshot::MetricsSnapshot;
use crate::admin::stats_server::StatsServer;
use crate::admin::tracebacker;
use crate::config::Failure;
use crate::os::daemon::{self, Role, Starter};
use crate::os::file_locks::{self, Locks};
use crate::os::service_manager::notify::Notifier;
use crate::os::service_manager::socket_activation;
use crate::os::vacuum::Vacuum;
use crate::os::{limits, pidfile, privileges, title};
use crate::reload::builder::GenerationBuilder;
use crate::reload::event::Event;
use crate::reload::failed_load::{self, LastLoad};
use crate::reload::handover::message::Word;
use crate::reload::handover::origin::{self, Inheritance, Origin};
use crate::reload::history::{self, ReloadHistory};
use crate::reload::reloader::Reloader;
use crate::reload::triggers::Triggers;

/// uWSGI's exit code for "no application, and one is needed".
pub(super) const NO_APP: u8 = 22;

/// How long the last lines of the log may take.
pub(super) const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// What a server does, and an errand.
pub(super) fn start(
    config: &Config,
    (started, origin, title_spills, (handed_over, keeper)): (
        Instant,
        Origin,
        bool,
        (u32, Arc<Keeper>),
    ),
    succession: &mut Option<Succession>,
) -> Result<i32, Failure> {
    if let Some(errand) = &config.python.one_shot {
        let writer = start_log()?;
        let done = one_shot::run(config, errand);
        writer.flush(FLUSH_TIMEOUT);
        return done;
    }
    let alarms = alarms::of(config);
    let mut nothing_left = Inheritance::default();
    let left = match succession {
        Some(succession) => &mut succession.inheritance,
        None => &mut nothing_left,
    };
    let early_locks = file_locks::take(config, false, &say_early, &mut left.locks)?;
    if succession.is_none()
        && let Next::Leave(code) = hooks::run(
            config,
            &[Phase::Asap],
            Means {
                say: &say_early,
                alarms: &alarms,
            },
        )?
    {
        return Ok(code);
    }
    // Of a successor, standard error is the log already, and the file may be another user's.
    let open = |option, target| match Log::open(config, option, target) {
        Ok(log) => Ok(Some(log)),
        Err(_) if succession.is_some() => Ok(None),
        Err(failure) => Err(failure),
    };
    // What cannot be opened is told to the terminal, while there is one.
    let process = &config.process;
    let daemon_log = match (&process.daemonize, &process.daemonize2) {
        (Some(target), _) => open("daemonize", target)?,
        (None, Some(target)) => open("daemonize2", target)?,
        (None, None) => None,
    };
    let log = match &config.log.target {
        Some(target) => open("logto", target)?,
        None => None,
    };
    let mut starter = None;
    if daemon_log.is_some() && succession.is_none() {
        let waits = process.daemonize.is_none();
        let option = if waits { "daemonize2" } else { "daemonize" };
        match daemon::detach(waits) {
            Ok(Role::Starter(code)) => return Ok(code),
            Ok(Role::Daemon(waiting)) => starter = waiting,
            Err(error) => {
                return Err(Failure::about(
                    config,
                    option,
                    format_args!("cannot become a daemon: {error}"),
                ));
            }
        }
    }
    let writer = start_log()?;
    let mut outputs = Outputs {
        log: log.or(daemon_log),
        starter,
        handed_over,
    };
    title::set(config, title_spills);
    if outputs.starter.is_none() {
        outputs.redirect(&writer)?;
    }
    let served = serve(
        config,
        &writer,
        (started, origin, succession.as_mut(), early_locks),
        &keeper,
        &mut outputs,
        &alarms,
    );
    alarms.flush(alarms::FLUSH_TIMEOUT);
    writer.flush(FLUSH_TIMEOUT);
    if let (Err(failure), Some(starter)) = (&served, outputs.starter.take()) {
        starter.fail(failure.code);
    }
    served
}

pub(super) fn start_log() -> Result<LogWriter, Failure> {
    let writer = LogWriter::start().map_err(Failure::new)?;
    let level = std::env::var("SINGLEMALT_LOG").ok();
    telemetry::install(writer.clone(), level.as_deref()).map_err(Failure::new)?;
    Ok(writer)
}

/// What the process has with those who started it: where its words go, who waits for the first of them, sockets.
struct Outputs {
    log: Option<Log>,
    starter: Option<Starter>,
    /// Sockets that were opened for us by whoever started us.
    handed_over: u32,
}

impl Outputs {
    fn redirect(&self, writer: &LogWriter) -> Result<(), Failure> {
        match &self.log {
            Some(log) => log
                .redirect(writer)
                .map_err(|error| Failure::new(format_args!("cannot log there: {error}"))),
            None => Ok(()),
        }
    }

    /// The server serves: whoever started it may go, and with it the terminal.
    fn detach(&mut self, writer: &LogWriter) -> Result<(), Failure> {
        if let Some(starter) = self.starter.take() {
            writer.flush(FLUSH_TIMEOUT);
            self.redirect(writer)?;
            starter.release();
        }
        Ok(())
    }
}

fn serve(
    config: &Config,
    writer: &LogWriter,
    (started, origin, mut succession, early_locks): (
        Instant,
        Origin,
        Option<&mut Succession>,
        Locks,
    ),
    keeper: &Arc<Keeper>,
    outputs: &mut Outputs,
    alarms: &Arc<Alarms>,
) -> Result<i32, Failure> {
    let is_first = succession.is_none();
    let mut left = match &mut succession {
        Some(succession) => std::mem::take(&mut succession.inheritance),
        None => Inheritance::default(),
    };
    let say = |text: &str| say(writer, text);
    let means = Means { say: &say, alarms };
    let late_locks = file_locks::take(config, true, &say, &mut left.locks)?;
    // What is not to be locked any more.
    left.locks = Locks::default();
    // Runs the hooks of these phases; an `exit:` among them ends the start.
    macro_rules! phases {
        ($($phase:ident),+) => {
            if let Next::Leave(code) = hooks::run(config, &[$(Phase::$phase),+], means)? {
                return Ok(code);
            }
        };
    }
    // Signals that come while the application loads wait for the supervisor.
    let (sender, receiver) = unbounded();
    signals::listen(sender.clone(), &hooks::signals(config)).map_err(Failure::new)?;
    if !is_first {
        in_place::take_signals();
    }
    let mut later_connections = None;
    if let Some(succession) = &mut succession {
        let (connections, kept) = unbounded();
        succession.listen(writer, connections, sender.clone())?;
        later_connections = Some(kept);
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    for remark in &config.remarks {
        tracing::info!("{remark}");
    }
    let clockwork = Arc::new(Clockwork::default());
    alarms::start(config, alarms, writer, &clockwork)?;
    let mut apps = applications::choose(config)?;
    if let Some(succession) = &succession {
        applications::need(&mut apps, succession.needed);
        clockwork.hold();
    }
    let with_sockets = socket_activation::apply(config, outputs.handed_over)?;
    let config = with_sockets.as_ref().unwrap_or(config);
    let certificates = Certificates::open(config)?;
    enter_directory(config)?;
    let added_fields = added_fields(config)?;
    // The first process has done this, as whoever it was then.
    if is_first {
        limits::apply(config);
        privileges::drop_at_once(config)?;
        phases!(PreJail, PostJail, InJail);
    }
    // From here on the end of this function is the end of what the server leaves behind.
    let mut vacuum = Vacuum::new(config.sockets.vacuum);
    // What the process before this one serves at is not to be removed because this one fails.
    vacuum.spare(!is_first);
    let (listeners, places) = match is_first {
        true => (
            sockets::bind(config, &certificates, &mut vacuum)?,
            Vec::new(),
        ),
        false => {
            let left = std::mem::take(&mut left.listeners);
            sockets::bind_again(config, &certificates, &mut vacuum, left)?
        }
    };
    let listening = sockets::listening(config, &listeners);
    sockets::warn_of_strangers(&listening);
    let mut pidfiles = if is_first {
        pidfile::Files::before_privileges(config, &mut vacuum)?
    } else {
        pidfile::Files::of_successor(config, &mut vacuum)
    };
    let mut control = ControlServer::open(config, &mut left)?;
    control.spare(!is_first);
    if is_first {
        wait_for::wait(paths(config), &say)?;
        phases!(AsRoot);
        privileges::drop(config)?;
    }
    if let Some(target) = &config.log.late_target {
        let log = Log::open(config, "logto2", target)?;
        outputs.log = Some(log);
        if outputs.starter.is_none() {
            outputs.redirect(writer)?;
        }
    }
    if is_first {
        pidfiles.after_privileges(config, &mut vacuum)?;
    }
    let mut stats = StatsServer::open(config, &mut left)?;
    if let Some(stats) = &mut stats {
        stats.spare(!is_first);
    }
    phases!(AsUser);
    if is_first {
        wait_for::wait(sockets_of_others(config), &say)?;
    }
    let runtime = start_python(config)?;
    check_harakiri(config, runtime)?;
    say(&report::greeting(runtime));
    let last_load = Arc::new(LastLoad::default());
    let net = Arc::new(
        Net::new(
            settings(config, added_fields),
            listeners,
            listening.iter().map(|one| one.protocol).collect(),
            request_log(config, writer, &sender),
            failed_load::service(config, super::static_files::service(config)?, &last_load),
        )
        .map_err(Failure::new)?,
    );
    // Watches until this function ends.
    let triggers = Triggers::start(config, &sender, &clockwork).map_err(Failure::new)?;
    let surroundings = Surroundings {
        net: Arc::clone(&net),
        current: Arc::new(Current::default()),
        bell: Arc::new(Bell::default()),
        shares_poll: match config.workers.poll {
            PollChoice::Acceptor => false,
            PollChoice::Auto | PollChoice::Shared => SharedPoll::can_be_shared(),
        },
        on_sources: triggers
            .as_ref()
            .filter(|_| config.reload.watches_modules)
            .map(|triggers| {
                let triggers = Arc::clone(triggers);
                let add: OnSources = Arc::new(move |sources, read_within| {
                    triggers.add_sources(sources, read_within)
                });
                add
            }),
        on_wanted: Arc::new({
            let sender = sender.clone();
            move |generation| {
                // The supervisor left first: the server stops.
                let _gone = sender.send(Event::Wanted(generation));
            }
        }),
        on_due: Arc::new({
            let sender = sender.clone();
            move |due| {
                // The supervisor left first: the server stops.
                let _gone = sender.send(Event::Due(due));
            }
        }),
    };
    phases!(PreApp);
    let process = process::surroundings(config, &hostname(), &sender, (&clockwork, alarms));
    // An application that does not come out of its import can be looked at.
    tracebacker::start(config, &process, &mut vacuum)?;
    let plan = plan(config, &listening, apps, &process);
    let load = |patience: &Patience| {
        // Nothing but the whole application is worth more than what the process before this one serves.
        let is_needed = config.app.need_app || !is_first;
        let mut plan = plan.clone();
        if let Some(probe) = &mut plan.probe {
            // Without anything to fall back on, an application that is not well is better than none.
            probe.is_lenient = !is_needed;
        }
        let how = (is_needed, &*last_load);
        start_generation(how, plan, runtime, &surroundings, patience)
    };
    let (generation, report) = load(&Patience::endless())?;
    change_directory_again(config)?;
    phases!(PostApp, MasterStart);
    for _ in 0..config.workers.processes {
        phases!(PostFork);
    }
    for _ in 0..config.workers.processes {
        phases!(Accepting, AcceptingOnce);
    }
    phases!(Accepting1, Accepting1Once);
    let current = Arc::clone(&surroundings.current);
    let opening_threads = config.static_files.opening_threads;
    if config.static_files.is_serving() {
        openers::start(opening_threads, &net, &current).map_err(Failure::new)?;
    }
    let acceptor = Acceptor::start(
        Arc::clone(&net),
        Arc::clone(&current),
        Arc::clone(&surroundings.bell),
        surroundings.shares_poll,
    )
    .map_err(Failure::new)?;
    alarms::watch_queue(config, alarms, &net)?;
    let commands = cron_commands(config)?;
    // From here on requests are begun here and nowhere else.
    if let Some(succession) = &succession {
        succession.take_over()?;
    }
    current.swap(Some(Arc::clone(&generation)));
    generation.serve();
    vacuum.spare(false);
    clockwork.run_commands(commands);
    drop(generation);
    if let Some(kept) = later_connections {
        origin::adopt(kept, places, &net, &current).map_err(Failure::new)?;
    }
    let mut farewell = Farewell::default();
    if let Some(succession) = &succession {
        acceptor.nudge();
        farewell = succession.wait_for_farewell((&sender, &receiver));
        clockwork.release();
        control.spare(false);
        if let Some(stats) = &mut stats {
            stats.spare(false);
        }
    }
    pidfiles.when_ready(config, &mut vacuum)?;
    say(&report::serving(&report, &listening, started.elapsed()));
    outputs.detach(writer)?;
    let history = Arc::new(ReloadHistory::from_predecessor(&farewell.reloads));
    history.note_takeover();
    history.end(history::Outcome::Serves(1));
    let metrics = Arc::new(MetricsSnapshot {
        net: Arc::clone(&net),
        current: Arc::clone(&current),
        process: Arc::clone(&process),
        history: Arc::clone(&history),
        python: runtime.version().to_string(),
        listen: listening.iter().map(report::url).collect(),
        queue_max: config.limits.queue_max,
        started: (started, SystemTime::now() - started.elapsed()),
        about: about(config, &listening),
    });
    let mut accept_threads = Vec::new();
    if let Some(stats) = &stats {
        // uWSGI tells of requests in progress, too.
        process.harakiri.look_on();
        accept_threads.push(stats.serve(&metrics).map_err(Failure::new)?);
        tracing::info!("statistics at {}", stats.place(config));
    }
    let handler = Arc::new(ControlHandler {
        events: sender.clone(),
        history: Arc::clone(&history),
        metrics,
        is_stopping: AtomicBool::new(false),
    });
    accept_threads.extend(control.serve(&handler).map_err(Failure::new)?);
    let fifos = Fifos::start(config, &handler, !is_first)?;
    let notify_socket = std::env::var_os("NOTIFY_SOCKET");
    let notifier = match &succession {
        Some(succession) => succession
            .notifier(notify_socket.as_deref())
            .map_err(Failure::new)?,
        None => Notifier::new(notify_socket.as_deref()),
    };
    notifier.ready();
    if !is_first {
        tracing::info!("reloaded: process {} is the server now", std::process::id());
    }
    let locks = [early_locks, late_locks];
    let builder = GenerationBuilder {
        last_load: Arc::clone(&last_load),
        origin,
        successor_messages: heirlooms(&control, stats.as_ref(), locks, keeper),
        autoscale: config.workers.autoscale.clone(),
        config: config.clone(),
        plan,
        runtime,
        surroundings,
        run_hooks: Box::new({
            let (config, writer, alarms) = (config.clone(), writer.clone(), Arc::clone(alarms));
            move |phases| {
                let say = |text: &str| self::say(&writer, text);
                let means = Means {
                    say: &say,
                    alarms: &alarms,
                };
                hooks::run_at_reload(&config, phases, means)
            }
        }),
    };
    if farewell.wants_reload {
        // The receiver is here.
        let _heard = sender.send(Event::reload("a reload that was asked for meanwhile"));
    }
    let end = supervisor::supervise(Charge {
        events: (&sender, &receiver),
        net: &net,
        current: &current,
        acceptor: &acceptor,
        clockwork: &clockwork,
        mercy: config.process.reload_mercy,
        delay: config.process.shutdown_delay,
        exits_on_reload: config.process.exit_on_reload,
        reloader: Reloader::new(builder, sender.clone(), Arc::clone(&history)),
        notifier: &notifier,
        reopen_log: &mut || {
            if let Some(log) = &mut outputs.log {
                log.reopen(writer);
            }
        },
        on_touch: &mut |number| hooks::run_touched(config, number, means),
        on_reload: vec![Box::new(|| certificates.reload())],
    });
    match end {
        End::Stop(code) => {
            hooks::run_at_exit(config, means);
            Ok(code)
        }
        End::Succeeded {
            successor,
            wants_reload,
        } => {
            // Whose files these are now.
            vacuum.spare(true);
            control.spare(true);
            if let Some(stats) = &mut stats {
                stats.spare(true);
            }
            accept_threads.into_iter().for_each(AcceptThread::stop);
            fifos.leave();
            let successor = successor.filter(|successor| {
                let told = successor.bid_farewell(history.for_successor(), wants_reload);
                told.is_ok()
            });
            if successor.is_none() {
                vacuum.spare(false);
                control.spare(false);
                let why = "the process that was to be the server is gone; the server has stopped";
                return Err(Failure::new(why));
            }
            history.hand_over();
            keeper.leave_to_others();
            signals::forward_to(keeper, &receiver);
            // Threads that the application has left are to do no more than at the end of a process.
            runtime.halt().map_err(Failure::new)?;
            Ok(0)
        }
    }
}

/// What makes that which a successor is left with beside the listening sockets.
fn heirlooms(
    control: &ControlServer,
    stats: Option<&StatsServer>,
    locks: [Locks; 2],
    keeper: &Arc<Keeper>,
) -> Box<dyn Fn() -> std::io::Result<Vec<Word>> + Send + Sync> {
    let (control, stats) = (control.share(), stats.map(StatsServer::share));
    let keeper = Arc::clone(keeper);
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

/// What is waited for before privileges are dropped.
fn paths(config: &Config) -> impl Iterator<Item = &Awaited> {
    let all = config.start.awaited.iter();
    all.filter(|awaited| !matches!(awaited.thing, Thing::Socket(_)))
}

/// What is waited for before the application is loaded.
fn sockets_of_others(config: &Config) -> impl Iterator<Item = &Awaited> {
    let all = config.start.awaited.iter();
    all.filter(|awaited| matches!(awaited.thing, Thing::Socket(_)))
}

fn say(writer: &LogWriter, text: &str) {
    writer.append(|lines| {
        lines.extend_from_slice(text.as_bytes());
        lines.push(b'\n');
    });
}

/// The first generation. With `--need-app` it is an error if no application loads; otherwise the server comes
/// up without, says so, and answers 500.
fn start_generation(
    (is_needed, last_load): (bool, &LastLoad),
    mut plan: Plan,
    runtime: &'static Runtime,
    surroundings: &Surroundings,
    patience: &Patience,
) -> Result<(Arc<Generation>, Report), Failure> {
    match Generation::start(1, &plan, runtime, surroundings, patience) {
        Ok(started) => Ok(started),
        Err(StartError::Load(failures)) if is_needed => Err(Failure {
            text: failures.to_string(),
            code: NO_APP,
        }),
        Err(error @ StartError::Probe(_)) => Err(Failure {
            text: error.to_string(),
            code: NO_APP,
        }),
        Err(StartError::Load(failures)) => {
            tracing::error!("{failures}");
            last_load.has_failed(failures.to_string(), None);
            let which = if plan.apps.count() > 1 {
                "none of them"
            } else {
                "it"
            };
            let not = if plan.apps.count() > 1 { "" } else { " not" };
            plan.apps = Apps::default();
            plan.probe = None;
            plan.interpreters = 1;
            plan.threads = 1;
            let (generation, mut report) =
                Generation::start(1, &plan, runtime, surroundings, patience)
                    .map_err(Failure::new)?;
            report.loaded = Err(format!(
                "{which} could{not} be loaded, see above (--need-app leaves with an error instead)"
            ));
            Ok((generation, report))
        }
        Err(error) => Err(Failure::new(error)),
    }
}
