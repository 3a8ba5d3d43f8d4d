//! Reload: the next generation is born beside the one that serves, takes its place in one swap, and the old one leaves
//! when it has answered what was queued in it. docs/reload.md tells the whole story.
//!
//! An application that lives in the main interpreter is renewed with the whole process (`rebirth`).
//!
//! Who is in charge when, and who is kept or tried out beside it, is in `succession`.
//!
//! One interpreter is replaced in the same way when it is due (`renewal`; memory is in `memory_watch`), and a rolling reload is that for
//! each of them in turn.
//!
//! The main thread decides here; births run on `sm-reload`, one at a time, and report back as an event, so a swap and a
//! stop never meet. A thread called `sm-retire` sees each old generation to its end.

mod adapting;
mod failed;
mod memory_watch;
mod renewal;
mod succession;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, bounded};

use self::failed::Failed;
use self::memory_watch::MemoryWatch;
use self::renewal::Vacancy;
use self::succession::Succession;
use super::autoscale::Adaptation;
use super::event::Event;
use super::failed_load::LastLoad;
use super::handover::message::Word;
use super::handover::origin::Origin;
use super::handover::successor_process::StandIn;
use super::history::{self, Journal, Way};
use super::pending::{Agenda, Asked, Change, Task};
use super::resize::{Changed, carry_out};
use crate::app::worker::Surroundings;
use crate::app::{Due, Generation, Patience, Plan, Report, Roster, StartError};
use crate::config::{AutoscaleConfig, Config, Phase, ReloadMode};
use crate::os::memory::of_this_process;
use crate::python::{Isolation, Runtime, sources_of};
use crate::reload::report;

/// Runs the hooks of some phases.
pub type RunHooks = Box<dyn Fn(&[Phase]) -> Result<(), String> + Send + Sync>;

/// What every generation is made by.
pub struct Recipe {
    /// What was configured.
    pub config: Config,
    /// The plan of the first one.
    pub plan: Plan,
    /// How many interpreters there are, in time.
    pub autoscale: AutoscaleConfig,
    /// How the process was started.
    pub origin: Origin,
    /// What a successor is left with beside the listening sockets.
    pub heirlooms: Box<dyn Fn() -> std::io::Result<Vec<Word>> + Send + Sync>,
    /// The one CPython.
    pub runtime: &'static Runtime,
    /// What the threads of all generations share.
    pub surroundings: Surroundings,
    /// Runs the hooks of these phases; the error says why the reload fails.
    pub run_hooks: RunHooks,
    /// Is told what does not load.
    pub last_load: Arc<LastLoad>,
}

/// What came of a task.
pub struct Done {
    started: Instant,
    outcome: Outcome,
}

enum Outcome {
    Born(Result<(Arc<Generation>, Report), Failed>),
    Rolled(Rolled),
    /// Whether another process has loaded the application, and can serve in the place of this one.
    Relieved(Result<StandIn, String>),
    Replaced {
        worker: usize,
        result: Result<Duration, StartError>,
    },
    /// One has left before it was to be replaced; `None`: it has not left yet.
    ReplacedOldFirst {
        vacancy: Vacancy,
        result: Result<Option<Duration>, StartError>,
    },
    Changed(Changed),
}

/// How far a rolling reload came.
struct Rolled {
    generation: u64,
    fresh: usize,
    count: usize,
    /// The interpreter that could not be replaced, 0 for none in particular.
    failed: Option<(usize, Failed)>,
}

/// What the supervisor is to do when a task has ended.
#[derive(Debug)]
pub enum Then {
    /// Go on.
    GoOn,
    /// Let this process take over. What is renewed is under way until
    /// [`not_renewed`](Reloader::not_renewed), or for good.
    StartAnew(StandIn),
    /// Stop: nobody has asked for anything for long.
    Stop,
}

impl Done {
    /// Nobody wants it any more.
    pub fn discard(self) {
        if let Outcome::Relieved(Ok(stand_in)) = self.outcome {
            stand_in.kill();
        }
    }
}

/// Renews what serves. The main thread's.
pub struct Reloader {
    recipe: Arc<Recipe>,
    events: Sender<Event>,
    journal: Arc<Journal>,
    agenda: Agenda,
    /// Dropped to give a birth up.
    interest: Option<Sender<Infallible>>,
    /// What is being made is what requests wait for.
    is_waking: bool,
    adaptation: Adaptation,
    id: u64,
    /// Old generations that have not ended.
    retiring: Vec<Roster>,
    memory: MemoryWatch,
    /// An interpreter that has left and has no successor.
    vacancy: Option<Vacancy>,
    /// The next reload is one of the whole process, because of what it cannot get rid of otherwise.
    needs_rebirth: bool,
    /// The crew of the main interpreter that is due to be replaced, and so the process.
    overdue: Option<u64>,
    succession: Succession,
}

/// How often time and memory are looked at.
const TICK: Duration = Duration::from_secs(1);
/// What a replaced interpreter is waited for, so that there is one too many only for a short time.
const REPLACED_GRACE: Duration = Duration::from_secs(10);

impl Reloader {
    /// Nothing is under way; generation 1 serves.
    pub fn new(recipe: Recipe, events: Sender<Event>, journal: Arc<Journal>) -> Self {
        let serving = recipe.surroundings.current.load();
        let serving = serving.map(|serving| serving.roster());
        let isolation = serving.as_ref().map(Roster::isolation);
        let adaptation = Adaptation::new(recipe.autoscale.clone(), of_this_process);
        if adaptation.is_wanted() && isolation == Some(Isolation::Main) {
            tracing::warn!(
                "the number of interpreters stays as it is (--cheaper, --cheap and --idle are without effect): the application \
                 lives in the main one, which cannot be ended"
            );
        }
        let memory = MemoryWatch::new(&recipe.config.reload, serving.as_ref());
        let reloader = Self {
            recipe: Arc::new(recipe),
            events,
            journal,
            agenda: Agenda::default(),
            interest: None,
            is_waking: false,
            adaptation,
            id: 1,
            retiring: Vec::new(),
            memory,
            vacancy: None,
            needs_rebirth: false,
            overdue: None,
            succession: Succession::default(),
        };
        reloader.warn_of_succession(isolation);
        reloader
    }

    /// How reloads went.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// A reload is wanted. `is_chain`: one interpreter after the other, whatever `--reload-mode` says.
    pub fn ask(&mut self, by: &str, is_chain: bool) {
        let is_rolling = is_chain || self.recipe.config.reload.mode == ReloadMode::Rolling;
        match self.agenda.ask_reload(by.to_owned(), is_rolling) {
            Asked::Next => {}
            Asked::Waits => tracing::info!("{by}: a reload is under way; one more follows"),
            Asked::Known => tracing::info!("{by}: one more reload waits already"),
        }
        self.begin_next();
    }

    /// The process itself is to be renewed, whatever `--reload-mode` says.
    pub fn ask_rebirth(&mut self, by: &str) {
        self.needs_rebirth = true;
        self.ask(by, false);
    }

    /// An interpreter is due to be replaced. The main one is replaced with the process. `is_leaving`: another process is taking over;
    /// should that fail, the interpreter is due again later.
    pub fn due(&mut self, due: Due, is_leaving: bool) {
        let roster = self.roster();
        let Some(roster) = roster.filter(|roster| roster.generation() == due.generation) else {
            // One that is tried out may come to be in charge, and one that is kept, too.
            self.put_off(&due);
            return;
        };
        if is_leaving {
            roster.put_off(due.crew);
            return;
        }
        if roster.isolation() == Isolation::Main {
            self.overdue = Some(due.crew);
            self.ask(&due.why, false);
            return;
        }
        if self.is_code_another() {
            roster.put_off(due.crew);
            return;
        }
        self.agenda.ask_renewal(due);
        self.begin_next();
    }

    /// The process is not renewed after all, though there was a successor.
    pub fn not_renewed(&mut self, why: String) {
        self.agenda.done();
        self.tell(&Failed::Hook(why));
        self.begin_next();
    }

    /// Whether one more reload waits for the one that is under way.
    pub fn has_waiting(&self) -> bool {
        self.agenda.has_reload()
    }

    /// Looks whether time or memory make an interpreter due. Once every [`ticks_every`](Self::ticks_every).
    pub fn tick(&mut self) {
        self.look_after_succession();
        if let Some(roster) = self.roster() {
            roster.ask_for_the_aged();
            self.look_at_memory(&roster);
        }
    }

    /// Whether something is being born.
    pub fn is_busy(&self) -> bool {
        self.interest.is_some()
    }

    /// How often there is anything to look for; `None`: never, and nothing wakes an idle server.
    pub fn ticks_every(&self) -> Option<Duration> {
        if self.recipe.config.reload.recycling.lifetime_max.is_some() || self.is_succession_open() {
            return Some(TICK);
        }
        self.memory.cycle()
    }

    /// A task has ended.
    pub fn done(&mut self, done: Done) -> Then {
        self.agenda.done();
        self.interest = None;
        self.is_waking = false;
        let elapsed = done.started.elapsed();
        if self.succession.take_unwanted() {
            match done.outcome {
                Outcome::Born(Ok((generation, _))) => self.retire(generation),
                _ => done.discard(),
            }
            self.begin_next();
            return Then::GoOn;
        }
        match done.outcome {
            Outcome::Born(Ok((generation, report))) => self.succeed(generation, &report, elapsed),
            // The application has come to need the main interpreter once more.
            Outcome::Born(Err(Failed::Start(StartError::MainIsTaken))) => {
                self.journal.goes(Way::Exec);
                self.relieve();
                return Then::GoOn;
            }
            Outcome::Born(Err(failed)) => self.tell(&failed),
            Outcome::Relieved(Ok(stand_in)) => {
                self.agenda.begin();
                return Then::StartAnew(stand_in);
            }
            Outcome::Relieved(Err(why)) => {
                if let Some(on_sources) = &self.recipe.surroundings.on_sources {
                    on_sources(&sources_of(&why), elapsed);
                }
                self.tell(&Failed::StandIn(why));
            }
            Outcome::Rolled(rolled) => {
                if rolled.failed.is_none() {
                    self.succession.note_all_fresh();
                    self.memory.note_all_fresh();
                }
                self.tell_rolled(&rolled, elapsed);
            }
            Outcome::Changed(changed) => self.tell_changed(changed, elapsed),
            Outcome::Replaced { worker, result } => Self::tell_replaced(worker, result),
            Outcome::ReplacedOldFirst { vacancy, result } => {
                self.tell_replaced_old_first(vacancy, result)
            }
        }
        self.begin_next();
        Then::GoOn
    }

    /// Starts a successor.
    fn relieve(&mut self) {
        let until = Some(Instant::now() + self.recipe.config.reload.timeout);
        let (interest, given_up) = bounded(0);
        self.interest = Some(interest);
        self.agenda.begin();
        let patience = Patience { until, given_up };
        let recipe = Arc::clone(&self.recipe);
        self.run(move || recipe.relieve(&patience));
    }

    /// An old generation has ended.
    pub fn retired(&mut self, id: u64) {
        self.retiring.retain(|roster| roster.generation() != id);
        self.tell_retiring();
    }

    /// The server stops: what is being born is given up. Returns who is still at work.
    pub fn stop(&mut self) -> Vec<Roster> {
        // What requests wait for is made all the same, and others that wait are told at once that they do so in vain.
        if self.is_waking {
            return std::mem::take(&mut self.retiring);
        }
        if self.interest.take().is_some() {
            tracing::info!("the reload is given up");
        }
        self.end_succession();
        if let Some(roster) = self.roster() {
            roster.turn_away();
        }
        std::mem::take(&mut self.retiring)
    }

    fn begin_next(&mut self) {
        let Some(task) = self.agenda.take() else {
            return;
        };
        let (interest, given_up) = bounded(0);
        self.interest = Some(interest);
        let until = Some(Instant::now() + self.recipe.config.reload.timeout);
        let patience = Patience { until, given_up };
        let recipe = Arc::clone(&self.recipe);
        let serving = recipe.surroundings.current.id();
        match (task, self.roster()) {
            (Task::Reload { by, is_rolling }, roster) => {
                tracing::info!("{by}: reloading; generation {serving} serves meanwhile");
                self.supersede_canary();
                let way = self.way(roster.as_ref(), is_rolling);
                self.journal.begin(&by, way, serving);
                if let Some(roster) = &roster {
                    self.warn_of_room(roster, way);
                }
                match (way, roster) {
                    (Way::Exec, _) => {
                        self.needs_rebirth = false;
                        self.run(move || recipe.relieve(&patience));
                    }
                    (Way::Rolling, Some(roster)) => {
                        self.run(move || Outcome::Rolled(recipe.roll(&roster, &patience)));
                    }
                    _ => {
                        self.id += 1;
                        let id = self.id;
                        self.journal.makes(id);
                        self.run(move || Outcome::Born(recipe.bear(id, &patience)));
                    }
                }
            }
            (Task::Renew(due), Some(roster)) => self.renew(due, roster, patience),
            (Task::Change(change), Some(roster)) => {
                self.is_waking = change == Change::Wake;
                self.adaptation.note_waking();
                let at_waking = self.adaptation.at_waking(roster.most());
                let grace = REPLACED_GRACE.min(recipe.config.process.reload_mercy);
                self.run(move || {
                    Outcome::Changed(carry_out(change, &roster, at_waking, &patience, grace))
                });
            }
            (Task::Renew(_) | Task::Change(_), None) => self.agenda.done(),
        }
    }

    /// How a reload goes. It is a new beginning of the process if that is asked for, or the application lives in the main interpreter.
    fn way(&self, serving: Option<&Roster>, is_rolling: bool) -> Way {
        if self.needs_rebirth
            || self.recipe.config.reload.mode == ReloadMode::Exec
            || serving.is_some_and(|roster| roster.isolation() == Isolation::Main)
        {
            Way::Exec
        } else if is_rolling && serving.is_some_and(can_roll) {
            Way::Rolling
        } else {
            Way::Swap
        }
    }

    /// Who works in the generation that serves.
    fn roster(&self) -> Option<Roster> {
        let generation = self.recipe.surroundings.current.load()?;
        Some(generation.roster())
    }

    fn run(&mut self, task: impl FnOnce() -> Outcome + Send + 'static) {
        let events = self.events.clone();
        let started = Instant::now();
        let spawned = std::thread::Builder::new()
            .name("sm-reload".to_owned())
            .spawn(move || {
                let outcome = task();
                // The supervisor left first: a second signal came.
                let _gone = events.send(Event::Done(Box::new(Done { started, outcome })));
            });
        if let Err(error) = spawned {
            self.agenda.done();
            self.interest = None;
            self.is_waking = false;
            self.tell(&Failed::Start(StartError::Thread(error)));
        }
    }

    /// Lets an old generation finish what it has, and end.
    fn retire(&mut self, generation: Arc<Generation>) {
        let roster = generation.roster();
        self.retiring.push(roster.clone());
        drop(generation);
        self.tell_retiring();
        self.see_off(roster);
    }

    /// Waits for an old generation's end and tells of it.
    fn see_off(&self, roster: Roster) {
        let mercy = self.recipe.config.process.reload_mercy;
        let events = self.events.clone();
        let watched = std::thread::Builder::new()
            .name("sm-retire".to_owned())
            .spawn(move || {
                let id = roster.generation();
                see_off(&roster, mercy);
                // The supervisor left first: the server stops.
                let _gone = events.send(Event::Retired { generation: id });
            });
        if let Err(error) = watched {
            tracing::warn!(%error, "nobody watches the old generation end");
        }
    }

    fn tell_retiring(&self) {
        self.journal
            .ending(self.retiring.iter().map(Roster::generation).collect());
    }

    fn tell(&mut self, failed: &Failed) {
        match failed.reason() {
            Some(reason) => {
                let serving = self.recipe.surroundings.current.id();
                tracing::error!("reload failed: {reason}; generation {serving} serves on");
                self.note_failed(failed);
                self.journal.end(history::Outcome::Failed(failed.gist()));
            }
            None => {
                let why = "the server stops".to_owned();
                self.journal.end(history::Outcome::GivenUp(why));
            }
        }
        // Not asked again at the next request.
        if let (Some(crew), Some(roster)) = (self.overdue.take(), self.roster()) {
            roster.put_off(crew);
        }
    }

    /// For those who develop.
    fn note_failed(&self, failed: &Failed) {
        let loaded = self.roster().filter(Roster::has_application);
        let loaded = loaded.map(|roster| roster.generation());
        self.recipe.last_load.has_failed(failed.text(), loaded);
    }

    fn tell_rolled(&mut self, rolled: &Rolled, elapsed: Duration) {
        let Rolled {
            generation,
            fresh,
            count,
            failed,
        } = rolled;
        self.journal.end(match failed {
            None => history::Outcome::Serves(*generation),
            Some((_, failed)) if *fresh == 0 => history::Outcome::Failed(failed.gist()),
            Some((_, failed)) => history::Outcome::Partly(format!(
                "{fresh} of {count} interpreters have the new version: {}",
                failed.gist()
            )),
        });
        match failed {
            None => {
                self.recipe.last_load.is_settled();
                tracing::info!(
                    "every interpreter of generation {generation} is new ({count} in {:.2} s)",
                    elapsed.as_secs_f64()
                );
            }
            Some((_, failed)) if *fresh == 0 => self.tell(failed),
            Some((worker, failed)) => {
                if let Some(reason) = failed.reason() {
                    tracing::error!(
                        "reload failed at worker {worker}: {reason}; {fresh} of {count} interpreters have the new version, the \
                         others serve on with the old one"
                    );
                    self.note_failed(failed);
                }
            }
        }
    }
}

/// The interpreters of a generation without an application, or in the main interpreter, cannot be replaced one by one.
fn can_roll(roster: &Roster) -> bool {
    roster.isolation() != Isolation::Main && roster.has_application()
}

impl Recipe {
    /// See [`Origin::stand_in`]. Runs on `sm-reload`.
    fn relieve(&self, patience: &Patience) -> Outcome {
        let Surroundings { net, current, .. } = &self.surroundings;
        // An application that is served now has to load, or all stays as it is.
        let needed = current.load().map(|serving| serving.loaded());
        Outcome::Relieved(self.origin.stand_in(
            net,
            &needed.unwrap_or_default(),
            &*self.heirlooms,
            patience,
        ))
    }

    /// Makes generation `id`. Runs on `sm-reload`.
    fn bear(&self, id: u64, patience: &Patience) -> Result<(Arc<Generation>, Report), Failed> {
        self.phases(&[Phase::PreApp])?;
        let mut plan = self.plan.clone();
        // An application that is served now has to load, or all stay as they are.
        if let Some(serving) = self.surroundings.current.load() {
            plan.apps.need(serving.loaded());
            // As many as have been needed so far; one is enough to see whether the next version loads.
            let roster = serving.roster();
            plan.at_first = if roster.is_at_rest() {
                1
            } else {
                plan.at_first.max(roster.crews().len())
            };
        }
        let born = Generation::start(id, &plan, self.runtime, &self.surroundings, patience)
            .map_err(Failed::Start)?;
        self.loaded()?;
        Ok(born)
    }

    /// Replaces the interpreters of the serving generation, one after the other. Runs on `sm-reload`.
    fn roll(&self, roster: &Roster, patience: &Patience) -> Rolled {
        let crews = roster.crews();
        let mut rolled = Rolled {
            generation: roster.generation(),
            fresh: 0,
            count: crews.len(),
            failed: self.phases(&[Phase::PreApp]).err().map(|why| (0, why)),
        };
        let grace = REPLACED_GRACE.min(self.config.process.reload_mercy);
        for (crew, worker) in crews {
            if rolled.failed.is_some() {
                return rolled;
            }
            match roster.replace(crew, patience, (grace, true)) {
                // One that has left meanwhile was replaced by whoever made it leave.
                Ok(_) | Err(StartError::Gone) => rolled.fresh += 1,
                Err(error) => rolled.failed = Some((worker, Failed::Start(error))),
            }
        }
        if let Err(why) = self.loaded() {
            rolled.failed = Some((0, why));
        }
        rolled
    }

    fn loaded(&self) -> Result<(), Failed> {
        self.phases(&[Phase::PostApp])?;
        for _ in 0..self.config.workers.processes {
            self.phases(&[Phase::PostFork, Phase::Accepting])?;
        }
        self.phases(&[Phase::Accepting1])
    }

    fn phases(&self, phases: &[Phase]) -> Result<(), Failed> {
        (self.run_hooks)(phases).map_err(Failed::Hook)
    }
}

/// Runs on `sm-retire`.
fn see_off(roster: &Roster, mercy: Duration) {
    /// How long a thread waits that waits for ever.
    const LONG: Duration = Duration::from_secs(3600);
    let id = roster.generation();
    let answered_before = roster.answered();
    let mut left = roster.wait(Instant::now() + mercy);
    if left > 0 {
        tracing::warn!(
            threads = left,
            "generation {id} still works on requests after {} s (--reload-mercy); it ends when they do",
            mercy.as_secs()
        );
    }
    while left > 0 {
        left = roster.wait(Instant::now() + LONG);
    }
    let finished = roster.answered() - answered_before;
    tracing::info!("{}", report::retired(id, finished, roster.parked()));
}
