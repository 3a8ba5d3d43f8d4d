//! One thread of the spooler: makes its interpreter, runs one task after the other, and ends the
//! interpreter.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::deadlines::Record;
use super::service::SpoolerService;
use super::thread;
use crate::app::generation_state::GenerationState;
use crate::app::working_folder::{self, OwnFolder};
use crate::background::spooler::Work;
use crate::background::spooler::directory::{Directory, Outcome, Running};
use crate::config::IsolationChoice;
use crate::python::{
    Ended, InterpreterHandle, InterpreterThread, Isolation, RefusedExtension, Role, SpoolTask,
    TaskEnd,
};

/// Interpreters of the spooler count from here, so that none has the number of a worker.
const IDS: usize = 1_000_000;
/// The pause after an interpreter could not be made.
const PAUSE: Duration = Duration::from_secs(10);
/// As in uWSGI.
const NICE: i32 = 19;

const SPOOL_OK: i64 = -2;
const SPOOL_IGNORE: i64 = 0;

/// Why a thread stops to run tasks in its interpreter.
enum End {
    /// The generation ends.
    Over,
    /// The interpreter is to be renewed.
    Renew,
    /// There was no task for long (`--spooler-cheap`).
    Idle,
    /// It was abandoned, and another thread has its place.
    Abandoned,
}

#[derive(Clone)]
pub(super) struct SpoolerThread {
    pub(super) shared: Arc<GenerationState>,
    pub(super) directory: Arc<Directory>,
    /// From 1.
    pub(super) number: usize,
    /// The interpreter to join.
    pub(super) main: Option<InterpreterHandle>,
}

/// Counts a thread of the generation until it ends or is abandoned.
struct Alive(Arc<GenerationState>, bool);

impl Drop for Alive {
    fn drop(&mut self) {
        if self.1 {
            self.0.thread_has_ended();
        }
    }
}

impl SpoolerThread {
    pub(super) fn start(this: Self) {
        this.shared.thread_begins();
        let alive = Alive(Arc::clone(&this.shared), true);
        let number = this.number;
        let thread = std::thread::Builder::new()
            .name(format!("spooler {number}"))
            .stack_size(this.shared.setup.plan.stack_bytes);
        let run = move || {
            let mut alive = alive;
            let body = AssertUnwindSafe(|| this.run());
            match catch_unwind(body) {
                Ok(End::Abandoned) => alive.1 = false,
                Ok(_) => {}
                Err(_) => tracing::error!("spooler {number} panicked; it runs no more tasks"),
            }
        };
        if let Err(error) = thread.spawn(run) {
            tracing::error!(%error, "cannot start a thread of the spooler");
        }
    }

    fn service(&self) -> &Arc<SpoolerService> {
        &self.shared.setup.plan.process.spooler
    }

    fn run(&self) -> End {
        let service = self.service();
        let isolation = self.shared.setup.isolation;
        let shares_gil = self.main.is_some() || isolation == Isolation::SharedGil;
        let is_free = self.shared.setup.runtime.is_free_threaded();
        // A thread with a low priority that holds the GIL would hold up the workers.
        let default = if shares_gil && !is_free { 0 } else { NICE };
        thread::set_nice(service.config.nice.unwrap_or(default));
        let mut first = None;
        loop {
            if service.config.is_cheap && first.is_none() {
                match self.next(None, None) {
                    Work::Over => return End::Over,
                    Work::Idle => continue,
                    work => first = Some(work),
                }
            }
            let folder = working_folder::enter(&self.shared.setup, None);
            let mut python = match self.make() {
                Ok(python) => python,
                Err(why) => {
                    tracing::error!(
                        "the spooler cannot run tasks: {why}\n  it is tried again every {} s",
                        PAUSE.as_secs()
                    );
                    if let Some(Work::Task(running)) = first.take() {
                        self.directory.finish(*running, Outcome::Ignored);
                    }
                    let is_over = || self.shared.is_retired();
                    let until = Some(Instant::now() + PAUSE);
                    self.directory.next(&is_over, &|| false, until);
                    if is_over() {
                        return End::Over;
                    }
                    continue;
                }
            };
            self.change_directory(folder);
            let end = self.serve(&mut python, first.take());
            self.end(python);
            match end {
                End::Over | End::Abandoned => return end,
                End::Renew | End::Idle => {}
            }
        }
    }

    /// The application is loaded: tasks run in `--spooler-chdir`, or where the process is.
    fn change_directory(&self, own: Option<OwnFolder>) {
        let Some(path) = &self.service().config.working_folder else {
            return working_folder::follow_process(&self.shared.setup, own.as_ref());
        };
        let why = match own.or_else(OwnFolder::separate).map(|own| own.enter(path)) {
            Some(Ok(())) => return,
            Some(Err(error)) => format!("{}: {error}", path.display()),
            None => "the system gives threads no working directory of their own".to_owned(),
        };
        if self.number == 1 {
            tracing::warn!("--spooler-chdir is without effect: {why}");
        }
    }

    /// Makes the interpreter, or joins the main one, and loads what tasks need.
    fn make(&self) -> Result<InterpreterThread, String> {
        let setup = &self.shared.setup;
        if let Some(handle) = &self.main {
            let (interpreters, threads) = setup.plan.shape(setup.isolation);
            let core = interpreters * threads + self.number - 1;
            let joined = InterpreterThread::join(handle, core);
            let mut python = joined.map_err(|error| error.to_string())?;
            if self.number == 1 {
                self.import(&mut python);
            }
            return Ok(python);
        }
        let plan = setup.plan.seen_from_here();
        let id = IDS + self.number;
        self.shared.signals.registrations.begin_anew(id);
        let mut spec = self.shared.spec(&plan, id);
        spec.role = Role::Spooler(self.number);
        spec.multithread = false;
        let python = InterpreterThread::create(setup.runtime, spec);
        let mut python = python.map_err(|error| error.to_string())?;
        match self.load(&mut python) {
            Ok(()) => Ok(python),
            Err(why) => {
                self.end(python);
                Err(why)
            }
        }
    }

    fn load(&self, python: &mut InterpreterThread) -> Result<(), String> {
        let began = Instant::now();
        let setup = &self.shared.setup;
        let plan = setup.plan.seen_from_here();
        let loadable = self.shared.apps.loadable().unwrap_or_default();
        for (at, (place, target)) in plan.apps.iter().enumerate() {
            if loadable.get(at) == Some(&true) {
                let loaded = python.load_app(at, &place.mountpoint(), target);
                loaded.map_err(|failure| failure.to_string())?;
            }
        }
        if plan.apps.are_none_wanted() {
            let loaded = python.load_imports();
            loaded.map_err(|failure| failure.to_string())?;
        }
        python.all_loaded();
        self.import(python);
        let refused = python.refused_extensions();
        if plan.isolation == IsolationChoice::Auto
            && refused.iter().any(RefusedExtension::is_missed)
        {
            self.shared.needs_main();
        }
        if let Some(on_sources) = &setup.context.on_sources {
            let sources = python.attached(|py| py.new_sources(&mut 0));
            on_sources(&sources, began.elapsed());
        }
        Ok(())
    }

    /// `--spooler-import`. What fails is told, and the rest is imported, as in uWSGI.
    fn import(&self, python: &mut InterpreterThread) {
        for target in &self.service().imports {
            if let Err(failure) = python.import(target) {
                tracing::error!("--spooler-import: {failure}");
            }
        }
    }

    fn end(&self, python: InterpreterThread) {
        let grace = self.shared.setup.plan.end_grace;
        let is_exit = self.shared.setup.context.net.is_draining();
        let ended = if is_exit {
            python.end_at_exit(grace)
        } else {
            python.end(grace)
        };
        if let Ended::Parked { threads_left } = ended
            && !is_exit
        {
            self.shared.counts.add_parked();
            tracing::warn!(
                threads_left,
                "an interpreter of the spooler is parked: tasks left threads that cannot be ended"
            );
        }
    }

    fn next(&self, record: Option<&Record>, renewal: Option<u64>) -> Work {
        let service = self.service();
        let is_renewed =
            || renewal.is_some_and(|one| one != service.renewals.load(Ordering::SeqCst));
        let is_over =
            || self.shared.is_retired() || is_renewed() || record.is_some_and(Record::is_abandoned);
        let patience = record.filter(|_| service.config.is_cheap);
        let patience = patience.map(|_| service.config.frequency);
        let generation = self.shared.setup.id;
        service
            .files
            .next(&self.directory, generation, &is_over, patience)
    }

    fn serve(&self, python: &mut InterpreterThread, mut first: Option<Work>) -> End {
        let service = self.service();
        let renewal = service.renewals.load(Ordering::SeqCst);
        let replacement = self.clone();
        let record = Record::new(
            self.directory.folder.path.clone(),
            python.interruption(),
            self.shared.setup.plan.process.harakiri.grace(),
            Box::new(move || {
                let shared = &replacement.shared;
                shared.thread_has_ended();
                if !shared.is_retired() {
                    SpoolerThread::start(replacement.clone());
                }
            }),
        );
        service.deadlines.add(&record);
        let mut tasks = 0;
        loop {
            match first
                .take()
                .unwrap_or_else(|| self.next(Some(&record), Some(renewal)))
            {
                Work::Over if self.shared.is_retired() => return End::Over,
                Work::Over => return End::Renew,
                Work::Idle => return End::Idle,
                Work::Signal(number) => {
                    python.attached(|py| py.run_signal(number));
                    tasks += u64::from(service.config.counts_signals);
                }
                Work::Task(running) => {
                    self.run_task(python, &record, *running);
                    tasks += 1;
                }
            }
            if record.is_abandoned() {
                tracing::warn!("a task that did not end in time has ended");
                return End::Abandoned;
            }
            let is_enough = service.config.tasks_max.is_some_and(|max| tasks >= max);
            if is_enough && self.main.is_none() {
                tracing::info!(
                    "[spooler {}] maximum number of tasks reached ({tasks}) recycling ...",
                    self.directory.folder.path.display()
                );
                return End::Renew;
            }
        }
    }

    fn run_task(&self, python: &mut InterpreterThread, record: &Record, mut running: Running) {
        let service = self.service();
        let path = running.claim.path.clone();
        let task = SpoolTask {
            pairs: running.claim.packet.pairs.clone(),
            body: std::mem::take(&mut running.claim.packet.body),
        };
        let (place, pid) = (self.directory.folder.path.display(), std::process::id());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !service.config.is_quiet {
            tracing::info!("[spooler {place} pid: {pid}] managing request {name} ...");
        }
        let began = Instant::now();
        record.begin(path.clone(), service.config.harakiri);
        if service.config.harakiri.is_some() {
            service.deadlines.wake();
        }
        let run = AssertUnwindSafe(|| python.attached(|py| py.run_task(&path, &task)));
        let end = catch_unwind(run);
        record.end();
        let outcome = match end {
            Ok(TaskEnd::Returned(Some(SPOOL_OK))) => Outcome::Done,
            Ok(TaskEnd::Returned(Some(SPOOL_IGNORE))) => Outcome::Ignored,
            Ok(TaskEnd::Returned(_)) => Outcome::Retry,
            Ok(TaskEnd::Raised(traceback)) => Outcome::Raised(traceback),
            Ok(TaskEnd::NoHandler) => {
                if !service.has_warned.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        "unable to find the spooler function, have you loaded it into the spooler \
                         process ? (uwsgi.spooler is not set; tasks are kept)"
                    );
                }
                Outcome::Ignored
            }
            Err(_) => Outcome::Raised("the server panicked; this is a bug".to_owned()),
        };
        let is_gone = self.directory.finish(running, outcome);
        if is_gone && !service.config.is_quiet {
            let seconds = began.elapsed().as_secs();
            tracing::info!(
                "[spooler {place} pid: {pid}] done with task {name} after {seconds} seconds"
            );
        }
    }
}
