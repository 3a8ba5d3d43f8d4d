//! The configuration in the words of the rooms below: what net keeps to, what a generation is made
//! from.
//!
//! Plain translation, on the main thread at start; nothing here opens, binds or starts anything.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::admin::stats_document::About;
use crate::app::probe::Probe;
use crate::app::process::Process;
use crate::app::{Apps, Plan};
use crate::background::cron::When;
use crate::background::cron_command::CronCommand;
use crate::config::Config;
use crate::net::{self, Address};
use crate::protocol::proxy::Trusted;
use crate::python::{
    self, BackendRef, InterpreterSpec, Isolation, Role, STACK_BYTES_MIN, UWSGI_VERSION,
};
use crate::wsgi::environ::ServerFacts;
use crate::wsgi::{AddedFields, BodyMemory};

use super::applications::imports;
use super::process;
use super::sockets::Listening;
use super::stop;
use crate::config::Failure;

/// Bytes of a page of `--error-page-*`: it is kept in memory.
const ERROR_PAGE_BYTES_MAX: usize = 1 << 20;

pub(super) fn settings(
    config: &Config,
    added_fields: AddedFields,
    body_memory: Arc<BodyMemory>,
) -> net::Settings {
    let limits = &config.limits;
    net::Settings {
        limits: limits.request,
        body_memory,
        output_bytes_max: config.limits.output_bytes_max,
        output_memory_bytes_max: config.limits.output_memory_bytes_max,
        output_file_bytes_max: config.limits.output_file_bytes_max,
        deadlines: limits.deadlines,
        connections_max: limits.connections_max,
        logs_requests: config.log.requests,
        warns_of_handshakes: config.tls.is_verbose,
        proxies: (!config.proxies.is_empty()).then(|| config.proxies.clone()),
        preamble_senders: preamble_senders(config),
        ready_path: config.http.ready_path.clone(),
        added_fields: Arc::new(added_fields),
    }
}

/// Who may speak the PROXY protocol: the trusted ones, and without a list this machine.
fn preamble_senders(config: &Config) -> Trusted {
    if !config.proxies.is_empty() {
        return config.proxies.trusted.clone();
    }
    if config
        .sockets
        .listen
        .iter()
        .any(|listen| listen.expects_proxy)
    {
        tracing::info!(
            "the PROXY protocol is taken from this machine only; name proxies on others with --trusted-proxies"
        );
    }
    Trusted::this_machine()
}

/// `--add-header`, `--error-page-404` and their like, relative ones from `folder`.
pub(super) fn added_fields(config: &Config, folder: &Path) -> Result<AddedFields, Failure> {
    let mut added = AddedFields::default();
    for (name, value) in &config.http.add_headers {
        added
            .add(name, value)
            .map_err(|why| Failure::about(config, "add-header", why))?;
    }
    for name in &config.http.removed_headers {
        added
            .remove(name)
            .map_err(|why| Failure::about(config, "rem-header", why))?;
    }
    for (status, files) in &config.app.error_pages {
        if let Some(page) = error_page(config, *status, files, folder)? {
            added.set_page(*status, page);
        }
    }
    Ok(added)
}

/// How many interpreters are made at start.
fn at_first(config: &Config) -> usize {
    match &config.workers.autoscale.cheaper {
        // One shows whether the application loads, and is ended.
        _ if config.workers.autoscale.cheap => 1,
        Some(cheaper) => cheaper.initial,
        None => config.workers.processes,
    }
}

/// The first of the files that can be read, as in uWSGI, which looks anew at every answer.
fn error_page(
    config: &Config,
    status: u16,
    files: &[PathBuf],
    folder: &Path,
) -> Result<Option<Vec<u8>>, Failure> {
    for file in files {
        let file = folder.join(file);
        match std::fs::read(&file) {
            Ok(page) if page.len() > ERROR_PAGE_BYTES_MAX => {
                let option = format!("error-page-{status}");
                let why = format!(
                    "{} has more than {ERROR_PAGE_BYTES_MAX} bytes",
                    file.display()
                );
                return Err(Failure::about(config, &option, why));
            }
            Ok(page) => return Ok(Some(page)),
            Err(error) => {
                tracing::warn!(
                    "--error-page-{status}: cannot read {}: {error}",
                    file.display()
                );
            }
        }
    }
    Ok(None)
}

pub(super) fn plan(
    config: &Config,
    listening: &[Listening],
    apps: Apps,
    process: &Arc<Process>,
    added_fields: &Arc<AddedFields>,
    folder: PathBuf,
) -> Plan {
    if config.process.cpu_affinity.is_some() && cfg!(not(target_os = "linux")) {
        tracing::warn!(
            "--cpu-affinity is without effect: only Linux lets threads choose their cores"
        );
    }
    let hostname = hostname();
    let mut listeners = server_facts(config, listening);
    if listeners.is_empty() {
        // Where nothing is bound, only a probe comes from somewhere.
        listeners.push(ServerFacts::new(None, &hostname, "http"));
    }
    Plan {
        apps,
        interpreters: config.workers.processes,
        at_first: at_first(config),
        threads: config.workers.threads,
        isolation: config.workers.isolation,
        facts: process::facts(config, &hostname, process.spooler.paths()),
        spec: spec(config, listeners),
        added_fields: Arc::clone(added_fields),
        probe: probe(config, listening),
        cores_per_worker: config.process.cpu_affinity,
        uwsgi_names: config.process.procname.automatic,
        queue_max: config.limits.queue_max,
        stack_bytes: stack_bytes(config),
        recycling: config.reload.recycling.clone(),
        folder,
        end_grace: config.process.reload_mercy.min(stop::END_GRACE_MAX),
        process: Arc::clone(process),
    }
}

/// What environs and rules say about each listener.
pub(super) fn server_facts(config: &Config, listening: &[Listening]) -> Vec<ServerFacts> {
    let hostname = hostname();
    let variables: Arc<[(String, String)]> = config.http.variables.clone().into();
    let facts = |listening: &Listening| {
        let local: Option<SocketAddr> = match &listening.address {
            Address::Tcp(address) => Some(*address),
            #[cfg(unix)]
            Address::Unix(_) => None,
            #[cfg(target_os = "linux")]
            Address::Abstract(_) => None,
        };
        let facts = ServerFacts::new(local, &hostname, listening.scheme());
        if listening.protocol.takes_variables() {
            facts.taking_variables()
        } else {
            facts.adding(Arc::clone(&variables))
        }
    };
    listening.iter().map(facts).collect()
}

/// `--reload-probe`: it seems to come from the first socket for HTTP.
fn probe(config: &Config, listening: &[Listening]) -> Option<Probe> {
    let is_http = |one: &Listening| !one.protocol.takes_variables();
    let probe = config.reload.probe.as_ref()?;
    Some(Probe {
        rules: probe.clone(),
        listener: listening.iter().position(is_http).unwrap_or(0),
        is_lenient: false,
    })
}

/// What every interpreter is told; its isolation and number are the caller's to fill in.
pub(super) fn spec(config: &Config, listeners: Vec<ServerFacts>) -> InterpreterSpec {
    InterpreterSpec {
        isolation: Isolation::Main,
        role: Role::Worker,
        worker_id: 0,
        python_path: config.python.path.clone(),
        listeners,
        multithread: false,
        multiprocess: false,
        strict: config.app.wsgi_strict,
        accept_buffer: config.app.wsgi_accept_buffer,
        quiet_writes: config.app.disable_write_exception,
        file_wrapper: config.app.file_wrapper,
        plugins: config.python.plugins.clone(),
        imports: imports(config),
        catch_exceptions: config.app.catch_exceptions,
        has_uwsgi_module: !config.python.hides_uwsgi_module,
        sys_executable: config.python.sys_executable.clone(),
        environment: python::environment_now(),
        backend: BackendRef::default(),
    }
}

/// `--threads-stacksize`. Less than Python counts on would turn a deep recursion into a crash.
fn stack_bytes(config: &Config) -> usize {
    let Some(wanted) = config.python.stack_bytes else {
        return STACK_BYTES_MIN;
    };
    if wanted < STACK_BYTES_MIN {
        let least = STACK_BYTES_MIN / 1024;
        tracing::info!(
            "--threads-stacksize: threads have {least} KB, the least that Python is safe with"
        );
    }
    wanted.max(STACK_BYTES_MIN)
}

pub(super) fn cron_commands(config: &Config) -> Result<Vec<CronCommand>, Failure> {
    let entries = config.background.cron.iter();
    entries
        .map(|entry| {
            let [minute, hour, day, month, weekday] = entry.when;
            let when = When::new(minute, hour, day, month, weekday)
                .map_err(|never| Failure::new(format_args!("{}: {never}", entry.origin)))?;
            let (command, time_max) = (entry.command.clone(), entry.time_max);
            Ok(CronCommand::new(when, command, entry.is_unique, time_max))
        })
        .collect()
}

/// What uWSGI's statistics tell of the process.
pub(super) fn about(config: &Config, listening: &[Listening]) -> About {
    let (uid, gid) = user();
    let sockets = listening
        .iter()
        .map(|one| (one.address.to_string(), one.protocol.word()));
    About {
        version: UWSGI_VERSION,
        uid,
        gid,
        sockets: sockets.collect(),
        no_cores: !config.control.stats_cores,
        minified: config.control.stats_minified,
        ..About::default()
    }
}

#[cfg(unix)]
fn user() -> (u32, u32) {
    use rustix::process::{getgid, getuid};
    (getuid().as_raw(), getgid().as_raw())
}

#[cfg(not(unix))]
fn user() -> (u32, u32) {
    (0, 0)
}

#[cfg(unix)]
pub(super) fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[cfg(not(unix))]
pub(super) fn hostname() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}
