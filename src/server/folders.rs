//! The directories that relative paths of the configuration are meant from. Resolved anew for each
//! version of the application: a deployment switches a symbolic link (`current`), and a user who
//! follows it once keeps the old release.

use std::path::{Path, PathBuf};

use crate::config::{Config, HookAction, Phase};

/// Phases whose hooks may change the directory before the application is loaded.
const BEFORE: [Phase; 6] = [
    Phase::PreJail,
    Phase::PostJail,
    Phase::InJail,
    Phase::AsRoot,
    Phase::AsUser,
    Phase::PreApp,
];
const AFTER: [Phase; 7] = [
    Phase::PostApp,
    Phase::MasterStart,
    Phase::PostFork,
    Phase::Accepting,
    Phase::AcceptingOnce,
    Phase::Accepting1,
    Phase::Accepting1Once,
];

/// See the file's header. Symbolic links are as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// At the start of the process: `--force-cwd`.
    pub start: PathBuf,
    /// While the application is loaded: `--force-cwd`, `--chdir` and hooks of the start.
    pub load: PathBuf,
    /// Afterwards: `--chdir2` and hooks.
    pub run: PathBuf,
}

impl Folders {
    /// `started`: the folder that the server was started in.
    pub fn new(config: &Config, started: &Path) -> Self {
        let mut at = started.to_path_buf();
        at.extend(&config.start.folder);
        follow_hooks(config, &[Phase::Asap], &mut at);
        let start = at.clone();
        at.extend(&config.app.chdir);
        follow_hooks(config, &BEFORE, &mut at);
        let load = at.clone();
        at.extend(&config.process.chdir2);
        follow_hooks(config, &AFTER, &mut at);
        Self {
            start,
            load,
            run: at,
        }
    }
}

/// Whether hooks of these phases may make or change files.
pub fn change_files(config: &Config, phases: &[Phase]) -> bool {
    let mut hooks = config.process.hooks.iter();
    hooks.any(|hook| {
        phases.contains(&hook.phase)
            && !matches!(
                hook.action,
                HookAction::ChangeDirectory(_)
                    | HookAction::SetEnvironment(..)
                    | HookAction::Log(_)
                    | HookAction::Alarm(..)
            )
    })
}

fn follow_hooks(config: &Config, phases: &[Phase], at: &mut PathBuf) {
    for phase in phases {
        for hook in &config.process.hooks {
            if let HookAction::ChangeDirectory(path) = &hook.action
                && hook.phase == *phase
            {
                at.push(path);
            }
        }
    }
}
