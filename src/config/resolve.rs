//! Raw settings become the [`Config`] that is meant; the only maker of one.
//!
//! Everything is checked here, once: words become numbers, numbers are held against their bounds,
//! and options that do nothing in this version are named instead of being passed over. Looks at
//! the file system only to expand the wildcards of `--pythonpath`. Runs on the main thread before
//! anything is started.

use super::readers::language::entries::Loaded;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::app::options as app;
use crate::config::app::target;
use crate::config::background::options as background;
use crate::config::background::types::{BackgroundConfig, CronEntry};
use crate::config::error::ConfigError;
use crate::config::http::options as http;
use crate::config::limits::options as limits;
use crate::config::log::options as logging;
use crate::config::process::options as process;
use crate::config::python::envdir::Variables;
use crate::config::python::options as python;
use crate::config::readers::language::entries::Unknown;
use crate::config::readers::layers::{Raw, Setting};
use crate::config::readers::options as configuration;
use crate::config::reports::notices;
use crate::config::settings::{
    Config, Deadlines, Errand, HarakiriConfig, IsolationChoice, LimitsConfig, ListenAddress,
    PollChoice, Protocol, Redirect,
};
use crate::config::sockets::options as sockets;
use crate::config::table::row::{Kind, OptionRow, Takes};
use crate::config::tls::options as tls;
use crate::config::values::address;
use crate::config::values::address::Address;
use crate::config::values::value;
use crate::config::values::value::{NEVER, Read};
use crate::config::workers::options as workers;

/// What is meant by `raw`. `warnings` are those of the sources themselves, `unknown` the keys of
/// files that are no options.
pub(super) fn resolve(
    raw: &Raw,
    warnings: Vec<String>,
    unknown: &[Unknown],
) -> Result<Config, ConfigError> {
    let mut reader = Reader { raw, warnings };
    let strict = reader.flag(&configuration::STRICT);
    let notices = notices::collect(raw, unknown, strict)?;
    let app = target::choose(raw, &mut reader.warnings)?;
    let listen = reader.listeners()?;
    let environment = reader.environment()?;
    let processes = reader.count(&workers::PROCESSES)?;
    let config = Config {
        app,
        listen,
        protocol: reader.handed_protocol()?,
        processes,
        adapting: reader.adapting(processes)?,
        threads: reader.count(&workers::THREADS)?,
        isolation: reader.isolation()?,
        chdir: reader.path(&app::CHDIR)?,
        python_path: reader.python_path()?,
        tracebacker: reader.path(&python::PY_TRACEBACKER)?,
        virtualenv: reader.path(&python::VIRTUALENV)?,
        optimize: reader.small(&python::OPTIMIZE)?,
        pyargv: reader.text(&python::PYARGV),
        need_app: reader.flag(&app::NEED_APP),
        wsgi_strict: reader.flag(&app::WSGI_STRICT),
        file_wrapper: !reader.flag(&app::WSGI_DISABLE_FILE_WRAPPER),
        environment_unset: environment.unset,
        environment_set: environment.set,
        log_requests: !reader.flag(&logging::DISABLE_LOGGING),
        limits: LimitsConfig {
            head_bytes_max: reader.count(&limits::BUFFER_SIZE)?,
            fields_max: reader.count(&limits::MAX_FIELDS)?,
            target_bytes_max: reader.count(&limits::MAX_TARGET)?,
            body_bytes_max: match reader.number(&limits::LIMIT_POST)? {
                0 => u64::MAX,
                bytes => bytes,
            },
            chunk_line_bytes_max: reader.count(&limits::MAX_CHUNK_LINE)?,
            trailer_bytes_max: reader.count(&limits::MAX_TRAILERS)?,
        },
        deadlines: Deadlines {
            header: reader.deadline(&limits::HEADER_TIMEOUT)?,
            body_idle: reader.deadline(&limits::BODY_TIMEOUT)?,
            body_rate_bytes_per_second_min: reader.number(&limits::BODY_MIN_RATE)?,
            keep_alive: reader.keep_alive()?,
            write: reader.deadline(&limits::SOCKET_TIMEOUT)?,
        },
        harakiri: HarakiriConfig {
            limit: Some(reader.seconds(&limits::HARAKIRI)?).filter(|limit| !limit.is_zero()),
            is_verbose: reader.flag(&limits::HARAKIRI_VERBOSE),
            grace: reader.seconds(&limits::HARAKIRI_GRACEFUL_TIMEOUT)?,
            waiting_min: reader.count(&limits::HARAKIRI_QUEUE_THRESHOLD)?,
        },
        connections_max: reader.count(&limits::MAX_CONNECTIONS)?,
        queue_max: reader.count(&limits::REQUEST_QUEUE)?,
        body_memory_bytes_max: reader.count(&limits::POST_BUFFERING)?,
        backlog: reader.small(&sockets::LISTEN)?,
        socket_mode: reader.mode(&sockets::CHMOD_SOCKET)?,
        vacuum: reader.flag(&sockets::VACUUM),
        reload_mercy: reader.seconds(&process::RELOAD_MERCY)?,
        shutdown_delay: reader.seconds(&process::SHUTDOWN_DELAY)?,
        ready_path: reader.ready_path()?,
        poll: reader.poll()?,
        mounts: target::mounts(raw)?,
        manage_script_name: reader.flag(&app::MANAGE_SCRIPT_NAME),
        no_default_app: reader.flag(&app::NO_DEFAULT_APP),
        ignore_script_name: reader.flag(&app::IGNORE_SCRIPT_NAME),
        callable: target::callable(raw)?,
        errand: reader.errand()?,
        once: reader.flag(&process::ONCE),
        stack_bytes: reader.stack_bytes()?,
        no_site: reader.flag(&python::NO_SITE),
        program_name: reader.path(&python::PY_PROGRAMNAME)?,
        wsgi_accept_buffer: reader.flag(&app::WSGI_ACCEPT_BUFFER),
        disable_write_exception: reader.flag(&app::DISABLE_WRITE_EXCEPTION),
        eval: reader.text(&app::EVAL),
        imports: target::imports(raw, &python::IMPORT)?,
        paste_logger: reader.flag(&app::PASTE_LOGGER),
        module_aliases: target::aliases(raw, &python::PYMODULE_ALIAS)?,
        post_module_aliases: target::aliases(raw, &python::POST_PYMODULE_ALIAS)?,
        shared_imports: target::imports(raw, &python::SHARED_IMPORT)?,
        plugins: target::plugins(raw),
        add_headers: reader.headers(&http::ADD_HEADER)?,
        removed_headers: reader.header_names(&http::DEL_HEADER)?,
        http_variables: reader.variables(&http::HTTP_VAR)?,
        error_pages: [
            (403, reader.paths(&app::ERROR_PAGE_403)?),
            (404, reader.paths(&app::ERROR_PAGE_404)?),
            (500, reader.paths(&app::ERROR_PAGE_500)?),
        ],
        sys_executable: reader.path(&python::PY_SYS_EXECUTABLE)?,
        catch_exceptions: reader.flag(&app::CATCH_EXCEPTIONS),
        touch_logreopen: reader.paths(&logging::TOUCH_LOGREOPEN)?,
        logto: reader.log_target(&logging::LOGTO)?,
        logto2: reader.log_target(&logging::LOGTO2)?,
        sockets: reader.sockets()?,
        proxies: reader.proxies()?,
        tls: reader.tls()?,
        reload: reader.reload()?,
        process: reader.process()?,
        control: reader.control()?,
        background: BackgroundConfig {
            locks: reader.count(&background::LOCKS)?,
            cron: reader.cron()?,
            touch_exec: reader.of_files(&background::TOUCH_EXEC, "COMMAND")?,
            touch_signals: reader.signals_of(&background::TOUCH_SIGNAL)?,
            folder_signals: reader.signals_of(&background::FS_SIGNAL)?,
        },
        static_files: reader.static_files()?,
        alarms: reader.alarms()?,
        start: reader.start()?,
        magic_table: Vec::new(),
        written: Vec::new(),
        prints: Vec::new(),
        warnings: Vec::new(),
        remarks: notices.remarks,
        origins: origins(raw),
    };
    let mut warnings = reader.warnings;
    warnings.extend(notices.warnings);
    Ok(Config { warnings, ..config })
}

/// What the server would run with.
pub(super) fn resolve_loaded(
    raw: &Raw,
    warnings: Vec<String>,
    loaded: &Loaded,
) -> Result<Config, ConfigError> {
    let resolved = resolve(raw, warnings, &loaded.unknown)?;
    let needs_app = !matches!(&resolved.errand, Some(errand) if !errand.needs_app());
    if needs_app && resolved.app.is_none() && resolved.mounts.is_empty() && resolved.eval.is_none()
    {
        return Err(ConfigError::new("no application was named")
            .hint("give a file or a module: singlemalt app.py, or singlemalt pkg.module:app"));
    }
    Ok(Config {
        magic_table: loaded.magic_table.clone(),
        written: loaded.written(),
        prints: loaded.prints.clone(),
        ..resolved
    })
}

fn origins(raw: &Raw) -> Vec<(&'static str, String)> {
    raw.written()
        .filter_map(|(row, settings)| Some((row.name, settings.last()?.place())))
        .collect()
}

/// Reads values by their rows and collects what to warn of.
pub(super) struct Reader<'a> {
    pub(super) raw: &'a Raw,
    pub(super) warnings: Vec<String>,
}

impl Reader<'_> {
    /// Notes a warning; `what` ends the sentence that begins with the option.
    pub(super) fn warn(&mut self, setting: &Setting, what: &str) {
        self.warnings
            .push(format!("{} {what} ({})", setting.spelled, setting.origin));
    }

    pub(super) fn keep<T>(&mut self, setting: &Setting, read: Read<T>) -> T {
        if let Some(warning) = read.warning {
            self.warnings.push(format!(
                "{} '{}' {warning} ({})",
                setting.spelled, setting.text, setting.origin
            ));
        }
        read.value
    }

    pub(super) fn flag(&mut self, row: &OptionRow) -> bool {
        match self.raw.last(row) {
            Some(setting) => self.keep(setting, value::flag(&setting.text)),
            None => false,
        }
    }

    /// The value of an option that is a number of something. `true` is what the option means without a value, or
    /// nothing: then the default stands.
    fn numeric(&mut self, row: &OptionRow) -> Option<Setting> {
        let setting = self.raw.last(row)?;
        if !value::is_no_number(&setting.text) {
            return Some(setting.clone());
        }
        let text = match row.takes {
            Takes::Optionally(bare) if value::flag(&setting.text).value => bare,
            Takes::Optionally(_) | Takes::Nothing | Takes::Always => {
                let (spelled, origin) = (&setting.spelled, &setting.origin);
                self.warnings.push(format!(
                    "{spelled} '{}' {} ({origin})",
                    setting.text,
                    value::NO_NUMBER
                ));
                row.default?
            }
        };
        Some(Setting {
            text: text.to_owned(),
            ..setting.clone()
        })
    }

    /// A number or a number of bytes, within the row's bounds; 0 if the row has no default.
    pub(super) fn number(&mut self, row: &OptionRow) -> Result<u64, ConfigError> {
        let Some(setting) = self.numeric(row) else {
            return Ok(0);
        };
        let (read, min, max) = match row.kind {
            Kind::Bytes { min, max } => (value::bytes(&setting.text), min, max),
            Kind::Number { min, max } => (value::number(&setting.text), min, max),
            _ => (value::number(&setting.text), 0, u64::MAX),
        };
        let read = read.map_err(|why| setting.error_of_value(&why, "4"))?;
        let number = self.keep(&setting, read);
        if number < min {
            return Err(setting.error(format_args!("wants at least {min}, got {number}")));
        }
        if number > max {
            return Err(setting.error(format_args!("wants at most {max}, got {number}")));
        }
        Ok(number)
    }

    fn ready_path(&self) -> Result<Option<String>, ConfigError> {
        let Some(setting) = self.raw.last(&http::READY_PATH) else {
            return Ok(None);
        };
        let path = &setting.text;
        let is_path = path.starts_with('/')
            && path
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#');
        if !is_path {
            return Err(setting.error(format_args!(
                "wants a path such as /readyz, without a query, got '{path}'"
            )));
        }
        Ok(Some(path.clone()))
    }

    pub(super) fn count(&mut self, row: &OptionRow) -> Result<usize, ConfigError> {
        self.small(row)
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self, row: &OptionRow) -> Result<T, ConfigError> {
        let number = self.number(row)?;
        T::try_from(number).map_err(|_| match self.raw.last(row) {
            Some(setting) => setting.error(format_args!("is too large on this system: {number}")),
            None => ConfigError::new(format!("--{} is too large on this system", row.name)),
        })
    }

    pub(super) fn seconds(&mut self, row: &OptionRow) -> Result<Duration, ConfigError> {
        let Some(setting) = self.numeric(row) else {
            return Ok(NEVER);
        };
        let read =
            value::seconds(&setting.text).map_err(|why| setting.error_of_value(&why, "60"))?;
        Ok(self.keep(&setting, read))
    }

    /// Seconds, where 0 switches the deadline off.
    pub(super) fn deadline(&mut self, row: &OptionRow) -> Result<Duration, ConfigError> {
        let duration = self.seconds(row)?;
        Ok(if duration.is_zero() { NEVER } else { duration })
    }

    /// uWSGI's `http-keepalive = true` switches keep-alive on without saying for how long.
    fn keep_alive(&mut self) -> Result<Duration, ConfigError> {
        let row = &http::HTTP_KEEPALIVE;
        let word = self.raw.last(row).map(|setting| setting.text.as_str());
        match word
            .filter(|word| value::is_no_number(word))
            .map(value::flag)
        {
            Some(read) if !read.value => Ok(Duration::ZERO),
            Some(_) | None => self.seconds(row),
        }
    }

    fn cron(&mut self) -> Result<Vec<CronEntry>, ConfigError> {
        let time_max = self.seconds(&background::CRON_HARAKIRI)?;
        let time_max = (!time_max.is_zero()).then_some(time_max);
        let mut entries = Vec::new();
        for row in [
            &background::CRON,
            &background::UNIQUE_CRON,
            &background::CRON2,
        ] {
            for setting in self.raw.all(row) {
                let entry = if row.name == background::CRON2.name {
                    CronEntry::parse_keys(&setting.text)
                } else {
                    CronEntry::parse(&setting.text).map(|entry| (entry, false))
                };
                let (mut entry, has_time_max) = entry.map_err(|why| setting.error(why))?;
                if !has_time_max {
                    entry.time_max = time_max;
                }
                entry.is_unique |= row.name == background::UNIQUE_CRON.name;
                entry.origin = setting.place();
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    fn mode(&mut self, row: &OptionRow) -> Result<Option<u32>, ConfigError> {
        let Some(setting) = self.raw.last(row) else {
            return Ok(None);
        };
        // In a file the bare form is `chmod-socket = true`.
        let text = match setting.text.as_str() {
            "true" => "666",
            text => text,
        };
        value::mode(text)
            .map(Some)
            .map_err(|why| setting.error(why))
    }

    pub(super) fn text(&self, row: &OptionRow) -> Option<String> {
        self.raw.last(row).map(|setting| setting.text.clone())
    }

    pub(super) fn texts(&self, row: &OptionRow) -> Vec<String> {
        let settings = self.raw.all(row).iter();
        settings.map(|setting| setting.text.clone()).collect()
    }

    /// `early-envdir`, `unenv` and `env`, `envdir`: the later the stronger, as in uWSGI.
    fn environment(&mut self) -> Result<Variables, ConfigError> {
        let mut variables = Variables::default();
        self.read_envdirs(&python::EARLY_ENVDIR, &mut variables)?;
        for name in self.texts(&python::UNENV) {
            variables.remove(name);
        }
        for setting in self.raw.all(&python::ENV) {
            match setting.text.as_str() {
                // An empty line of a file that `for-readline` reads.
                "" => {}
                name if !name.contains(['=', '\0']) => {
                    self.warn(setting, value::REMOVES);
                    variables.remove(name.to_owned());
                }
                text => variables
                    .set
                    .push(value::pair(text).map_err(|why| setting.error(why))?),
            }
        }
        self.read_envdirs(&python::ENVDIR, &mut variables)?;
        Ok(variables)
    }

    fn read_envdirs(&self, row: &OptionRow, to: &mut Variables) -> Result<(), ConfigError> {
        for setting in self.raw.all(row) {
            let folder = path_of(setting)?;
            to.read(&folder)
                .map_err(|why| setting.error(format_args!("cannot be read: {why}")))?;
        }
        Ok(())
    }

    /// Of several the one that was written last counts.
    fn errand(&mut self) -> Result<Option<Errand>, ConfigError> {
        let mut found = Vec::new();
        for (row, errand) in [
            (
                &app::TEST_REQUEST,
                Errand::TestRequest as fn(String) -> Errand,
            ),
            (&python::TEST, Errand::TestModule),
            (&python::PYRUN, |path| {
                Errand::RunScript(PathBuf::from(path))
            }),
        ] {
            if let Some(setting) = self.raw.last(row) {
                if row.kind == Kind::Path {
                    path_of(setting)?;
                }
                found.push((setting, errand(setting.text.clone())));
            }
        }
        if self.flag(&python::PYTHON_VERSION)
            && let Some(setting) = self.raw.last(&python::PYTHON_VERSION)
        {
            found.push((setting, Errand::PythonVersion));
        }
        found.sort_by_key(|(setting, _)| (setting.origin.rank, setting.origin.place));
        Ok(found.pop().map(|(_, errand)| errand))
    }

    /// Kilobytes, as uWSGI counts them here.
    fn stack_bytes(&mut self) -> Result<Option<usize>, ConfigError> {
        let row = &python::THREADS_STACKSIZE;
        if self.raw.last(row).is_none() {
            return Ok(None);
        }
        let kilobytes: usize = self.small(row)?;
        Ok(Some(kilobytes.saturating_mul(1024)))
    }

    pub(super) fn path(&self, row: &OptionRow) -> Result<Option<PathBuf>, ConfigError> {
        self.raw.last(row).map(path_of).transpose()
    }

    pub(super) fn paths(&self, row: &OptionRow) -> Result<Vec<PathBuf>, ConfigError> {
        self.raw.all(row).iter().map(path_of).collect()
    }

    fn python_path(&self) -> Result<Vec<PathBuf>, ConfigError> {
        let mut paths = Vec::new();
        for setting in self.raw.all(&python::PYTHONPATH) {
            let path = path_of(setting)?;
            let before = paths.len();
            if setting.text.contains(['*', '?', '[']) {
                // A pattern that is none, or that matches nothing, is a path as it stands.
                let found = glob::glob(&setting.text).into_iter().flatten();
                paths.extend(found.filter_map(Result::ok));
            }
            if paths.len() == before {
                paths.push(path);
            }
        }
        Ok(paths)
    }

    /// The place in the row's words of the one that was chosen.
    pub(super) fn chosen(&self, row: &OptionRow) -> Result<usize, ConfigError> {
        let Kind::Choice(words) = row.kind else {
            return Ok(0);
        };
        let Some(setting) = self.raw.last(row) else {
            return Ok(0);
        };
        let found = words.iter().position(|word| *word == setting.text);
        found.ok_or_else(|| {
            let words = words.join(", ");
            setting.error(format_args!("wants one of {words}, got '{}'", setting.text))
        })
    }

    fn isolation(&mut self) -> Result<IsolationChoice, ConfigError> {
        const CHOICES: [IsolationChoice; 4] = [
            IsolationChoice::Auto,
            IsolationChoice::OwnGil,
            IsolationChoice::SharedGil,
            IsolationChoice::Main,
        ];
        let chosen = self.chosen(&workers::ISOLATION)?;
        let choice = CHOICES
            .get(chosen)
            .copied()
            .unwrap_or(IsolationChoice::Auto);
        if !self.flag(&workers::SINGLE_INTERPRETER) {
            return Ok(choice);
        }
        match (choice, self.raw.last(&workers::SINGLE_INTERPRETER)) {
            (IsolationChoice::OwnGil | IsolationChoice::SharedGil, Some(single)) => {
                let isolation = self.raw.last(&workers::ISOLATION);
                Err(single
                    .error(format_args!(
                        "contradicts {} {}",
                        isolation.map_or("--isolation", |setting| setting.spelled.as_str()),
                        isolation.map_or("", |setting| setting.text.as_str()),
                    ))
                    .hint("leave one; --single-interpreter is --isolation main"))
            }
            _ => Ok(IsolationChoice::Main),
        }
    }

    fn poll(&self) -> Result<PollChoice, ConfigError> {
        const CHOICES: [PollChoice; 3] =
            [PollChoice::Auto, PollChoice::Shared, PollChoice::Acceptor];
        let chosen = self.chosen(&workers::POLL)?;
        Ok(CHOICES.get(chosen).copied().unwrap_or(PollChoice::Auto))
    }

    /// The address behind `=0`: the first of `--shared-socket`.
    fn shared_socket(&self, setting: &Setting, number: &str) -> Result<&str, ConfigError> {
        let shared = self.raw.all(&sockets::SHARED_SOCKET);
        let place: Option<usize> = number.parse().ok();
        match place.and_then(|place| shared.get(place)) {
            Some(shared) => Ok(&shared.text),
            None => Err(setting
                .error(format_args!(
                    "wants shared socket {number}, and there are {}",
                    shared.len()
                ))
                .hint("they count from 0, in the order of --shared-socket")),
        }
    }

    /// What `--socket` speaks.
    fn protocol(&self) -> Result<Protocol, ConfigError> {
        const PROTOCOLS: [Protocol; 6] = [
            Protocol::Uwsgi,
            Protocol::Http,
            Protocol::FastCgi { nph: false },
            Protocol::Scgi { nph: false },
            Protocol::FastCgi { nph: true },
            Protocol::Scgi { nph: true },
        ];
        let chosen = self.chosen(&sockets::PROTOCOL)?;
        Ok(PROTOCOLS.get(chosen).copied().unwrap_or(Protocol::Uwsgi))
    }

    /// What is spoken on sockets that were handed over: HTTP, unless somebody said otherwise.
    fn handed_protocol(&self) -> Result<Protocol, ConfigError> {
        match self.raw.last(&sockets::PROTOCOL) {
            Some(_) => self.protocol(),
            None => Ok(Protocol::Http),
        }
    }

    fn listeners(&mut self) -> Result<Vec<ListenAddress>, ConfigError> {
        let default = self.protocol()?;
        let kinds = [
            (&sockets::HTTP, Protocol::Http),
            (&sockets::HTTP_SOCKET, Protocol::Http),
            (&sockets::SOCKET, default),
            (&sockets::UWSGI_SOCKET, Protocol::Uwsgi),
            (&sockets::FASTCGI_SOCKET, Protocol::FastCgi { nph: false }),
            (
                &sockets::FASTCGI_NPH_SOCKET,
                Protocol::FastCgi { nph: true },
            ),
            (&sockets::SCGI_SOCKET, Protocol::Scgi { nph: false }),
            (&sockets::SCGI_NPH_SOCKET, Protocol::Scgi { nph: true }),
            (&tls::HTTPS, Protocol::Http),
            (&tls::HTTPS_SOCKET, Protocol::Http),
            (&tls::HTTPS2, Protocol::Http),
            (&tls::HTTP_TO_HTTPS, Protocol::Http),
        ];
        let mut settings: Vec<(&Setting, Protocol)> = Vec::new();
        for (row, protocol) in kinds {
            let all = self.raw.all(row).iter();
            settings.extend(all.map(|setting| (setting, protocol)));
        }
        settings.sort_by_key(|(setting, _)| (setting.origin.rank, setting.origin.place));

        let shared = self.raw.all(&sockets::SHARED_SOCKET);
        for (number, setting) in shared.iter().enumerate() {
            let (name, named) = (format!("={number}"), format!("addr=={number}"));
            let mut parts = settings.iter().flat_map(|(one, _)| one.text.split(','));
            let is_named = parts.any(|part| part == name || part == named);
            if !is_named {
                self.warn(setting, &format!("is not opened: no option names {name}"));
            }
        }
        let is_abstract = self.flag(&sockets::ABSTRACT_SOCKET);
        let mut listen: Vec<ListenAddress> = Vec::new();
        for (setting, protocol) in settings {
            let (text, tls, redirect) = match setting.name.as_str() {
                "https" | "https-socket" => {
                    let (text, tls) = self.https(setting)?;
                    (text, Some(tls), None)
                }
                "https2" => {
                    let (text, tls) = self.https2(setting)?;
                    (text, Some(tls), None)
                }
                "http-to-https" => {
                    let (text, redirect) = redirect(setting)?;
                    (text, None, Some(redirect))
                }
                _ => (setting.text.as_str(), None, None),
            };
            let text = match text.strip_prefix('=') {
                Some(number) => self.shared_socket(setting, number)?,
                None => text,
            };
            let address = address::parse(text).map_err(|why| {
                let why = format!("wants an address, got '{text}': {why}");
                setting.error_of_value(&why, "8000")
            })?;
            let address = match address {
                Address::Unix(path) if is_abstract => {
                    Address::Abstract(path.to_string_lossy().into_owned())
                }
                address => address,
            };
            let any_port = matches!(&address, Address::Tcp(tcp) if tcp.port() == 0);
            let twice = listen.iter().find(|other| other.address == address);
            if let Some(other) = twice.filter(|_| !any_port) {
                return Err(setting.error(format_args!(
                    "wants {address}, which {} has already",
                    other.origin
                )));
            }
            listen.push(ListenAddress {
                protocol,
                address,
                tls,
                expects_proxy: false,
                redirect,
                origin: setting.place(),
                is_default: false,
            });
        }
        if listen.is_empty() {
            let address = address::parse(sockets::DEFAULT_ADDRESS).map_err(ConfigError::new)?;
            listen.push(ListenAddress {
                protocol: Protocol::Http,
                address,
                tls: None,
                expects_proxy: false,
                redirect: None,
                origin: "default".to_owned(),
                is_default: true,
            });
        }
        self.expect_proxies(&mut listen)?;
        Ok(listen)
    }
}

/// `ADDRESS[,PORT]`
fn redirect(setting: &Setting) -> Result<(&str, Redirect), ConfigError> {
    let Some((address, port)) = setting.text.split_once(',') else {
        return Ok((&setting.text, Redirect { port: None }));
    };
    let port = port
        .trim()
        .parse()
        .map_err(|_| setting.error(format_args!("wants ADDRESS[,PORT], got '{}'", setting.text)))?;
    Ok((address, Redirect { port: Some(port) }))
}

pub(super) fn path_of(setting: &Setting) -> Result<PathBuf, ConfigError> {
    if setting.text.is_empty() || setting.text.contains('\0') {
        return Err(setting.error(format_args!("wants a path, got '{}'", setting.text)));
    }
    Ok(PathBuf::from(&setting.text))
}
