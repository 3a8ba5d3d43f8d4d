//! The reloader and its tasks.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, bounded};

use super::other_generations::OtherGenerations;
use crate::app::{Deadlines, Generation, RecycleRequest, StartError, Workers};
use crate::config::{Config, ReloadMode};
use crate::os::memory::of_this_process;
use crate::python::{Isolation, sources_of};
use crate::reload::autoscale::Autoscaler;
use crate::reload::builder::{GenerationBuilder, can_roll};
use crate::reload::event::Event;
use crate::reload::handover::successor_process::Successor;
use crate::reload::history::{Outcome, ReloadHistory, Way};
use crate::reload::memory_watch::{MemoryWatch, TICK};
use crate::reload::pending::{Asked, PendingRenewals, Resize, Task};
use crate::reload::report;
use crate::reload::resize::resize;
use crate::reload::task::{Failed, MissingWorker, Rolled, RollingFailure, TaskOutcome, TaskResult};

/// What the supervisor does after a task has ended.
#[derive(Debug)]
pub enum Action {
    GoOn,
    /// Let this successor take over. The reload runs until
    /// [`not_renewed`](Reloader::not_renewed), or the end of the process.
    HandOver(Successor),
    /// Stop: there was no request for the configured time.
    Stop,
}

pub struct Reloader {
    pub(super) builder: Arc<GenerationBuilder>,
    events: Sender<Event>,
    pub(super) history: Arc<ReloadHistory>,
    pub(super) pending: PendingRenewals,
    /// Dropped to cancel the task that runs.
    pub(super) cancel: Option<Sender<Infallible>>,
    /// The task that runs starts an interpreter for a waiting request.
    pub(super) is_waking: bool,
    pub(super) autoscaler: Autoscaler,
    /// The number of the newest generation.
    id: u64,
    /// Old generations that have not ended.
    pub(super) retiring: Vec<Workers>,
    pub(super) memory: MemoryWatch,
    pub(super) missing: Option<MissingWorker>,
    /// The next reload renews the process, which has workers that cannot be ended otherwise.
    pub(super) needs_new_process: bool,
    /// The next reload makes a generation in the main interpreter, which it has not had.
    pub(super) is_switching: bool,
    /// The worker of the main interpreter that is due to be replaced, and with it the process.
    due_main: Option<u64>,
    pub(super) others: OtherGenerations,
}

impl Reloader {
    /// Nothing runs; generation 1 serves.
    pub fn new(
        builder: GenerationBuilder,
        events: Sender<Event>,
        history: Arc<ReloadHistory>,
    ) -> Self {
        let serving = builder.current.load();
        let serving = serving.map(|serving| serving.workers());
        let isolation = serving.as_ref().map(Workers::isolation);
        let autoscaler =
            Autoscaler::new(builder.config().workers.autoscale.clone(), of_this_process);
        if autoscaler.is_wanted() && isolation == Some(Isolation::Main) {
            tracing::warn!(
                "the number of interpreters stays as it is (--cheaper, --cheap and --idle are \
                 without effect): the application lives in the main one, which cannot be ended"
            );
        }
        let memory = MemoryWatch::new(&builder.config().reload, serving.as_ref());
        let reloader = Self {
            builder: Arc::new(builder),
            events,
            history,
            pending: PendingRenewals::default(),
            cancel: None,
            is_waking: false,
            autoscaler,
            id: 1,
            retiring: Vec::new(),
            memory,
            missing: None,
            needs_new_process: false,
            is_switching: false,
            due_main: None,
            others: OtherGenerations::default(),
        };
        reloader.warn_of_unused_options(isolation);
        reloader
    }

    /// The configuration of the version in charge.
    pub fn config(&self) -> Arc<Config> {
        self.builder.config()
    }

    pub fn history(&self) -> &ReloadHistory {
        &self.history
    }

    /// Asks for a reload. `is_chain`: one interpreter after the other, whatever `--reload-mode` is.
    pub fn ask_reload(&mut self, by: &str, is_chain: bool) {
        let is_rolling = is_chain || self.builder.config().reload.mode == ReloadMode::Rolling;
        match self.pending.ask_reload(by.to_owned(), is_rolling) {
            Asked::Next => {}
            Asked::Waits => tracing::info!("{by}: a reload is under way; one more follows"),
            Asked::Merged => tracing::info!("{by}: one more reload waits already"),
        }
        self.start_next();
    }

    /// Asks for a renewal of the process, whatever `--reload-mode` is.
    pub fn ask_new_process(&mut self, by: &str) {
        self.needs_new_process = true;
        self.ask_reload(by, false);
    }

    /// Puts the application into the main interpreter: an extension has refused the others.
    pub fn switch_to_main(&mut self) {
        if self
            .workers()
            .is_none_or(|workers| workers.isolation() == Isolation::Main)
        {
            return;
        }
        let missed = self
            .builder
            .version()
            .plan
            .process
            .refused_extensions
            .missed();
        let why = missed
            .first()
            .map_or_else(String::new, |one| one.module.clone());
        self.is_switching = true;
        self.ask_reload(
            &format!("isolation main, because {why} refuses own-gil"),
            false,
        );
    }

    /// An interpreter is due to be replaced; the main one is replaced with the process.
    /// `is_handing_over`: a successor takes over. Should that fail, the interpreter is due again.
    pub fn interpreter_is_due(&mut self, due: RecycleRequest, is_handing_over: bool) {
        let workers = self.workers();
        let Some(workers) = workers.filter(|workers| workers.generation() == due.generation) else {
            // The canary or the previous generation may come into charge later.
            self.postpone_recycling(&due);
            return;
        };
        if is_handing_over {
            workers.postpone_recycling(due.group);
            return;
        }
        if workers.isolation() == Isolation::Main {
            self.due_main = Some(due.group);
            self.ask_reload(&due.why, false);
            return;
        }
        if self.disk_has_other_code() {
            workers.postpone_recycling(due.group);
            return;
        }
        self.pending.ask_replacement(due);
        self.start_next();
    }

    /// The process is not renewed, though its successor was ready.
    pub fn not_renewed(&mut self, why: String) {
        self.pending.done();
        self.report_failure(&Failed::Hook(why));
        self.start_next();
    }

    pub fn has_waiting(&self) -> bool {
        self.pending.has_reload()
    }

    /// Checks ages, memory and the canary. Call once every [`tick_period`](Self::tick_period).
    pub fn tick(&mut self) {
        self.look_after_other_generations();
        if let Some(workers) = self.workers() {
            workers.recycle_aged();
            self.look_at_memory(&workers);
        }
    }

    pub fn is_busy(&self) -> bool {
        self.cancel.is_some()
    }

    /// How often to [`tick`](Self::tick); `None`: never, so that nothing wakes an idle server.
    pub fn tick_period(&self) -> Option<Duration> {
        let reload = &self.builder.config().reload;
        if reload.recycling.lifetime_max.is_some() || self.has_other_generations() {
            return Some(TICK);
        }
        self.memory.cycle()
    }

    pub fn task_ended(&mut self, result: TaskResult) -> Action {
        self.pending.done();
        self.cancel = None;
        self.is_waking = false;
        let elapsed = result.started.elapsed();
        if self.others.take_unwanted() {
            match result.outcome {
                TaskOutcome::Loaded(Ok(loaded)) => {
                    loaded.version.leave(&self.builder.version());
                    self.retire(loaded.generation);
                }
                _ => result.discard(),
            }
            self.start_next();
            return Action::GoOn;
        }
        match result.outcome {
            TaskOutcome::Loaded(Ok(loaded)) => {
                self.id = loaded.generation.id();
                self.history.set_way(Way::Swap);
                self.history.set_generation(self.id);
                self.activate(loaded, elapsed);
            }
            // The new version of the application needs the main interpreter, which is taken.
            TaskOutcome::Loaded(Err(Failed::Start(StartError::MainIsTaken))) => {
                self.history.set_way(Way::Exec);
                self.is_switching = false;
                self.start_successor();
                return Action::GoOn;
            }
            TaskOutcome::Loaded(Err(failed)) => {
                self.is_switching = false;
                self.report_failure(&failed);
            }
            TaskOutcome::SuccessorReady(Ok(successor)) => {
                // A changed configuration may have needed it.
                self.history.set_way(Way::Exec);
                self.pending.begin();
                return Action::HandOver(successor);
            }
            TaskOutcome::SuccessorReady(Err(report)) => {
                self.history.set_way(Way::Exec);
                if let Some(on_sources) = &self.builder.context.on_sources {
                    on_sources(&sources_of(&report), elapsed);
                }
                self.report_failure(&Failed::Successor(report));
            }
            TaskOutcome::Rolled(rolled) => {
                if rolled.failed.is_none() {
                    self.others.note_all_fresh();
                    self.memory.note_all_fresh();
                }
                self.report_rolled(&rolled, elapsed);
            }
            TaskOutcome::Resized(resized) => self.report_resized(resized, elapsed),
            TaskOutcome::Replaced { worker, result } => Self::report_replaced(worker, result),
            TaskOutcome::ReplacedOldFirst { missing, result } => {
                self.report_replaced_old_first(missing, result)
            }
        }
        self.start_next();
        Action::GoOn
    }

    fn start_successor(&mut self) {
        let deadlines = self.deadlines();
        self.pending.begin();
        let builder = Arc::clone(&self.builder);
        self.run(move || builder.start_successor(&deadlines));
    }

    pub fn generation_ended(&mut self, id: u64) {
        self.retiring.retain(|workers| workers.generation() != id);
        self.note_draining();
    }

    /// The server stops: cancels the task that runs. Returns the generations that still work.
    pub fn stop(&mut self) -> Vec<Workers> {
        // A request waits for the interpreter that starts: it gets it.
        if self.is_waking {
            return std::mem::take(&mut self.retiring);
        }
        if self.cancel.take().is_some() {
            tracing::info!("the reload is abandoned");
        }
        self.end_other_generations();
        if let Some(workers) = self.workers() {
            workers.turn_away();
        }
        std::mem::take(&mut self.retiring)
    }

    /// How long the next task may take; it can be cancelled from now on.
    fn deadlines(&mut self) -> Deadlines {
        let (cancel, cancelled) = bounded(0);
        self.cancel = Some(cancel);
        let until = Some(Instant::now() + self.builder.config().reload.timeout);
        Deadlines { until, cancelled }
    }

    pub(super) fn start_next(&mut self) {
        let Some(task) = self.pending.take() else {
            return;
        };
        let deadlines = self.deadlines();
        match (task, self.workers()) {
            (Task::Reload { by, is_rolling }, workers) => {
                self.start_reload(&by, is_rolling, workers, deadlines);
            }
            (Task::Replace(due), Some(workers)) => self.replace(due, workers, deadlines),
            (Task::Resize(change), Some(workers)) => {
                self.is_waking = change == Resize::Wake;
                self.autoscaler.note_request();
                let at_waking = self.autoscaler.at_waking(workers.most());
                let grace = self.builder.replaced_grace();
                self.run(move || {
                    TaskOutcome::Resized(resize(change, &workers, at_waking, &deadlines, grace))
                });
            }
            (Task::Replace(_) | Task::Resize(_), None) => {
                self.cancel = None;
                self.pending.done();
            }
        }
    }

    fn start_reload(
        &mut self,
        by: &str,
        is_rolling: bool,
        workers: Option<Workers>,
        deadlines: Deadlines,
    ) {
        let builder = Arc::clone(&self.builder);
        let serving = builder.current.id();
        tracing::info!("{by}: reloading; generation {serving} serves meanwhile");
        self.supersede_canary();
        let way = self.way(workers.as_ref(), is_rolling);
        self.history.begin(by, way, serving);
        if let Some(workers) = &workers {
            self.warn_of_room(workers, way);
        }
        match (way, workers) {
            (Way::Exec, _) => {
                self.needs_new_process = false;
                self.run(move || builder.renew_process(&deadlines));
            }
            (Way::Rolling, Some(workers)) => {
                let id = self.id + 1;
                self.run(move || builder.roll_or_load(id, &workers, &deadlines));
            }
            _ => {
                self.id += 1;
                let id = self.id;
                self.history.set_generation(id);
                let is_switching = self.is_switching;
                self.run(move || match is_switching {
                    true => builder.load_again(id, &deadlines),
                    false => builder.load(id, &deadlines),
                });
            }
        }
    }

    /// How a reload is carried out. An application in the main interpreter needs a new process.
    fn way(&self, serving: Option<&Workers>, is_rolling: bool) -> Way {
        if self.is_switching
            && serving.is_some_and(|workers| workers.isolation() != Isolation::Main)
        {
            return Way::Swap;
        }
        if self.needs_new_process
            || self.builder.config().reload.mode == ReloadMode::Exec
            || serving.is_some_and(|workers| workers.isolation() == Isolation::Main)
        {
            Way::Exec
        } else if is_rolling && serving.is_some_and(can_roll) {
            Way::Rolling
        } else {
            Way::Swap
        }
    }

    pub(super) fn workers(&self) -> Option<Workers> {
        let generation = self.builder.current.load()?;
        Some(generation.workers())
    }

    pub(super) fn run(&mut self, task: impl FnOnce() -> TaskOutcome + Send + 'static) {
        let events = self.events.clone();
        let started = Instant::now();
        let spawned = std::thread::Builder::new()
            .name("sm-reload".to_owned())
            .spawn(move || {
                let outcome = task();
                // The supervisor has ended: a second signal came.
                let _gone = events.send(Event::Done(Box::new(TaskResult { started, outcome })));
            });
        if let Err(error) = spawned {
            self.pending.done();
            self.cancel = None;
            self.is_waking = false;
            self.report_failure(&Failed::Start(StartError::Thread(error)));
        }
    }

    /// Lets an old generation answer the requests that it has, and end.
    pub(super) fn retire(&mut self, generation: Arc<Generation>) {
        let workers = generation.workers();
        self.retiring.push(workers.clone());
        drop(generation);
        self.note_draining();
        let mercy = self.builder.config().process.reload_mercy;
        let events = self.events.clone();
        let watched = std::thread::Builder::new()
            .name("sm-retire".to_owned())
            .spawn(move || {
                let id = workers.generation();
                wait_for_end(&workers, mercy);
                // The supervisor has ended: the server stops.
                let _gone = events.send(Event::Retired { generation: id });
            });
        if let Err(error) = watched {
            tracing::warn!(%error, "the end of the old generation will not be logged");
        }
    }

    fn note_draining(&self) {
        self.history
            .set_draining(self.retiring.iter().map(Workers::generation).collect());
    }

    fn report_failure(&mut self, failed: &Failed) {
        match failed.reason() {
            Some(reason) => {
                let serving = self.builder.current.id();
                tracing::error!("reload failed: {reason}; generation {serving} serves on");
                self.note_failed(failed);
                self.history.end(Outcome::Failed(failed.summary()));
            }
            None => {
                let why = "the server stops".to_owned();
                self.history.end(Outcome::Abandoned(why));
            }
        }
        // Otherwise the next request would ask again.
        if let (Some(group), Some(workers)) = (self.due_main.take(), self.workers()) {
            workers.postpone_recycling(group);
        }
    }

    /// Shows the failure in development.
    fn note_failed(&self, failed: &Failed) {
        let loaded = self.workers().filter(Workers::has_application);
        let loaded = loaded.map(|workers| workers.generation());
        self.builder.last_load.has_failed(failed.text(), loaded);
    }

    fn report_rolled(&mut self, rolled: &Rolled, elapsed: Duration) {
        let Rolled {
            generation,
            fresh,
            count,
            failed,
        } = rolled;
        let Some(RollingFailure { worker, why }) = failed else {
            self.history.end(Outcome::Serves(*generation));
            self.builder.last_load.is_settled();
            tracing::info!(
                "every interpreter of generation {generation} is new ({count} in {:.2} s)",
                elapsed.as_secs_f64()
            );
            return;
        };
        if *fresh == 0 {
            self.report_failure(why);
            return;
        }
        self.history.end(Outcome::Partly(format!(
            "{fresh} of {count} interpreters have the new version: {}",
            why.summary()
        )));
        if let Some(reason) = why.reason() {
            tracing::error!(
                "reload failed at worker {worker}: {reason}; {fresh} of {count} interpreters have \
                 the new version, the others serve on with the old one"
            );
            self.note_failed(why);
        }
    }
}

/// Waits for an old generation's end. Runs on `sm-retire`.
fn wait_for_end(workers: &Workers, mercy: Duration) {
    /// The deadline of each wait once the mercy is over; the wait is repeated for ever.
    const LONG: Duration = Duration::from_secs(3600);
    let id = workers.generation();
    let answered_before = workers.answered();
    let mut left = workers.wait(Instant::now() + mercy);
    if left > 0 {
        tracing::warn!(
            threads = left,
            "generation {id} still works on requests after {} s (--reload-mercy); it ends when \
             they do",
            mercy.as_secs()
        );
    }
    while left > 0 {
        left = workers.wait(Instant::now() + LONG);
    }
    let finished = workers.answered() - answered_before;
    tracing::info!("{}", report::retired(id, finished, workers.parked()));
}
