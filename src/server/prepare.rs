//! Parts of the start: directories, the umask, CPython, the request log. Main thread.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crossbeam::channel::Sender;

use super::folders::Folders;
use super::request_log::{Lines, Once};
use crate::config::Failure;
use crate::config::{Config, IsolationChoice};
use crate::net::RequestLog;
use crate::os::program;
use crate::python::{Runtime, RuntimeError, RuntimeOptions};
use crate::reload::event::Event;
use crate::telemetry::LogWriter;

/// `--chdir`
pub(super) fn enter_directory(config: &Config) -> Result<(), Failure> {
    match &config.app.chdir {
        Some(folder) => change_directory(config, "chdir", folder),
        None => Ok(()),
    }
}

/// `--chdir2`, when the application is loaded
pub(super) fn change_directory_again(config: &Config) -> Result<(), Failure> {
    match &config.process.chdir2 {
        Some(folder) => change_directory(config, "chdir2", folder),
        None => Ok(()),
    }
}

/// Harakiri has to interrupt interpreters: checks that this CPython can.
pub(super) fn check_harakiri(config: &Config, runtime: &Runtime) -> Result<(), Failure> {
    if config.limits.harakiri.limit.is_some()
        && config.workers.isolation == IsolationChoice::SharedGil
        && !runtime.can_interrupt_subinterpreters()
    {
        return Err(Failure::about(
            config,
            "harakiri",
            format_args!(
                "CPython {} crashes at the end of an interpreter with an interrupted thread: use \
                 --isolation main, or CPython 3.13",
                runtime.version()
            ),
        ));
    }
    Ok(())
}

pub(crate) fn change_directory(
    config: &Config,
    option: &'static str,
    folder: &std::path::Path,
) -> Result<(), Failure> {
    std::env::set_current_dir(folder).map_err(|error| {
        let why = format_args!("cannot change to {}: {error}", folder.display()).to_string();
        Failure::about(config, option, why)
    })
}

#[cfg(unix)]
pub(super) fn set_umask(config: &Config) {
    if let Some(mask) = config.process.umask {
        // The type of a mode is as wide as the system has it.
        rustix::process::umask(rustix::fs::Mode::from_bits_truncate(mask as _));
    }
}

#[cfg(not(unix))]
pub(super) fn set_umask(_config: &Config) {}

/// `--force-cwd`, `--prio`
pub(super) fn begin(config: &Config) -> Result<(), Failure> {
    if let Some(folder) = &config.start.folder {
        change_directory(config, "force-cwd", folder)?;
    }
    #[cfg(unix)]
    if let Some(nice) = config.start.nice
        && let Err(error) = rustix::process::setpriority_process(None, nice)
    {
        // As in uWSGI the server does without.
        let origin = config.origin("prio").unwrap_or("--prio");
        say_early(&format!(
            "{origin}: cannot set the nice value to {nice}: {error}"
        ));
    }
    #[cfg(not(unix))]
    if config.start.nice.is_some() {
        say_early("--prio is without effect: this system has no nice values");
    }
    Ok(())
}

/// `--virtualenv`. Its name keeps the symbolic links that lead to it: they are followed by each
/// interpreter, and the one of a later version finds the virtualenv that belongs to it.
pub(super) fn home(config: &Config, started: &Path) -> Option<PathBuf> {
    let home = config.python.virtualenv.as_ref()?;
    Some(Folders::new(config, started).load.join(home))
}

/// Whether the virtualenv is there, and made for this Python.
pub(super) fn check_home(
    config: &Config,
    started: &Path,
    runtime: &Runtime,
) -> Result<(), Failure> {
    match home(config, started) {
        Some(home) => runtime
            .check_home(&home)
            .map_err(|error| about_home(config, started, error)),
        None => Ok(()),
    }
}

fn about_home(config: &Config, started: &Path, error: RuntimeError) -> Failure {
    let (Some(origin), Some(home)) = (config.origin("virtualenv"), &config.python.virtualenv)
    else {
        return Failure::new(error);
    };
    let is_missing = matches!(error, RuntimeError::NoVirtualenv { exists: false, .. });
    if home.is_absolute() || !is_missing {
        return Failure::new(format_args!("{origin}: {error}"));
    }
    let folder = Folders::new(config, started).load;
    let which = if folder == started {
        "that the server was started in"
    } else {
        "that it serves in (chdir)"
    };
    Failure::new(format_args!(
        "{origin}: {error}; a relative path is looked for from the folder {which}, {}",
        folder.display()
    ))
}

/// `started`: the folder that the server was started in.
pub(super) fn start_python(config: &Config, started: &Path) -> Result<&'static Runtime, Failure> {
    let mut argv = vec!["singlemalt".to_owned()];
    if let Some(arguments) = &config.python.argv {
        argv.extend(arguments.split_whitespace().map(str::to_owned));
    }
    Runtime::start(&RuntimeOptions {
        home: home(config, started),
        python_path: config.python.path.clone(),
        argv,
        optimize: config.python.optimize,
        program_name: config.python.program_name.clone(),
        no_site: config.python.no_site,
        lazy_imports: config.python.lazy_imports,
        script_folder: program::host().and_then(|host| host.script_folder.clone()),
        further_packages: program::host()
            .map(|host| host.further_packages.clone())
            .unwrap_or_default(),
    })
    .map_err(|error| about_home(config, started, error))
}

pub(super) fn request_log(
    config: &Config,
    writer: &LogWriter,
    events: &Sender<Event>,
) -> Box<dyn RequestLog> {
    let log = Box::new(Lines::new(writer.clone(), &config.log));
    if config.process.once {
        Box::new(Once::new(log, events.clone()))
    } else {
        log
    }
}

pub(super) fn say_early(line: &str) {
    // Without standard error there is no place for it.
    let _unread = writeln!(std::io::stderr(), "{line}");
}
