//! The extensions that have refused interpreters of this process: logged once each, listed, and the
//! reason why the application has to live in the main interpreter, which a file remembers for the
//! next start. Any thread.

use std::fmt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::config::IsolationChoice;
use crate::extensions::cache::{Cache, KnownRefusal};
use crate::extensions::known::KnownFile;
use crate::extensions::scan::Environment;
use crate::python::{Consequence, RefusedExtension};

/// See the file's header. One for all generations.
#[derive(Default)]
pub struct RefusedExtensions {
    cache: Option<Cache>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order in which they were met, each extension once.
    met: Vec<Met>,
    /// The application as the cache names it.
    app: String,
    /// The next generation is made in the main interpreter.
    needs_main: bool,
    /// Because the cache says so.
    is_remembered: bool,
    /// Where the application's packages are.
    environment: Option<Environment>,
}

struct Met {
    refused: RefusedExtension,
    is_late: bool,
}

impl RefusedExtensions {
    /// `cache`: the file that remembers.
    pub fn new(cache: Option<PathBuf>) -> Self {
        Self {
            cache: cache.map(Cache::new),
            state: Mutex::default(),
        }
    }

    /// What an earlier start has found out about this application. `app` names it and its
    /// environment.
    pub fn recall(&self, app: String) {
        let mut state = self.state.lock();
        if state.app == app {
            return;
        }
        state.app = app;
        let Some(cache) = &self.cache else {
            return;
        };
        let known = cache.refusals(&state.app);
        if !known.is_empty() && !state.needs_main {
            state.needs_main = true;
            state.is_remembered = true;
            state.met.extend(known.into_iter().map(Met::from));
        }
    }

    /// The file that says that the main interpreter is needed, if it was that.
    pub fn remembered_in(&self) -> Option<&Path> {
        let is_remembered = self.state.lock().is_remembered;
        self.cache
            .as_ref()
            .filter(|_| is_remembered)
            .map(Cache::path)
    }

    /// The modules because of which the main interpreter was chosen, if only the cache says so and
    /// if they were imported while the application was loaded: the application may have changed.
    pub fn to_be_confirmed(&self) -> Vec<String> {
        let state = self.state.lock();
        if !state.is_remembered || state.met.iter().any(|met| met.is_late) {
            return Vec::new();
        }
        let modules = state.met.iter().map(|met| met.refused.module.clone());
        modules.collect()
    }

    /// The application has imported none of them.
    pub fn forget(&self) {
        let mut state = self.state.lock();
        state.is_remembered = false;
        if let Some(cache) = &self.cache {
            cache.set_refusals(&state.app, Vec::new());
        }
        tracing::info!(
            "the application imports none of the extensions any longer that refused at an earlier \
             start: the next start tries interpreters with a GIL of their own"
        );
    }

    /// An extension has refused. It is logged if it is new. `is_loading`: an application was
    /// loaded, so the start-up report lists it if the application does without.
    pub fn note(&self, refused: &RefusedExtension, choice: IsolationChoice, is_loading: bool) {
        let mut state = self.state.lock();
        let known = state
            .met
            .iter_mut()
            .find(|met| met.refused.module == refused.module);
        let is_late = !is_loading;
        match known {
            // Another module of the application does without it, but this one may not.
            Some(met) if !met.refused.is_missed() && refused.is_missed() => {
                *met = Met {
                    refused: refused.clone(),
                    is_late,
                }
            }
            Some(_) => return,
            None => state.met.push(Met {
                refused: refused.clone(),
                is_late,
            }),
        }
        if state.needs_main && refused.is_missed() {
            self.remember(&state);
        }
        drop(state);
        log(refused, choice, is_loading);
    }

    /// The application has been loaded: where its packages are.
    pub fn set_environment(&self, environment: Environment) {
        self.state.lock().environment = Some(environment);
    }

    /// Where the application's packages are, if it has been loaded.
    pub fn environment(&self) -> Option<Environment> {
        self.state.lock().environment.clone()
    }

    /// The file that remembers.
    pub fn cache(&self) -> Option<&Path> {
        self.cache.as_ref().map(Cache::path)
    }

    /// Those that were met.
    pub fn met(&self) -> Vec<RefusedExtension> {
        let state = self.state.lock();
        state.met.iter().map(|met| met.refused.clone()).collect()
    }

    /// Those that the application may miss.
    pub fn missed(&self) -> Vec<RefusedExtension> {
        let mut met = self.met();
        met.retain(RefusedExtension::is_missed);
        met
    }

    /// The next generation is to be made in the main interpreter. Whether that is new.
    pub fn demand_main(&self) -> bool {
        let mut state = self.state.lock();
        if state.needs_main {
            return false;
        }
        state.needs_main = true;
        self.remember(&state);
        true
    }

    /// Whether the next generation is to be made in the main interpreter.
    pub fn needs_main(&self) -> bool {
        self.state.lock().needs_main
    }

    fn remember(&self, state: &State) {
        if let Some(cache) = &self.cache {
            let missed = state.met.iter().filter(|met| met.refused.is_missed());
            cache.set_refusals(&state.app, missed.map(KnownRefusal::from).collect());
        }
    }
}

fn log(refused: &RefusedExtension, choice: IsolationChoice, is_loading: bool) {
    let consequence = refused.consequence_in_words();
    let reason = &refused.reason;
    match choice {
        _ if !refused.is_missed() => {
            if !is_loading {
                tracing::info!("the extension {refused} refuses: {reason}; {consequence}");
            }
        }
        IsolationChoice::Auto => {
            tracing::warn!("the extension {refused} refuses: {reason}");
        }
        IsolationChoice::OwnGil | IsolationChoice::SharedGil | IsolationChoice::Main => {
            tracing::error!(
                "the extension {refused} refuses: {reason}; {consequence}; --isolation main or \
                 auto loads it"
            );
        }
    }
}

impl From<KnownRefusal> for Met {
    fn from(known: KnownRefusal) -> Self {
        let file = known.file.map(|file| file.path.display().to_string());
        Self {
            refused: RefusedExtension {
                module: known.module,
                file: file.unwrap_or_default(),
                distribution: known.distribution,
                importer: known.importer,
                line: known.line,
                begun: known.begun,
                request: known.request,
                reason: known.reason,
                consequence: Consequence::Missing,
            },
            is_late: known.is_late,
        }
    }
}

impl From<&Met> for KnownRefusal {
    fn from(met: &Met) -> Self {
        let refused = met.refused.clone();
        Self {
            file: KnownFile::of(Path::new(&refused.file)),
            module: refused.module,
            distribution: refused.distribution,
            importer: refused.importer,
            line: refused.line,
            begun: refused.begun,
            request: refused.request,
            reason: refused.reason,
            is_late: met.is_late,
        }
    }
}

impl fmt::Debug for RefusedExtensions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RefusedExtensions")
            .finish_non_exhaustive()
    }
}
