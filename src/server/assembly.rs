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
use crate::net::poll::SharedPoll;
use crate::python::Runtime;
use crate::telemetry::{self, LogWriter};

use super::activation;
use super::alarms;
use super::application::{self};
use super::awaited;
use super::bequest::{self, Bequest};
use super::census::Census;
use super::certificates::Certificates;
use super::control::{Control, Desk};
use super::daemon::{self, Role, Starter};
use super::failed_load::{self, LastLoad};
use super::failure::Failure;
use super::fifo::Fifos;
use super::file_locks::{self, Locks};
use super::groundwork::{
    begin, change_directory_again, check_harakiri, enter_directory, request_log, say_early,
    set_umask, start_python,
};
use super::hooks::{self, Means, Next};
use super::journal::{self, Journal};
use super::log_target::Log;
use super::notify::Notifier;
use super::rebirth::{self, Inheritance, Origin, Step};
use super::reload::{Recipe, Reloader};
use super::settings::{about, adapting, added_fields, cron_commands, hostname, plan, settings};
use super::stand_in::{Heard, StandIn};
#[cfg(unix)]
use super::standing_in;
use super::stats::StatsServer;
use super::supervisor::{self, Charge, End, Event};
use super::takeover::{self, Loaded};
use super::triggers::Triggers;
use super::vacuum::Vacuum;
use super::{
    errand, limits, pidfile, privileges, process, report, signals, sockets, title, tracebacker,
};

/// uWSGI's exit code for "no application, and one is needed".
pub(super) const NO_APP: u8 = 22;

/// How long the last lines of the log may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves until the server is told to stop. Returns the exit code; call from the main thread, before any
/// other thread exists.
///
/// # Errors
/// What kept the server from starting.
pub fn run(config: &Config) -> Result<i32, Failure> {
    let step = rebirth::step();
    let stands_in = step.is_stand_in();
    run_step(config, step).map_err(|failure| match stands_in {
        // Nobody is to start another configuration in its place.
        true => Failure {
            code: NO_APP,
            ..failure
        },
        false => failure,
    })
}

fn run_step(config: &Config, step: Step) -> Result<i32, Failure> {
    let started = Instant::now();
    let mut origin = Origin::now().map_err(Failure::new)?;
    let bequest = Bequest::read();
    if std::env::var_os(bequest::VARIABLE).is_some() {
        origin.forget(bequest::VARIABLE);
        // If this image cannot take over, the next one is to know who waits for the reload.
        origin.remember(bequest::VARIABLE, bequest.journal_alone());
    }
    begin(config)?;
    set_umask(config);
    let mut unset = config.environment_unset.clone();
    if std::env::var_os(rebirth::VARIABLE).is_some() {
        unset.push(rebirth::VARIABLE.to_owned());
    }
    let mut environment = config.environment_set.clone();
    environment.extend(hooks::environment(config));
    let title_spills = title::wants_the_environments_room(config);
    if std::env::var_os(bequest::VARIABLE).is_some() {
        unset.push(bequest::VARIABLE.to_owned());
    }
    let (handed_over, says) = activation::handed_over(rebirth::pid_of(&step));
    unset.extend(says);
    let mut left = match step {
        #[cfg(unix)]
        Step::StandIn(line) => {
            crate::python::set_environment(&unset, &environment, false).map_err(Failure::new)?;
            return standing_in::run(config, handed_over, line);
        }
        #[cfg(unix)]
        Step::Next(inheritance) => Some(inheritance),
        Step::First => None,
    };
    crate::python::set_environment(&unset, &environment, title_spills).map_err(Failure::new)?;
    #[cfg(unix)]
    if let Some(left) = &left {
        left.listen().map_err(Failure::new)?;
    }
    let how = (
        started,
        origin.clone(),
        title_spills,
        (handed_over, bequest),
    );
    let mut log = None;
    match start(config, how, &mut left, &mut log) {
        Err(failure) => match left {
            Some(left) => try_again(Some(config), &origin, left, (failure, log)),
            None => Err(failure),
        },
        ended => ended,
    }
}

/// See [`takeover::try_again`].
fn try_again(
    config: Option<&Config>,
    origin: &Origin,
    left: Inheritance,
    (failure, log): (Failure, Option<LogWriter>),
) -> Result<i32, Failure> {
    let flush = || {
        if let Some(log) = &log {
            log.flush(FLUSH_TIMEOUT);
        }
    };
    let ended = takeover::try_again(config, origin, left, (failure, &flush));
    flush();
    ended
}

/// The configuration cannot be read. A process that starts anew does not end for that while its stand-in serves. Returns the
/// exit code, unless the text is all there is to say. Main thread.
#[must_use]
pub fn could_not_begin(why: &str) -> Option<i32> {
    #[cfg(unix)]
    let step = rebirth::step();
    #[cfg(unix)]
    if let Step::StandIn(line) = &step {
        // What follows it are hints.
        standing_in::tell_failure(line, why.lines().next().unwrap_or_default());
        return None;
    }
    #[cfg(unix)]
    if let Step::Next(left) = step {
        let origin = Origin::now().ok()?;
        let log = start_log().ok()?;
        left.listen().ok()?;
        return try_again(None, &origin, left, (Failure::new(why), Some(log))).ok();
    }
    let _nobody_serves = why;
    None
}

/// What [`run`] does for a server, and for errands. What is in `left` at an error is what another image needs to try again.
fn start(
    config: &Config,
    (started, origin, title_spills, (handed_over, mut bequest)): (
        Instant,
        Origin,
        bool,
        (u32, Bequest),
    ),
    left: &mut Option<Inheritance>,
    log_kept: &mut Option<LogWriter>,
) -> Result<i32, Failure> {
    if let Some(errand) = &config.errand {
        let writer = start_log()?;
        let done = errand::run(config, errand);
        writer.flush(FLUSH_TIMEOUT);
        return done;
    }
    let alarms = alarms::of(config);
    let early_locks = file_locks::take(config, false, &say_early, &mut bequest.locks)?;
    if left.is_none()
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
    // Of a process that starts anew, standard error is the log already, and the file may be another user's.
    let open = |option, target| match Log::open(config, option, target) {
        Ok(log) => Ok(Some(log)),
        Err(_) if left.is_some() => Ok(None),
        Err(failure) => Err(failure),
    };
    // What cannot be opened is told to the terminal, while there is one.
    let process = &config.process;
    let daemon_log = match (&process.daemonize, &process.daemonize2) {
        (Some(target), _) => open("daemonize", target)?,
        (None, Some(target)) => open("daemonize2", target)?,
        (None, None) => None,
    };
    let log = match &config.logto {
        Some(target) => open("logto", target)?,
        None => None,
    };
    let mut starter = None;
    if daemon_log.is_some() && left.is_none() {
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
    *log_kept = Some(writer.clone());
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
        (started, origin, left, (bequest, &early_locks)),
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

fn start_log() -> Result<LogWriter, Failure> {
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
    (started, mut origin, left, (mut bequest, early_locks)): (
        Instant,
        Origin,
        &mut Option<Inheritance>,
        (Bequest, &Locks),
    ),
    outputs: &mut Outputs,
    alarms: &Arc<Alarms>,
) -> Result<i32, Failure> {
    let is_first = left.is_none();
    let say = |text: &str| say(writer, text);
    let means = Means { say: &say, alarms };
    let late_locks = file_locks::take(config, true, &say, &mut bequest.locks)?;
    // What is not to be locked any more.
    bequest.locks = Locks::default();
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
        rebirth::take_signals();
    }
    if left.as_ref().is_some_and(Inheritance::wants_stop) {
        // The receiver is here.
        let _heard = sender.send(Event::stop("a signal that came meanwhile", 0));
    }
    let stand_in = left.as_ref().and_then(Inheritance::stand_in);
    let (given_back, kept) = unbounded();
    if let Some(stand_in) = &stand_in {
        let events = sender.clone();
        stand_in.tell(move |heard| match heard {
            // Nobody hears of it any more: the server has stopped.
            Heard::Connection(one) => drop(given_back.send(one)),
            other => drop(events.send(Event::StandIn(other))),
        });
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    for remark in &config.remarks {
        tracing::info!("{remark}");
    }
    let clockwork = Arc::new(Clockwork::default());
    alarms::start(config, alarms, writer, &clockwork)?;
    let apps = application::choose(config)?;
    let with_sockets = activation::apply(config, outputs.handed_over)?;
    let config = with_sockets.as_ref().unwrap_or(config);
    let certificates = Certificates::open(config)?;
    enter_directory(config)?;
    let added_fields = added_fields(config)?;
    // A process that starts anew has done this, as whoever it was then.
    if is_first {
        limits::apply(config);
        privileges::drop_at_once(config)?;
        phases!(PreJail, PostJail, InJail);
    }
    // From here on the end of this function is the end of what the server leaves behind.
    let mut vacuum = Vacuum::new(config.vacuum);
    // What a stand-in serves at is not to be removed because this image fails.
    vacuum.spare(stand_in.is_some());
    let since = left.as_ref().map(Inheritance::since);
    let (listeners, waiting, places) = match left {
        Some(left) => left.open(config, &certificates, &mut vacuum)?,
        None => (
            sockets::bind(config, &certificates, &mut vacuum)?,
            Vec::new(),
            Default::default(),
        ),
    };
    let listening = sockets::listening(config, &listeners);
    sockets::warn_of_strangers(&listening);
    let mut pidfiles = if is_first {
        pidfile::Files::before_privileges(config, &mut vacuum)?
    } else {
        pidfile::Files::written_before(config, &mut vacuum)
    };
    let control = Control::open(config, &mut bequest)?;
    if is_first {
        awaited::wait(paths(config), &say)?;
        phases!(AsRoot);
        privileges::drop(config)?;
    }
    if let Some(target) = &config.logto2 {
        let log = Log::open(config, "logto2", target)?;
        outputs.log = Some(log);
        if outputs.starter.is_none() {
            outputs.redirect(writer)?;
        }
    }
    if is_first {
        pidfiles.after_privileges(config, &mut vacuum)?;
    }
    let stats = StatsServer::open(config, &mut bequest)?;
    phases!(AsUser);
    if is_first {
        awaited::wait(sockets_of_others(config), &say)?;
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
            failed_load::service(config, &last_load)?,
        )
        .map_err(Failure::new)?,
    );
    // Watches until this function ends.
    let triggers = Triggers::start(config, &sender, &clockwork).map_err(Failure::new)?;
    let surroundings = Surroundings {
        net: Arc::clone(&net),
        current: Arc::new(Current::default()),
        bell: Arc::new(Bell::default()),
        shares_poll: match config.poll {
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
        // Nothing but the whole application is worth more than what the stand-in serves.
        let is_needed = config.need_app || stand_in.is_some();
        let mut plan = plan.clone();
        if let Some(probe) = &mut plan.probe {
            // Without anything to fall back on, an application that is not well is better than none.
            probe.is_lenient = !is_needed || (!is_first && stand_in.is_none());
        }
        let how = (is_needed, &*last_load);
        start_generation(how, plan, runtime, &surroundings, patience)
    };
    let (generation, report) = match &stand_in {
        None => load(&Patience::endless())?,
        Some(stand_in) => {
            let events = (&sender, &receiver);
            match takeover::load(stand_in, events, config.reload_mercy, load)? {
                Loaded::Yes(loaded) => loaded,
                Loaded::Stopped(code) => {
                    vacuum.spare(false);
                    hooks::run_at_exit(config, means);
                    return Ok(code);
                }
            }
        }
    };
    change_directory_again(config)?;
    phases!(PostApp, MasterStart);
    for _ in 0..config.processes {
        phases!(PostFork);
    }
    for _ in 0..config.processes {
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
    let was_served = stand_in.as_ref().is_some_and(StandIn::take_back);
    current.swap(Some(Arc::clone(&generation)));
    generation.serve();
    let wants_reload = left.take().is_some_and(|left| left.wants_reload());
    vacuum.spare(false);
    clockwork.run_commands(commands);
    drop(generation);
    rebirth::go_on(waiting, &net, &current);
    if stand_in.is_some() {
        rebirth::adopt(kept, places, &net, &current).map_err(Failure::new)?;
    }
    pidfiles.when_ready(config, &mut vacuum)?;
    say(&report::serving(&report, &listening, started.elapsed()));
    if let Some(gap) = since.and_then(|since| since.elapsed().ok()) {
        let who = if was_served {
            "the stand-in served"
        } else {
            "clients waited"
        };
        tracing::info!("reloaded: {who} for {:.2} s", gap.as_secs_f64());
    }
    outputs.detach(writer)?;
    let journal = Arc::new(Journal::resumed(&bequest.journal));
    journal.takes_over();
    journal.end(journal::Outcome::Serves(1));
    let census = Arc::new(Census {
        net: Arc::clone(&net),
        current: Arc::clone(&current),
        process: Arc::clone(&process),
        journal: Arc::clone(&journal),
        python: runtime.version().to_string(),
        listen: listening.iter().map(report::url).collect(),
        queue_max: config.queue_max,
        started: (started, SystemTime::now() - started.elapsed()),
        about: about(config, &listening),
    });
    if let Some(stats) = &stats {
        // uWSGI tells of requests in progress, too.
        process.harakiri.look_on();
        stats.serve(&census).map_err(Failure::new)?;
        tracing::info!("statistics at {}", stats.place(config));
    }
    let desk = Arc::new(Desk {
        events: sender.clone(),
        journal: Arc::clone(&journal),
        census,
        is_stopping: AtomicBool::new(false),
    });
    control.serve(&desk).map_err(Failure::new)?;
    let _fifos = Fifos::start(config, &desk)?;
    let notifier = Notifier::new(std::env::var_os("NOTIFY_SOCKET").as_deref());
    notifier.ready();
    let recipe = Recipe {
        last_load: Arc::clone(&last_load),
        origin: origin.clone(),
        adapting: adapting(config),
        config: config.clone(),
        plan,
        runtime,
        surroundings,
        say: Box::new({
            let writer = writer.clone();
            move |text| self::say(&writer, text)
        }),
        alarms: Arc::clone(alarms),
    };
    if wants_reload {
        // The receiver is here.
        let _heard = sender.send(Event::reload("a reload that was asked for meanwhile"));
    }
    let end = supervisor::supervise(Charge {
        events: (&sender, &receiver),
        net: &net,
        current: &current,
        acceptor: &acceptor,
        clockwork: &clockwork,
        mercy: config.reload_mercy,
        delay: config.shutdown_delay,
        exits_on_reload: config.process.exit_on_reload,
        reloader: Reloader::new(recipe, sender.clone(), Arc::clone(&journal)),
        stand_in,
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
        End::Rebirth(inheritance) => {
            alarms.flush(alarms::FLUSH_TIMEOUT);
            writer.flush(FLUSH_TIMEOUT);
            let bequest = Bequest::write(
                &control.doors(),
                stats.as_ref().map(StatsServer::door),
                [early_locks, &late_locks],
                &journal.carried(),
            );
            origin.remember(bequest::VARIABLE, bequest.map_err(Failure::new)?);
            let error = origin.begin_again(&inheritance);
            vacuum.spare(inheritance.stand_in().is_some());
            *left = Some(inheritance);
            Err(Failure::new(format_args!(
                "cannot start anew: {error}; the server has stopped"
            )))
        }
    }
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
