//! Which application is served, and where below the root: `--module` and its like, `--eval`, or one `--mount`.
//! Main thread, at start.

use super::failure::Failure;
use crate::config::{self, AppChoice, Config};
use crate::python::{AppTarget, TargetKind};
use crate::wsgi::environ::Mount;

/// What is served.
pub struct Chosen {
    /// The application.
    pub target: Option<AppTarget>,
    /// What its paths are relieved of.
    pub mount: Mount,
}

/// Chooses the one application.
///
/// # Errors
/// Several are named: they come with a later version.
pub fn choose(config: &Config) -> Result<Chosen, Failure> {
    if let Some(mounted) = config.mounts.iter().find(|mount| mount.host.is_some()) {
        return Err(Failure::new(format_args!(
            "{}: applications of hosts are not yet in this version; name one for all hosts: --mount /prefix=APP",
            mounted.origin
        )));
    }
    let code = config.eval.as_ref().map(|code| AppTarget {
        kind: TargetKind::Code(code.clone()),
        callable: None,
    });
    let named = config.app.as_ref().map(target);
    let mounted = config.mounts.first();
    let count = config.mounts.len() + usize::from(named.is_some()) + usize::from(code.is_some());
    if count > 1 {
        let which = match mounted {
            Some(mounted) => mounted.origin.clone(),
            None => config.origin("eval").unwrap_or("--eval").to_owned(),
        };
        return Err(Failure::new(format_args!(
            "{which}: several applications are named, and this version serves one: leave one"
        )));
    }
    Ok(Chosen {
        target: mounted.map(|mount| target(&mount.app)).or(named).or(code),
        // As in uWSGI the prefix stays in the path unless the server is told to manage SCRIPT_NAME; a proxy may do it.
        mount: mounted
            .filter(|_| config.manage_script_name)
            .map_or_else(|| Mount::ROOT.clone(), |mount| Mount::new(&mount.prefix)),
    })
}

fn target(app: &AppChoice) -> AppTarget {
    AppTarget {
        kind: kind(&app.target),
        callable: app.callable.clone(),
    }
}

fn kind(target: &config::AppTarget) -> TargetKind {
    match target {
        config::AppTarget::File(path) => TargetKind::File(path.clone()),
        config::AppTarget::Module(name) => TargetKind::Module(name.clone()),
    }
}

/// What every interpreter imports before the application: `--shared-import`, then `--import`. uWSGI imports the
/// latter once and then forks, so that every worker has it: so has every interpreter.
pub fn imports(config: &Config) -> Vec<TargetKind> {
    let imports = config.shared_imports.iter().chain(&config.imports);
    imports.map(kind).collect()
}
