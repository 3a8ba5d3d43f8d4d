//! The applications and their places: `--module` and its like or `--eval` at the root, `--mount`
//! below prefixes and for hosts. Main thread, at start.

use crate::app::Apps;
use crate::config::Failure;
use crate::config::{self, AppChoice, Config};
use crate::protocol::listen::Protocol;
use crate::python::{AppTarget, Import, TargetKind};
use crate::wsgi::{Place, Rules};

/// The table of applications, in uWSGI's order: the one at the root, then the mounts as written.
pub fn choose(config: &Config) -> Result<Apps, Failure> {
    let named = config.app.choice.as_ref().map(|app| target(config, app));
    let code = config.app.eval.as_ref().map(|code| AppTarget {
        kind: TargetKind::Code(code.clone()),
        callable: config.app.callable.clone(),
    });
    let eval = config.origin("eval").unwrap_or("--eval");
    if let (Some(named), Some(_)) = (&named, &code) {
        return Err(Failure::new(format_args!(
            "{eval} and {named} both name the application at the root: leave one, or give one of \
             them a place of its own \
             (--mount /prefix=APP)"
        )));
    }
    let root = named.or(code);
    if root.is_none() && config.app.mounts.is_empty() {
        return Ok(Apps::none_wanted());
    }
    let at_root = |mount: &&config::Mount| mount.host.is_none() && mount.prefix.is_empty();
    if let (Some(root), Some(mount)) = (&root, config.app.mounts.iter().find(at_root)) {
        return Err(Failure::new(format_args!(
            "{} and {root} both name the application at the root: leave one, or mount it at a \
             prefix (/prefix=APP)",
            mount.origin
        )));
    }
    let mounts = config.app.mounts.iter().map(|mount| {
        let place = Place::new(mount.host.as_deref(), &mount.prefix);
        (place, target(config, &mount.app))
    });
    let apps = Apps::new(
        root.map(|root| (Place::default(), root))
            .into_iter()
            .chain(mounts)
            .collect(),
        Rules {
            manages_script_name: config.app.manage_script_name,
            no_default_app: config.app.no_default_app,
            ignores_script_name: config.app.ignore_script_name,
        },
    );
    warn(config, &apps);
    Ok(apps)
}

/// As in uWSGI a prefix stays in the path, and chooses nothing, unless the server manages
/// SCRIPT_NAME: a uwsgi front end names the application itself. One that speaks HTTP cannot.
fn warn(config: &Config, apps: &Apps) {
    let speaks_http = |listen: &config::ListenAddress| listen.protocol == Protocol::Http;
    if !config.sockets.listen.iter().any(speaks_http) {
        return;
    }
    let places: Vec<String> = apps
        .mounts()
        .unreachable_by_http()
        .map(|place| crate::app::apps::shown(&place.mountpoint()))
        .collect();
    if !places.is_empty() {
        tracing::warn!(
            "no request over HTTP reaches what is mounted at {}: add manage-script-name, which \
             chooses by the path",
            places.join(", ")
        );
    }
}

fn target(config: &Config, app: &AppChoice) -> AppTarget {
    AppTarget {
        kind: kind(config, &app.target),
        callable: app.callable.clone(),
    }
}

fn kind(config: &Config, target: &config::AppTarget) -> TargetKind {
    match target {
        config::AppTarget::File(path) => TargetKind::File(path.clone()),
        config::AppTarget::Module(name) => TargetKind::Module(name.clone()),
        config::AppTarget::Paste(uri) => TargetKind::Paste {
            uri: uri.clone(),
            logged: config.app.paste_logger,
        },
    }
}

/// The modules that every interpreter imports before its first application: `--pymodule-alias`,
/// `--shared-import`, `--import`, `--post-pymodule-alias`. uWSGI imports them once and then forks,
/// so that every worker has them.
pub fn imports(config: &Config) -> Vec<Import> {
    let aliases = |aliases: &[(String, config::AppTarget)]| -> Vec<Import> {
        let import = |(name, target): &(String, config::AppTarget)| Import {
            target: kind(config, target),
            alias: Some(name.clone()),
        };
        aliases.iter().map(import).collect()
    };
    let plain = config
        .python
        .shared_imports
        .iter()
        .chain(&config.python.imports);
    let plain = plain.map(|target| Import {
        target: kind(config, target),
        alias: None,
    });
    let mut all = aliases(&config.python.module_aliases);
    all.extend(plain);
    all.extend(aliases(&config.python.post_module_aliases));
    all
}

/// `--spooler-import`
pub fn spooler_imports(config: &Config) -> Vec<TargetKind> {
    let imports = config.spooler.imports.iter();
    imports.map(|target| kind(config, target)).collect()
}

/// Marks the applications that have to load: a bit for each.
pub fn need(apps: &mut Apps, needed: u32) {
    let count = apps.count().min(32);
    apps.need((0..count).map(|at| needed >> at & 1 == 1).collect());
}
