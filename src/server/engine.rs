//! The engine: sockets and the poll (`net`), generations of workers (`app`), and timers and file
//! watches (`background`), for every kind of process: a first start, a successor, a test.

use std::path::Path;
use std::sync::Arc;

use crossbeam::channel::Sender;

use super::process;
use super::settings;
use super::site::{self, SiteSurroundings, site};
use super::sockets::Listening;
use crate::app::acceptor_waker::AcceptorWaker;
use crate::app::process::Process;
use crate::app::spooler::service::SpoolerService;
use crate::app::worker_context::{OnSources, WorkerContext};
use crate::app::{
    Acceptor, Apps, Current, Deadlines, Generation, Plan, Report, StartError, openers,
};
use crate::background::alarms::Alarms;
use crate::background::clockwork::Clockwork;
use crate::config::{Config, Failure, NO_APP, PollChoice};
use crate::net::{Listener, Net, RequestLog, SharedPoll};
use crate::python::Runtime;
use crate::reload::event::Event;
use crate::reload::failed_load::LastLoad;
use crate::reload::triggers::Triggers;
use crate::wsgi::{AddedFields, BodyMemory};

pub(super) struct Engine {
    pub(super) runtime: &'static Runtime,
    pub(super) net: Arc<Net>,
    pub(super) current: Arc<Current>,
    /// What the threads of all generations share.
    pub(super) context: WorkerContext,
    pub(super) process: Arc<Process>,
    pub(super) clockwork: Arc<Clockwork>,
    /// The result of the last load, for the development page.
    pub(super) last_load: Arc<LastLoad>,
    /// Watches files until the engine is dropped.
    _triggers: Option<Arc<Triggers>>,
}

/// What an engine is built from beside the configuration.
pub(super) struct EngineParts<'a> {
    pub(super) runtime: &'static Runtime,
    pub(super) listeners: Vec<Listener>,
    pub(super) listening: &'a [Listening],
    pub(super) added_fields: AddedFields,
    pub(super) request_log: Box<dyn RequestLog>,
    pub(super) events: &'a Sender<Event>,
    pub(super) clockwork: Arc<Clockwork>,
    pub(super) alarms: &'a Arc<Alarms>,
    pub(super) spooler: SpoolerService,
    /// What relative paths of watched files are meant from.
    pub(super) watched_from: &'a Path,
}

impl Engine {
    pub(super) fn build(config: &Config, parts: EngineParts<'_>) -> Result<Self, Failure> {
        let EngineParts {
            runtime,
            listeners,
            listening,
            added_fields,
            request_log,
            events,
            clockwork,
            alarms,
            spooler,
            watched_from,
        } = parts;
        let last_load = Arc::new(LastLoad::default());
        let folder = std::env::current_dir().unwrap_or_default();
        let memory = Arc::new(
            BodyMemory::new(config.limits.body_memory_bytes_max)
                .with_files_of(config.limits.body_file_bytes_max),
        );
        let process = process::build(config, events, &clockwork, alarms, spooler)?;
        let surroundings = SiteSurroundings {
            last_load: &last_load,
            folder: &folder,
            listening,
            process: &process,
        };
        let net = Net::new(
            Arc::new(site(config, added_fields, memory, &surroundings)?),
            listeners,
            listening.iter().map(|one| one.protocol).collect(),
            request_log,
        );
        let net = Arc::new(net.map_err(Failure::new)?);
        let triggers =
            Triggers::start(config, events, &clockwork, watched_from).map_err(Failure::new)?;
        let current = Arc::new(Current::default());
        let context = WorkerContext {
            net: Arc::clone(&net),
            current: current.clone(),
            acceptor_waker: Arc::new(AcceptorWaker::default()),
            shares_poll: match config.workers.poll {
                PollChoice::Acceptor => false,
                PollChoice::Auto | PollChoice::Shared => SharedPoll::can_be_shared(),
            },
            on_sources: triggers
                .as_ref()
                .filter(|_| config.reload.watches_modules)
                .map(watch_sources),
            on_wanted: Arc::new({
                let events = events.clone();
                // An error: the supervisor has ended.
                move |generation| drop(events.send(Event::Wanted(generation)))
            }),
            on_recycle: Arc::new({
                let events = events.clone();
                // An error: the supervisor has ended.
                move |due| drop(events.send(Event::Due(due)))
            }),
        };
        Ok(Self {
            runtime,
            net,
            current,
            context,
            process,
            clockwork,
            last_load,
            _triggers: triggers,
        })
    }

    /// Loads the first generation. Unless `is_needed`, it comes up without an application that
    /// does not load, says so, and answers 500.
    pub(super) fn load(
        &self,
        mut plan: Plan,
        is_needed: bool,
        deadlines: &Deadlines,
    ) -> Result<(Arc<Generation>, Report), Failure> {
        if let Some(probe) = &mut plan.probe {
            // With nothing to fall back on, an unhealthy application is better than none.
            probe.is_lenient = !is_needed;
        }
        let failures = match self.start_generation(&plan, deadlines) {
            Ok(started) => return Ok(started),
            Err(StartError::Load(failures)) if is_needed => {
                return Err(Failure {
                    text: failures.to_string(),
                    code: NO_APP,
                });
            }
            Err(StartError::Load(failures)) => failures,
            Err(error @ StartError::Probe(_)) => {
                return Err(Failure {
                    text: error.to_string(),
                    code: NO_APP,
                });
            }
            Err(error) => return Err(Failure::new(error)),
        };
        tracing::error!("{failures}");
        self.last_load.has_failed(failures.to_string(), None);
        let not_loaded = if plan.apps.count() > 1 {
            "none of them could be loaded"
        } else {
            "it could not be loaded"
        };
        plan.apps = Apps::default();
        plan.spec.imports.clear();
        plan.probe = None;
        plan.interpreters = 1;
        plan.threads = 1;
        let (generation, mut report) = self
            .start_generation(&plan, deadlines)
            .map_err(Failure::new)?;
        report.loaded = Err(format!(
            "{not_loaded}, see above (--need-app leaves with an error instead)"
        ));
        Ok((generation, report))
    }

    /// What the first generation is made from.
    pub(super) fn plan(&self, config: &Config, listening: &[Listening], apps: Apps) -> Plan {
        let site = self.net.site();
        let folder = std::env::current_dir().unwrap_or_default();
        let added = &site.settings.added_fields;
        settings::plan(config, listening, apps, &self.process, added, folder)
    }

    fn start_generation(
        &self,
        plan: &Plan,
        deadlines: &Deadlines,
    ) -> Result<(Arc<Generation>, Report), StartError> {
        Generation::start(1, plan, self.runtime, &self.context, deadlines)
    }

    /// Starts the threads that open files and accept connections.
    pub(super) fn start_threads(&self, config: &Config) -> std::io::Result<Acceptor> {
        if config.static_files.is_serving() {
            let count = config.static_files.opening_threads;
            openers::start(count, &self.net, &self.current)?;
        }
        if site::may_take_long(config) {
            openers::start_checks(&self.net, &self.current)?;
        }
        Acceptor::start(
            Arc::clone(&self.net),
            Arc::clone(&self.current),
            Arc::clone(&self.context.acceptor_waker),
            self.context.shares_poll,
        )
    }

    /// The number of the generation that serves.
    pub(super) fn generation(&self) -> Option<u64> {
        let workers = self.current.load().map(|generation| generation.workers());
        workers.map(|workers| workers.generation())
    }

    /// Puts the first generation in charge: it answers requests from now on.
    pub(super) fn serve(&self, generation: Arc<Generation>) {
        self.current.swap(Some(Arc::clone(&generation)));
        generation.serve();
    }
}

fn watch_sources(triggers: &Arc<Triggers>) -> OnSources {
    let triggers = Arc::clone(triggers);
    Arc::new(move |sources, read_within| triggers.add_sources(sources, read_within))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::Duration;

    use crossbeam::channel::unbounded;

    use super::*;
    use crate::config::{self, Command};
    use crate::net::Address;
    use crate::os::vacuum::Vacuum;
    use crate::server::certificates::Certificates;
    use crate::server::request_log::Silence;
    use crate::server::stop::{self, Shutdown};
    use crate::server::{applications, sockets};

    const APPLICATION: &str = "def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'engine: ', environ['PATH_INFO'].encode()]
";

    fn configured(folder: &std::path::Path) -> Config {
        let file = folder.join("engine_app.py");
        std::fs::write(&file, APPLICATION).expect("a file");
        let mut line: Vec<OsString> = ["--http", "127.0.0.1:0", "--wsgi-file"]
            .map(OsString::from)
            .to_vec();
        line.push(file.into_os_string());
        match config::from_args(line, []) {
            Ok(Command::Run(config)) => *config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_engine_answers_a_request_and_stops() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = configured(folder.path());
        let certificates = Certificates::open(&config, folder.path()).expect("no TLS");
        let mut vacuum = Vacuum::new(false);
        let listeners = sockets::bind(&config, &certificates, &mut vacuum).expect("a port");
        let listening = sockets::listening(&config, &listeners);
        let (events, received) = unbounded();
        let alarms = crate::server::alarms::of(&config);
        let parts = EngineParts {
            runtime: Runtime::of_unit_tests(),
            listeners,
            listening: &listening,
            added_fields: AddedFields::default(),
            request_log: Box::new(Silence),
            events: &events,
            clockwork: Arc::new(Clockwork::default()),
            alarms: &alarms,
            spooler: SpoolerService::default(),
            watched_from: folder.path(),
        };
        let engine = Engine::build(&config, parts).expect("an engine");
        let apps = applications::choose(&config).expect("one application");
        let plan = engine.plan(&config, &listening, apps);
        let (generation, report) = engine
            .load(plan, true, &Deadlines::endless())
            .expect("it loads");
        assert!(report.loaded.is_ok());
        let acceptor = engine.start_threads(&config).expect("threads");
        engine.serve(generation);

        let Address::Tcp(address) = listening[0].address.clone() else {
            panic!("not TCP: {:?}", listening[0].address);
        };
        let mut client = TcpStream::connect(address).expect("a connection");
        client
            .write_all(b"GET /path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("engine: /path"), "{answer}");

        stop::close_listeners(&engine.net, &engine.current);
        let shutdown = Shutdown {
            net: Arc::clone(&engine.net),
            current: Arc::clone(&engine.current),
            process: Arc::clone(&engine.process),
            at_work: Vec::new(),
            mercy: Duration::from_secs(60),
            all_closed: None,
        };
        shutdown.start(events.clone()).expect("a thread");
        acceptor.nudge();
        assert!(received.iter().any(|event| matches!(event, Event::Stopped)));
        assert!(TcpStream::connect(address).is_err(), "it still listens");
    }
}
