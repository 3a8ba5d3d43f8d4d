//! Reload: the next generation is born beside the one that serves, takes its place in one swap, and the old one leaves
//! when it has answered what was queued in it. docs/reload.md tells the whole story.
//!
//! The main thread decides here; births run on `sm-reload`, one at a time, and report back as an event, so a swap and a
//! stop never meet. A thread called `sm-retire` sees each old generation to its end.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, bounded};

use super::agenda::{Agenda, Asked, Task};
use super::hooks;
use super::report;
use super::supervisor::Event;
use crate::app::worker::Surroundings;
use crate::app::{Generation, Patience, Plan, Report, Roster, StartError};
use crate::config::{Config, Phase};
use crate::python::Runtime;

/// What every generation is made by.
pub struct Recipe {
    /// What was configured.
    pub config: Config,
    /// The plan of the first one.
    pub plan: Plan,
    /// The working directory that the first one was loaded in.
    pub folder: PathBuf,
    /// The one CPython.
    pub runtime: &'static Runtime,
    /// What the threads of all generations share.
    pub surroundings: Surroundings,
    /// Writes lines of hooks to the log.
    pub say: Box<dyn Fn(&str) + Send + Sync>,
}

/// What came of a birth.
pub struct Built {
    started: Instant,
    result: Result<(Arc<Generation>, Report), Failed>,
}

/// Why there is no next generation.
enum Failed {
    Start(StartError),
    Hook(String),
}

/// Renews what serves. The main thread's.
pub struct Reloader {
    recipe: Arc<Recipe>,
    events: Sender<Event>,
    agenda: Agenda,
    /// Dropped to give a birth up.
    interest: Option<Sender<Infallible>>,
    id: u64,
    /// Old generations that have not ended.
    retiring: Vec<Roster>,
}

impl Reloader {
    /// Nothing is under way; generation 1 serves.
    pub fn new(recipe: Recipe, events: Sender<Event>) -> Self {
        Self {
            recipe: Arc::new(recipe),
            events,
            agenda: Agenda::default(),
            interest: None,
            id: 1,
            retiring: Vec::new(),
        }
    }

    /// A reload is wanted.
    pub fn ask(&mut self, by: &str) {
        match self.agenda.ask_reload(by.to_owned(), false) {
            Asked::Next => {}
            Asked::Waits => tracing::info!("{by}: a reload is under way; one more follows"),
            Asked::Known => tracing::info!("{by}: one more reload waits already"),
        }
        self.begin_next();
    }

    /// A birth has ended.
    pub fn built(&mut self, built: Built) {
        self.agenda.done();
        self.interest = None;
        match built.result {
            Ok((generation, report)) => self.swap(generation, &report, built.started),
            Err(failed) => self.tell(&failed),
        }
        self.begin_next();
    }

    /// An old generation has ended.
    pub fn retired(&mut self, id: u64) {
        self.retiring.retain(|roster| roster.generation() != id);
    }

    /// The server stops: what is being born is given up. Returns who is still at work.
    pub fn stop(&mut self) -> Vec<Roster> {
        if self.interest.take().is_some() {
            tracing::info!("the reload is given up");
        }
        std::mem::take(&mut self.retiring)
    }

    fn begin_next(&mut self) {
        let Some(task) = self.agenda.take() else {
            return;
        };
        match task {
            Task::Reload { by, .. } => {
                tracing::info!(
                    "{by}: reloading; generation {} serves meanwhile",
                    self.serving()
                );
                self.bear();
            }
            Task::Renew(_) => self.agenda.done(),
        }
    }

    fn serving(&self) -> u64 {
        self.recipe.surroundings.current.id()
    }

    fn bear(&mut self) {
        self.id += 1;
        let (interest, given_up) = bounded(0);
        self.interest = Some(interest);
        let (recipe, events, id) = (Arc::clone(&self.recipe), self.events.clone(), self.id);
        let started = Instant::now();
        let until = Some(started + recipe.config.reload.timeout);
        let born = std::thread::Builder::new()
            .name("sm-reload".to_owned())
            .spawn(move || {
                let result = recipe.bear(id, Patience { until, given_up });
                // The supervisor left first: a second signal came.
                let _gone = events.send(Event::Built(Box::new(Built { started, result })));
            });
        if let Err(error) = born {
            self.built(Built {
                started,
                result: Err(Failed::Start(StartError::Thread(error))),
            });
        }
    }

    fn swap(&mut self, generation: Arc<Generation>, report: &Report, started: Instant) {
        let surroundings = &self.recipe.surroundings;
        let id = generation.id();
        let before = surroundings.current.swap(Some(Arc::clone(&generation)));
        generation.serve();
        surroundings.bell.ring();
        drop(generation);
        tracing::info!("{}", report::reloaded(id, report, started.elapsed()));
        if let Some(before) = before {
            let roster = before.roster();
            self.retiring.push(roster.clone());
            drop(before);
            self.see_off(roster);
        }
    }

    /// Waits for an old generation's end and tells of it.
    fn see_off(&self, roster: Roster) {
        let mercy = self.recipe.config.reload_mercy;
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

    fn tell(&self, failed: &Failed) {
        let serving = self.serving();
        let reason = match failed {
            Failed::Start(StartError::GivenUp) => return,
            Failed::Start(error @ StartError::Load(_)) => {
                tracing::error!("{error}");
                "the application could not be loaded, see above".to_owned()
            }
            Failed::Start(StartError::MainIsTaken) => {
                format!("{}; restart the process", StartError::MainIsTaken)
            }
            Failed::Start(error) => error.to_string(),
            Failed::Hook(why) => why.clone(),
        };
        tracing::error!("reload failed: {reason}; generation {serving} serves on");
    }
}

impl Recipe {
    /// Makes generation `id`. Runs on `sm-reload`.
    fn bear(&self, id: u64, patience: Patience) -> Result<(Arc<Generation>, Report), Failed> {
        self.phases(&[Phase::PreApp])?;
        let plan = match std::env::current_dir() {
            Ok(now) if now == self.folder => self.plan.clone(),
            // --chdir2, or the application itself, has gone elsewhere.
            _ => self.plan.seen_from_elsewhere(&self.folder),
        };
        let born = Generation::start(id, &plan, self.runtime, &self.surroundings, &patience)
            .map_err(Failed::Start)?;
        self.phases(&[Phase::PostApp])?;
        for _ in 0..self.config.processes {
            self.phases(&[Phase::PostFork, Phase::Accepting])?;
        }
        self.phases(&[Phase::Accepting1])?;
        Ok(born)
    }

    fn phases(&self, phases: &[Phase]) -> Result<(), Failed> {
        match hooks::run(&self.config, phases, &*self.say) {
            Ok(hooks::Next::Go) => Ok(()),
            Ok(hooks::Next::Leave(_)) => Err(Failed::Hook(
                "an exit: hook ends a start, and a reload likewise".to_owned(),
            )),
            Err(failure) => Err(Failed::Hook(failure.text)),
        }
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
