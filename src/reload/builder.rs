//! Builds what a reload puts in charge: a generation, fresh interpreters one after the other, or a
//! successor process. Runs on `sm-reload`.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::failed_load::LastLoad;
use super::handover::successor_process::SuccessorStarter;
use super::task::{Failed, Loaded, Rolled, RollingFailure, TaskOutcome};
use super::version::{MakeVersion, Renewal, Version};
use crate::app::worker_context::WorkerContext;
use crate::app::{Current, Deadlines, Generation, Plan, Report, StartError, Workers};
use crate::config::{Config, Phase};
use crate::python::{Isolation, Runtime};

/// Runs the hooks of some phases; the error says why the reload fails.
pub type RunHooks = Box<dyn Fn(&[Phase]) -> Result<(), String> + Send + Sync>;

pub struct GenerationBuilder {
    pub version: Mutex<Arc<Version>>,
    /// Makes the next version.
    pub maker: Box<dyn MakeVersion>,
    pub successors: SuccessorStarter,
    pub runtime: &'static Runtime,
    pub current: Arc<Current>,
    /// What the threads of all generations share.
    pub context: WorkerContext,
    pub run_hooks: RunHooks,
    /// Notes versions that do not load.
    pub last_load: Arc<LastLoad>,
}

impl GenerationBuilder {
    /// Starts a successor because one was asked for.
    pub(super) fn renew_process(&self, deadlines: &Deadlines) -> TaskOutcome {
        self.maker.note_changes(&self.version());
        self.start_successor(deadlines)
    }

    /// Starts a successor that loads the application.
    pub(super) fn start_successor(&self, deadlines: &Deadlines) -> TaskOutcome {
        let (net, current) = (&self.context.net, &self.current);
        // The applications that are loaded now have to load again.
        let needed = current.load().map(|serving| serving.loaded());
        let needed = needed.unwrap_or_default();
        TaskOutcome::SuccessorReady(self.successors.start(net, &needed, deadlines))
    }

    pub(super) fn version(&self) -> Arc<Version> {
        Arc::clone(&self.version.lock())
    }

    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.version.lock().config)
    }

    /// Makes the next version, and loads generation `id` of it.
    pub(super) fn load(&self, id: u64, deadlines: &Deadlines) -> TaskOutcome {
        let before = self.version();
        TaskOutcome::Loaded(match self.maker.next(&before) {
            Ok(Renewal::Version(version)) => self.load_version(id, version, &before, deadlines),
            Ok(Renewal::NewProcess) => return self.start_successor(deadlines),
            Err(why) => Err(Failed::Hook(why)),
        })
    }

    /// Loads generation `id` of the version in charge.
    pub(super) fn load_again(&self, id: u64, deadlines: &Deadlines) -> TaskOutcome {
        let before = self.version();
        let version = Arc::clone(&before);
        TaskOutcome::Loaded(self.load_version(id, version, &before, deadlines))
    }

    fn load_version(
        &self,
        id: u64,
        version: Arc<Version>,
        before: &Version,
        deadlines: &Deadlines,
    ) -> Result<Loaded, Failed> {
        version.enter(before).map_err(Failed::Hook)?;
        let loaded = self.load_generation(id, &version.plan, deadlines);
        if loaded.is_err() {
            version.leave(before);
        }
        loaded.map(|(generation, report)| Loaded {
            generation,
            report,
            version,
        })
    }

    fn load_generation(
        &self,
        id: u64,
        plan: &Plan,
        deadlines: &Deadlines,
    ) -> Result<(Arc<Generation>, Report), Failed> {
        self.run_hooks(&[Phase::PreApp])?;
        let mut plan = plan.clone();
        // The applications that are loaded now have to load again.
        if let Some(serving) = self.current.load() {
            plan.apps.need(serving.loaded());
            // As many interpreters as serve now. At rest, one shows whether the version loads.
            let workers = serving.workers();
            plan.at_first = if workers.is_idle() {
                1
            } else {
                plan.at_first.max(workers.groups().len())
            };
        }
        let started = Generation::start(id, &plan, self.runtime, &self.context, deadlines)
            .map_err(Failed::Start)?;
        self.run_hooks_after_load()?;
        Ok(started)
    }

    /// Replaces the interpreters of the serving generation, one after the other; or loads
    /// generation `id`, if the configuration has changed.
    pub(super) fn roll_or_load(
        &self,
        id: u64,
        workers: &Workers,
        deadlines: &Deadlines,
    ) -> TaskOutcome {
        let before = self.version();
        TaskOutcome::Loaded(match self.maker.next(&before) {
            Ok(Renewal::Version(version)) if version.is_like(&before) => {
                return TaskOutcome::Rolled(self.roll(workers, deadlines));
            }
            Ok(Renewal::Version(version)) => {
                tracing::info!(
                    "what the interpreters are made from has changed, so all of them are \
                     replaced at one moment"
                );
                self.load_version(id, version, &before, deadlines)
            }
            Ok(Renewal::NewProcess) => return self.start_successor(deadlines),
            Err(why) => Err(Failed::Hook(why)),
        })
    }

    /// Replaces the interpreters of the serving generation, one after the other.
    fn roll(&self, workers: &Workers, deadlines: &Deadlines) -> Rolled {
        let failure = |why| RollingFailure { worker: 0, why };
        let groups = workers.groups();
        let mut rolled = Rolled {
            generation: workers.generation(),
            fresh: 0,
            count: groups.len(),
            failed: self.run_hooks(&[Phase::PreApp]).err().map(failure),
        };
        for (group, worker) in groups {
            if rolled.failed.is_some() {
                return rolled;
            }
            match workers.replace(group, deadlines, self.replaced_grace(), true) {
                // An interpreter that has ended meanwhile was replaced already.
                Ok(_) | Err(StartError::Gone) => rolled.fresh += 1,
                Err(error) => {
                    let why = Failed::Start(error);
                    rolled.failed = Some(RollingFailure { worker, why });
                }
            }
        }
        if let Err(why) = self.run_hooks_after_load() {
            rolled.failed = Some(failure(why));
        }
        workers.renew_spooler();
        rolled
    }

    /// How long a replaced interpreter is waited for, so that one too many runs only briefly.
    pub(super) fn replaced_grace(&self) -> Duration {
        const MAX: Duration = Duration::from_secs(10);
        MAX.min(self.config().process.reload_mercy)
    }

    fn run_hooks_after_load(&self) -> Result<(), Failed> {
        self.run_hooks(&[Phase::PostApp])?;
        for _ in 0..self.config().workers.processes {
            self.run_hooks(&[Phase::PostFork, Phase::Accepting])?;
        }
        self.run_hooks(&[Phase::Accepting1])
    }

    fn run_hooks(&self, phases: &[Phase]) -> Result<(), Failed> {
        (self.run_hooks)(phases).map_err(Failed::Hook)
    }
}

/// Whether interpreters can be replaced one by one: not the main one, and not without an
/// application.
pub(super) fn can_roll(workers: &Workers) -> bool {
    workers.isolation() != Isolation::Main && workers.has_application()
}
