//! Watched files and folders, and, for development, the modules of the application: a change asks
//! the supervisor for a reload, or runs the configured command. The thread `sm-watch` calls it.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::Sender;
use parking_lot::Mutex;

use super::event::Event;
use crate::background::clockwork::Clockwork;
use crate::background::commands;
use crate::background::watch::FileWatch;
use crate::config::{Config, ReloadConfig};
use crate::python::Source;

/// The watch reports a file that has not changed for longer than this. A file that is reported so
/// soon after a reload was asked for had changed before, and that reload loads it: a burst of saves
/// is one reload.
const BURST: Duration = Duration::from_millis(80);

/// A file system's clock lags behind by up to a tick of the kernel.
const CLOCK_TICK: Duration = Duration::from_millis(10);

/// Watches until it is dropped.
pub struct Triggers {
    watch: FileWatch,
    events: Sender<Event>,
    asked_at: Arc<Mutex<Option<Instant>>>,
    /// The application's modules that are watched.
    sources: Mutex<HashSet<PathBuf>>,
    ignored: Vec<String>,
    /// What relative paths are meant from.
    folder: PathBuf,
}

impl fmt::Debug for Triggers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Triggers").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum Effect {
    Reload,
    Chain,
    Rollback,
    ReopenLog,
    RotateLog,
}

impl Triggers {
    /// Starts to watch, if anything is to be watched. Call it after the last fork. Relative paths are
    /// meant from `folder`, whose symbolic links may be switched later.
    pub fn start(
        config: &Config,
        events: &Sender<Event>,
        clockwork: &Arc<Clockwork>,
        folder: &Path,
    ) -> io::Result<Option<Arc<Self>>> {
        let reload = &config.reload;
        if !is_wanted(config) {
            return Ok(None);
        }
        let triggers = Self {
            watch: FileWatch::start()?,
            events: events.clone(),
            asked_at: Arc::default(),
            sources: Mutex::default(),
            ignored: reload.python_ignored.clone(),
            folder: folder.to_path_buf(),
        };
        let files = [
            ("touch-reload", &reload.touch, Effect::Reload),
            ("touch-chain-reload", &reload.touch_chain, Effect::Chain),
            ("touch-rollback", &reload.touch_rollback, Effect::Rollback),
            (
                "touch-logreopen",
                &config.log.touch_reopen,
                Effect::ReopenLog,
            ),
            (
                "touch-logrotate",
                &config.log.touch_rotate,
                Effect::RotateLog,
            ),
        ];
        for (option, paths, effect) in files {
            for path in paths {
                if !triggers.folder.join(path).exists() {
                    tracing::warn!(
                        "--{option}: {} is not there; when it appears, that counts as a touch",
                        path.display()
                    );
                }
                triggers.add(path, option, effect);
            }
        }
        triggers.add_commands(config, clockwork);
        for path in &reload.folders {
            if triggers.folder.join(path).is_dir() {
                let on_change = triggers.on_change("fs-reload", Effect::Reload);
                triggers
                    .watch
                    .add_tree(&triggers.folder.join(path), on_change);
            } else {
                triggers.add(path, "fs-reload", Effect::Reload);
            }
        }
        Ok(Some(Arc::new(triggers)))
    }

    /// Watches the files that run hooks and commands and raise signals.
    fn add_commands(&self, config: &Config, clockwork: &Arc<Clockwork>) {
        for (hook, path) in touched(config) {
            let events = self.events.clone();
            self.watch.add(&self.folder.join(path), move |_: &Path| {
                // The supervisor has ended: the server stops.
                let _gone = events.send(Event::Touched(hook));
            });
        }
        let background = &config.background;
        for (path, command) in &background.touch_exec {
            let command = command.clone();
            self.watch.add(&self.folder.join(path), move |path: &Path| {
                tracing::info!("touch-exec: {} has changed", path.display());
                commands::start("touch-exec", &command);
            });
        }
        for (path, number) in &background.touch_signals {
            let path = self.folder.join(path);
            self.watch.add(&path, raise(clockwork, *number));
        }
        for (path, number) in &background.folder_signals {
            let path = self.folder.join(path);
            if path.is_dir() {
                self.watch.add_tree(&path, raise(clockwork, *number));
            } else {
                self.watch.add(&path, raise(clockwork, *number));
            }
        }
    }

    /// Watches these modules of the application too (`--py-autoreload`). They were read within the
    /// last `read_within`; one saved in that time may have been read before. Any thread.
    pub fn add_sources(&self, sources: &[Source], read_within: Duration) {
        let since = SystemTime::now().checked_sub(read_within + CLOCK_TICK);
        let mut known = self.sources.lock();
        for source in sources {
            let is_ignored = self.ignored.iter().any(|ignored| {
                let rest = source.module.strip_prefix(ignored.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            });
            if !is_ignored && known.insert(source.file.clone()) {
                self.add(&source.file, "py-autoreload", Effect::Reload);
                let saved = source.file.metadata().and_then(|file| file.modified());
                if since.is_some_and(|since| saved.is_ok_and(|saved| saved > since)) {
                    // This is no part of a burst: a reload that was asked for before may have
                    // read the old file.
                    *self.asked_at.lock() = None;
                    self.on_change("py-autoreload", Effect::Reload)(&source.file);
                }
            }
        }
    }

    fn add(&self, path: &Path, option: &'static str, effect: Effect) {
        let path = self.folder.join(path);
        self.watch.add(&path, self.on_change(option, effect));
    }

    fn on_change(
        &self,
        option: &'static str,
        effect: Effect,
    ) -> impl Fn(&Path) + Send + use<> + 'static {
        let (events, asked_at) = (self.events.clone(), Arc::clone(&self.asked_at));
        move |path: &Path| {
            let by = format!("{option}: {} has changed", path.display());
            if matches!(effect, Effect::Reload | Effect::Chain) {
                let mut asked_at = asked_at.lock();
                if asked_at.is_some_and(|at| at.elapsed() < BURST) {
                    return;
                }
                *asked_at = Some(Instant::now());
            }
            let event = match effect {
                Effect::Reload => Event::reload(by),
                Effect::Chain => Event::ChainReload { by: by.into() },
                Effect::Rollback => Event::rollback(by),
                Effect::ReopenLog => Event::ReopenLog { by },
                Effect::RotateLog => Event::RotateLog { by },
            };
            // The supervisor has ended: the server stops.
            let _gone = events.send(event);
        }
    }
}

fn raise(clockwork: &Arc<Clockwork>, number: u8) -> impl Fn(&Path) + Send + use<> + 'static {
    let clockwork = Arc::clone(clockwork);
    move |_: &Path| clockwork.raise(number)
}

fn is_wanted(config: &Config) -> bool {
    let background = &config.background;
    let ReloadConfig {
        touch,
        touch_chain,
        touch_rollback,
        folders,
        watches_modules,
        ..
    } = &config.reload;
    *watches_modules
        || !background.touch_exec.is_empty()
        || !background.touch_signals.is_empty()
        || !background.folder_signals.is_empty()
        || touched(config).next().is_some()
        || [
            touch,
            touch_chain,
            touch_rollback,
            folders,
            &config.log.touch_reopen,
            &config.log.touch_rotate,
        ]
        .iter()
        .any(|paths| !paths.is_empty())
}

/// The files of `hook-touch`, each with the number of its hook.
fn touched(config: &Config) -> impl Iterator<Item = (usize, &Path)> {
    let hooks = config.process.hooks.iter().enumerate();
    hooks.filter_map(|(number, hook)| Some((number, hook.file.as_deref()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam::channel::unbounded;

    /// A request imports a module right after a reload, and the module is saved before it is
    /// watched.
    #[test]
    fn a_module_saved_while_it_is_read_is_reported() {
        let (events, told) = unbounded();
        let triggers = Triggers {
            watch: FileWatch::start().expect("a thread"),
            events,
            asked_at: Arc::default(),
            sources: Mutex::default(),
            ignored: Vec::new(),
            folder: PathBuf::new(),
        };
        let folder =
            std::env::temp_dir().join(format!("singlemalt-triggers-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("late.py");
        std::fs::write(&file, "WORD = 1\n").expect("a file");
        triggers.on_change("py-autoreload", Effect::Reload)(Path::new("early.py"));
        let source = Source {
            module: String::from("late"),
            file,
        };
        triggers.add_sources(&[source], Duration::from_secs(60));
        std::fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(told.try_iter().count(), 2);
    }
}
