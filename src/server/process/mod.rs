//! What the `uwsgi` module knows of the process, and its requests to reload and stop. Main thread.

mod caches;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crossbeam::channel::Sender;

use super::applications;
use crate::app::harakiri::Harakiri;
use crate::app::isolation::refused_extensions::RefusedExtensions;
use crate::app::process::{AppRequest, Process};
use crate::app::spooler::service::SpoolerService;
use crate::background::alarms::Alarms;
use crate::background::clockwork::Clockwork;
use crate::background::spooler::Spooler;
use crate::config::{self, Config, Failure, IsolationCache};
use crate::os::{cache_folder, memory, redirect, title};
use crate::python::{Facts, OptionText};
use crate::reload::event::Event;
use crate::shared::locks::Locks;

/// What all generations use.
///
/// # Errors
/// The system gives no thread for the caches.
pub fn build(
    config: &Config,
    events: &Sender<Event>,
    clockwork: &Arc<Clockwork>,
    alarms: &Arc<Alarms>,
    spooler: SpoolerService,
) -> Result<Arc<Process>, Failure> {
    let on_overrun = {
        let events = events.clone();
        move |by| drop(events.send(Event::Renew { by }))
    };
    let events = events.clone();
    let is_stopping = AtomicBool::new(false);
    let wish = move |wish| {
        let event = match wish {
            AppRequest::Reload => Event::reload("uwsgi.reload()"),
            AppRequest::MainInterpreter => Event::MainInterpreter,
            AppRequest::InterpreterParked => Event::InterpreterParked,
            // A second request would stop at once.
            AppRequest::Stop if is_stopping.swap(true, Ordering::SeqCst) => return,
            AppRequest::Stop => Event::stop("uwsgi.stop()", 0),
        };
        // A supervisor that has gone has stopped already.
        events.send(event).ok();
    };
    let abandoned_max = config.workers.processes * config.workers.threads * 2;
    Ok(Arc::new(Process {
        locks: Locks::new(config.background.locks),
        caches: caches::start(&config.cache)?,
        clockwork: Arc::clone(clockwork),
        alarms: Arc::clone(alarms),
        spooler: Arc::new(spooler),
        refused_extensions: RefusedExtensions::new(isolation_cache(config)),
        harakiri: Harakiri::new(config.limits.harakiri.clone(), abandoned_max, on_overrun),
        on_request: Box::new(wish),
        memory: memory::of_this_process,
        log_bytes: redirect::log_bytes,
        set_title: title::set_to,
    }))
}

/// `--spooler`; relative directories are meant from `folder`, as in uWSGI.
///
/// # Errors
/// A directory cannot be used.
pub fn spooler(config: &Config, folder: &Path, hostname: &str) -> Result<SpoolerService, Failure> {
    let mut settings = config.spooler.clone();
    let folders = settings.folders.iter_mut();
    for path in folders.chain(&mut settings.external_folders) {
        *path = folder.join(&*path);
    }
    let files =
        Spooler::open(&settings, hostname).map_err(|why| Failure::about(config, "spooler", why))?;
    let imports = applications::spooler_imports(config);
    Ok(SpoolerService::new(files, settings, imports))
}

/// The file of `--isolation-cache`.
pub fn isolation_cache(config: &Config) -> Option<PathBuf> {
    match &config.workers.isolation_cache {
        IsolationCache::OfUser => Some(cache_folder::of_this_user()?.join("isolation.json")),
        IsolationCache::At(path) => std::path::absolute(path).ok(),
        IsolationCache::Off => None,
    }
}

/// The constants of the `uwsgi` module.
pub fn facts(config: &Config, hostname: &str, spoolers: Vec<String>) -> Facts {
    let process = &config.process;
    let pidfiles = [
        &process.pidfile,
        &process.pidfile2,
        &process.safe_pidfile,
        &process.safe_pidfile2,
    ];
    let pidfile = pidfiles.into_iter().flatten().next();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let options = config.written.iter().map(|(name, text)| {
        let text = if text == "true" && config::is_flag(name) {
            OptionText::On
        } else {
            OptionText::Text(text.clone())
        };
        (name.clone(), text)
    });
    Facts {
        hostname: hostname.to_owned(),
        processes: config.workers.processes,
        threads: config.workers.threads,
        buffer_size: config.limits.request.head_bytes_max,
        started_on: since.map_or(0, |since| since.as_secs()),
        pidfile: pidfile.map(|path| path.display().to_string()),
        options: options.collect(),
        magic_table: config.magic_table.clone(),
        sockets: Vec::new(),
        is_reload: false,
        spoolers,
    }
}
