//! A process that stands in for another one while that renews itself: it serves on the same sockets, and nothing else.
//!
//! It binds nothing, writes nothing but its standard error, runs no hooks, timers, cron commands or file monitors, and becomes nobody
//! else: whoever started it is that already. It does what it is told over its line, and ends with it. Signals are for the
//! process that it stands in for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded, select, unbounded};

use super::in_place;
use super::successor::tell_failure;
use crate::app::acceptor::Bell;
use crate::app::worker::Surroundings;
use crate::app::{Acceptor, Current, Generation, Patience, openers};
use crate::background::clockwork::Clockwork;
use crate::config::Failure;
use crate::config::{Config, PollChoice};
use crate::net::SharedPoll;
use crate::net::{Kept, Net, Turn};
use crate::os::service_manager::socket_activation;
use crate::os::title;
use crate::python::exit_now;
use crate::reload::event::Event;
use crate::reload::failed_load::{self, LastLoad};
use crate::reload::handover::channel::Line;
use crate::reload::handover::message::Word;
use crate::reload::handover::origin;
use crate::server::applications;
use crate::server::certificates::Certificates;
use crate::server::prepare::{
    change_directory_again, check_harakiri, enter_directory, request_log, start_python,
};
use crate::server::settings::{added_fields, hostname, plan, settings};
use crate::server::stop;
use crate::server::{alarms, hooks, process, signals, sockets};
use crate::telemetry::{self, LogWriter};

/// How long the last lines of the log may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Stands in until it is told to leave. Returns the exit code. Main thread.
///
/// # Errors
/// The application does not load, or something else is in the way; nobody has been served then.
pub fn run(config: &Config, handed_over: u32, line: Line) -> Result<i32, Failure> {
    let writer = LogWriter::start().map_err(Failure::new)?;
    let level = std::env::var("SINGLEMALT_LOG").ok();
    telemetry::install(writer.clone(), level.as_deref()).map_err(Failure::new)?;
    let (signals, _for_others) = unbounded();
    signals::listen(signals, &hooks::signals(config)).map_err(Failure::new)?;
    in_place::take_signals();
    title::set_stand_in(config, std::os::unix::process::parent_id());
    let line = Arc::new(line);
    let words = listen(&line, &writer).map_err(Failure::new)?;
    let done = stand_in(config, handed_over, &writer, (&line, &words));
    if let Err(failure) = &done {
        tell_failure(&line, &failure.text);
    }
    writer.flush(FLUSH_TIMEOUT);
    done
}

/// Hears the line on a thread of its own, and ends the process with it, whatever that does just then.
fn listen(line: &Arc<Line>, writer: &LogWriter) -> std::io::Result<Receiver<Word>> {
    let (sender, words) = unbounded();
    let (line, writer) = (Arc::clone(line), writer.clone());
    std::thread::Builder::new()
        .name("sm-line".to_owned())
        .spawn(move || {
            while let Ok(Some(word)) = line.hear() {
                if sender.send(word).is_err() {
                    break;
                }
            }
            writer.flush(FLUSH_TIMEOUT);
            exit_now(1);
        })?;
    Ok(words)
}

fn stand_in(
    config: &Config,
    handed_over: u32,
    writer: &LogWriter,
    (line, words): (&Arc<Line>, &Receiver<Word>),
) -> Result<i32, Failure> {
    let gone = || Failure::new("nobody is stood in for");
    let mut left = Vec::new();
    let needed = loop {
        match words.recv().map_err(|_| gone())? {
            Word::Listener(descriptor) => left.push(descriptor),
            Word::Load(needed) => break needed,
            _ => return Err(gone()),
        }
    };
    let mut apps = applications::choose(config)?;
    applications::need(&mut apps, needed);
    // Of the whole configuration, which the next image has to read as whoever this process is now.
    drop(Certificates::open(config)?);
    let with_sockets = socket_activation::apply(config, handed_over)?;
    let mut config = with_sockets.unwrap_or_else(|| config.clone());
    let (listeners, places) = sockets::borrow(&mut config, left);
    let config = &config;
    let certificates = Certificates::open(config)?;
    let listeners = sockets::furnish(config, &certificates, listeners);
    let listening = sockets::listening(config, &listeners);
    enter_directory(config)?;
    let runtime = start_python(config)?;
    check_harakiri(config, runtime)?;
    let (events, wishes) = unbounded();
    let net = Net::new(
        settings(config, added_fields(config)?),
        listeners,
        listening.iter().map(|one| one.protocol).collect(),
        request_log(config, writer, &events),
        // What does not load here has not been served; a page that asks hears that it may go.
        failed_load::service(
            config,
            crate::server::static_files::service(config)?,
            &Arc::new(LastLoad::default()),
        ),
    );
    let net = Arc::new(net.map_err(Failure::new)?);
    let current = Arc::new(Current::default());
    let surroundings = Surroundings {
        net: Arc::clone(&net),
        current: Arc::clone(&current),
        bell: Arc::new(Bell::default()),
        shares_poll: match config.workers.poll {
            PollChoice::Acceptor => false,
            PollChoice::Auto | PollChoice::Shared => SharedPoll::can_be_shared(),
        },
        on_sources: None,
        // It does not live long enough for its interpreters to be replaced.
        on_due: Arc::new(|_| {}),
        on_wanted: Arc::new(|_| {}),
    };
    let clockwork = Arc::new(Clockwork::default());
    clockwork.stop();
    // What is raised here reaches nobody: the thread of alarms is not started.
    let alarms = alarms::of(config);
    let process = process::surroundings(config, &hostname(), &events, (&clockwork, &alarms));
    let plan = plan(config, &listening, apps, &process);
    let (generation, _) = Generation::start(1, &plan, runtime, &surroundings, &Patience::endless())
        .map_err(Failure::new)?;
    change_directory_again(config)?;
    if config.static_files.is_serving() {
        let threads = config.static_files.opening_threads;
        openers::start(threads, &net, &current).map_err(Failure::new)?;
    }
    let acceptor = Acceptor::start(
        Arc::clone(&net),
        Arc::clone(&current),
        Arc::clone(&surroundings.bell),
        surroundings.shares_poll,
    );
    let acceptor = acceptor.map_err(Failure::new)?;
    line.say(&Word::Ready).map_err(Failure::new)?;
    match words.recv().map_err(|_| gone())? {
        Word::Serve => {}
        _ => return Ok(0),
    }
    current.swap(Some(Arc::clone(&generation)));
    generation.serve();
    acceptor.nudge();
    drop(generation);
    Service {
        config,
        line,
        net,
        current,
        acceptor,
        places,
        turn: Turn::default(),
        ended: None,
        wants_reload: false,
        wants_stop: false,
    }
    .run(words, &wishes);
    Ok(0)
}

/// While it serves.
struct Service<'a> {
    config: &'a Config,
    line: &'a Arc<Line>,
    net: Arc<Net>,
    current: Arc<Current>,
    acceptor: Acceptor,
    /// For each listener, in the order of the line, its place here.
    places: Vec<Option<usize>>,
    turn: Turn,
    /// It is leaving, and this tells when it is done.
    ended: Option<Receiver<()>>,
    wants_reload: bool,
    wants_stop: bool,
}

impl Service<'_> {
    fn run(mut self, words: &Receiver<Word>, wishes: &Receiver<Event>) {
        loop {
            let ended = self.ended.clone().unwrap_or_else(crossbeam::channel::never);
            select! {
                recv(words) -> word => match word {
                    Ok(word) => self.hear(word),
                    Err(_) => return,
                },
                recv(wishes) -> wish => match wish {
                    Ok(wish) => self.wish(&wish),
                    Err(_) => return,
                },
                recv(ended) -> _ => return,
            }
        }
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Connection(kept) => self.adopt(kept),
            Word::HandBack if self.ended.is_none() => {
                self.net.start_keeping();
                self.say(&Word::Yours);
                self.leave(true);
                self.tell_wishes();
            }
            Word::Stop => {
                if self.ended.is_some() {
                    self.net.stop_keeping();
                } else {
                    self.net.start_draining();
                    self.leave(false);
                }
            }
            Word::HandBack | Word::Serve => {}
            other => tracing::error!(?other, "a stand-in is told what it should not be"),
        }
    }

    fn adopt(&mut self, kept: Kept) {
        for kept in origin::moved(vec![kept], &self.places) {
            if let Err(error) = self.turn.adopt(&self.net, &*self.current, kept) {
                tracing::debug!(%error, "a connection has gone meanwhile");
            }
        }
        if let Some(generation) = self.current.load() {
            generation.queue().wake_if_idle(&self.net);
        }
        self.acceptor.nudge();
    }

    /// Finishes what there is, on a thread of its own: connections still come meanwhile.
    fn leave(&mut self, gives_back: bool) {
        self.acceptor.nudge();
        let (done, ended) = bounded(1);
        self.ended = Some(ended);
        let (net, current) = (Arc::clone(&self.net), Arc::clone(&self.current));
        let (line, places) = (Arc::clone(self.line), self.places.clone());
        let mercy = self.config.process.reload_mercy;
        let spawned = std::thread::Builder::new()
            .name("sm-stop".to_owned())
            .spawn(move || {
                let has_failed = AtomicBool::new(false);
                std::thread::scope(|scope| {
                    if gives_back {
                        scope.spawn(|| give_back(&net, &line, &places, &has_failed));
                    }
                    stop::finish(&net, &current, mercy);
                    net.stop_keeping();
                });
                if has_failed.load(Ordering::Relaxed) {
                    tracing::warn!("not every connection could be given back");
                }
                // Whoever waited has gone with the process.
                let _gone = done.send(());
            });
        if let Err(error) = spawned {
            tracing::error!(%error, "cannot start the thread that ends the stand-in; it ends now");
            self.ended = Some(ended_now());
        }
    }

    /// A word before the other process listens in its new image would get lost, so a reload waits for it. A stop is said twice.
    fn wish(&mut self, wish: &Event) {
        match wish {
            Event::Reload { .. } | Event::Renew { .. } => self.wants_reload = true,
            Event::Stop { .. } | Event::StopNow { .. } => {
                self.wants_stop = true;
                self.say(&Word::WishStop);
            }
            _ => {}
        }
        if self.ended.is_some() {
            self.tell_wishes();
        }
    }

    fn tell_wishes(&mut self) {
        if std::mem::take(&mut self.wants_stop) {
            self.say(&Word::WishStop);
        }
        if std::mem::take(&mut self.wants_reload) {
            self.say(&Word::WishReload);
        }
    }

    fn say(&self, word: &Word) {
        if let Err(error) = self.line.say(word) {
            // The end of the line is the end of this process.
            tracing::debug!(%error, "speaking to the process that is stood in for");
        }
    }
}

fn ended_now() -> Receiver<()> {
    let (done, ended): (Sender<()>, _) = bounded(1);
    drop(done);
    ended
}

/// Gives connections back as nothing is under way on them any more.
fn give_back(net: &Net, line: &Line, places: &[Option<usize>], has_failed: &AtomicBool) {
    while let Some(mut kept) = net.next_kept() {
        let Some(listener) = places
            .iter()
            .position(|place| *place == Some(kept.listener))
        else {
            continue;
        };
        kept.listener = listener;
        if line.say(&Word::Connection(kept)).is_err() {
            has_failed.store(true, Ordering::Relaxed);
        }
    }
}
