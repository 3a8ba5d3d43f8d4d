//! The configuration as it was meant: what the rest of the server reads.
//!
//! Plain values with units in their names, checked once. `resolve` is the only maker; nothing
//! here knows options, texts or files. Made once at start, then shared read-only by all threads.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::alarms::resolve::AlarmConfig;
use crate::config::background::types::BackgroundConfig;
use crate::config::control::types::ControlConfig;
use crate::config::process::types::{LogTarget, ProcessConfig, SocketConfig};
use crate::config::proxies::resolve::ProxyConfig;
use crate::config::reload::types::ReloadConfig;
use crate::config::start::resolve::StartConfig;
use crate::config::static_files::types::StaticConfig;
use crate::config::tls::resolve::{TlsAddress, TlsConfig};
use crate::config::values::address::Address;
use crate::config::workers::resolve::AdaptingConfig;

/// Everything that was configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What becomes of requests that take too long.
    pub harakiri: HarakiriConfig,
    /// What to serve. `None` only when the command line named no application and did not have to.
    pub app: Option<AppChoice>,
    /// Where to listen, in the order in which it was written; never empty.
    pub listen: Vec<ListenAddress>,
    /// What is spoken on sockets that were handed over and that no option names: `protocol`, or HTTP.
    pub protocol: Protocol,
    /// Interpreters (uWSGI's processes), at least 1.
    pub processes: usize,
    /// Threads of each interpreter, at least 1.
    pub threads: usize,
    /// When there are fewer of them.
    pub adapting: AdaptingConfig,
    /// How interpreters are made.
    pub isolation: IsolationChoice,
    /// The directory to change to before the application is loaded.
    pub chdir: Option<PathBuf>,
    /// Directories to put in front of `sys.path`, in order, wildcards expanded.
    pub python_path: Vec<PathBuf>,
    /// Where the sockets are that print Python stacks (`py-tracebacker`): the path of the first, and how those of workers begin.
    pub tracebacker: Option<PathBuf>,
    /// The virtualenv whose `sys.prefix` and packages the application sees.
    pub virtualenv: Option<PathBuf>,
    /// Python's optimization level: 0, 1 (`-O`) or 2 (`-OO`).
    pub optimize: u8,
    /// What stands behind `sys.argv[0]`, separated by spaces.
    pub pyargv: Option<String>,
    /// Leave with code 22 when no application can be loaded, instead of serving 500.
    pub need_app: bool,
    /// Refuse what PEP 3333 forbids instead of helping out (str chunks).
    pub wsgi_strict: bool,
    /// Offer `wsgi.file_wrapper`.
    pub file_wrapper: bool,
    /// Environment variables to remove before Python starts; done before `environment_set`.
    pub environment_unset: Vec<String>,
    /// Environment variables to set before Python starts, in order.
    pub environment_set: Vec<(String, String)>,
    /// Write a line for each request.
    pub log_requests: bool,
    /// How much a client may send.
    pub limits: LimitsConfig,
    /// How long a client may take.
    pub deadlines: Deadlines,
    /// Connections that may be open at once; further ones wait in the backlog.
    pub connections_max: usize,
    /// Requests that may wait for a worker; further ones are answered 503.
    pub queue_max: usize,
    /// Bytes of a request body kept in memory; the rest goes to a temporary file.
    pub body_memory_bytes_max: usize,
    /// Connections that the kernel may hold before they are accepted, for each listener.
    pub backlog: u32,
    /// The mode of unix sockets; `None` leaves it to the umask.
    pub socket_mode: Option<u32>,
    /// Remove unix sockets at exit.
    pub vacuum: bool,
    /// How long requests in progress may take to finish after a stop or reload was asked for.
    pub reload_mercy: Duration,
    /// How long requests are answered as before after a signal to stop (`shutdown-delay`).
    pub shutdown_delay: Duration,
    /// The path that is answered with whether the server is ready (`ready-path`); begins with a slash.
    pub ready_path: Option<String>,
    /// Who waits in the poll (for tests and development).
    pub poll: PollChoice,
    /// Applications below URL prefixes (`mount`), in the order in which they were written.
    pub mounts: Vec<Mount>,
    /// Take the prefix of a mounted application out of the path (`manage-script-name`).
    pub manage_script_name: bool,
    /// Nobody serves what no mount holds (`no-default-app`).
    pub no_default_app: bool,
    /// A `SCRIPT_NAME` that a front end sent does not choose the application (`ignore-script-name`).
    pub ignore_script_name: bool,
    /// What is called in an application that names no callable itself (`callable`); those of `app` and `mounts` have it
    /// already.
    pub callable: Option<String>,
    /// What to do instead of serving.
    pub errand: Option<Errand>,
    /// Stop when the first request has been answered (`once`).
    pub once: bool,
    /// Bytes of each worker thread's stack, if they were given (`threads-stacksize`).
    pub stack_bytes: Option<usize>,
    /// Start Python without its site module (`no-site`).
    pub no_site: bool,
    /// What Python takes for its own executable (`py-programname`).
    pub program_name: Option<PathBuf>,
    /// Take any object with a buffer for a piece of a response (`wsgi-accept-buffer`).
    pub wsgi_accept_buffer: bool,
    /// `write()` does not raise when the client is gone (`disable-write-exception`).
    pub disable_write_exception: bool,
    /// Python code that leaves an application behind (`eval`).
    pub eval: Option<String>,
    /// Modules and files to import in the first interpreter after the application (`import`).
    pub imports: Vec<AppTarget>,
    /// Set Python's logging up from the file of a PasteDeploy application (`paste-logger`).
    pub paste_logger: bool,
    /// Second names of modules and files, given before anything is imported (`pymodule-alias`).
    pub module_aliases: Vec<(String, AppTarget)>,
    /// The same, after the imports (`post-pymodule-alias`).
    pub post_module_aliases: Vec<(String, AppTarget)>,
    /// Modules and files to import in every interpreter (`shared-import`).
    pub shared_imports: Vec<AppTarget>,
    /// Python files that are plugins (`plugin`).
    pub plugins: Vec<PathBuf>,
    /// Fields to add to every response (`add-header`): name and value, checked for controls.
    pub add_headers: Vec<(String, String)>,
    /// Fields to leave out of every response (`del-header`).
    pub removed_headers: Vec<String>,
    /// Variables of the environ of every request over HTTP (`http-var`).
    pub http_variables: Vec<(String, String)>,
    /// HTML files for answers that the server makes itself, by their status; the first that can be read counts
    /// (`error-page-403` and its kin).
    pub error_pages: [(u16, Vec<PathBuf>); 3],
    /// `sys.executable` (`py-sys-executable`).
    pub sys_executable: Option<PathBuf>,
    /// What must hold before the server starts.
    pub start: StartConfig,
    /// Show tracebacks to clients (`catch-exceptions`).
    pub catch_exceptions: bool,
    /// Open the log anew when one of these is touched (`touch-logreopen`).
    pub touch_logreopen: Vec<PathBuf>,
    /// Log there instead of to standard error (`logto`).
    pub logto: Option<LogTarget>,
    /// As `logto`, but opened after privileges were dropped (`logto2`).
    pub logto2: Option<LogTarget>,
    /// How sockets are made.
    pub sockets: SocketConfig,
    /// Proxies in front.
    pub proxies: ProxyConfig,
    /// TLS, as far as it is not of one address.
    pub tls: TlsConfig,
    /// When and how the application, or an interpreter, is renewed.
    pub reload: ReloadConfig,
    /// The process: user, files, title, limits, hooks.
    pub process: ProcessConfig,
    /// Control socket, fifos, stats server.
    pub control: ControlConfig,
    /// Static files, and files that applications name.
    pub static_files: StaticConfig,
    /// Alarms and what raises them.
    pub alarms: AlarmConfig,
    /// Work beside requests, and what interpreters share.
    pub background: BackgroundConfig,
    /// What stands for uWSGI's magic variables (`uwsgi.magic_table`): the letter and its text.
    pub magic_table: Vec<(char, String)>,
    /// Every option and placeholder that was written, in order, aliases as written (`uwsgi.opt`).
    pub written: Vec<(String, String)>,
    /// What `print` asked for, a line each, to be printed as it is before anything else.
    pub prints: Vec<String>,
    /// What the writer should know, a line each, to be printed as warnings at start.
    pub warnings: Vec<String>,
    /// What was accepted and needs no effect, a line each, to be printed at start.
    pub remarks: Vec<String>,
    /// Where values came from, by option name; see [`Config::origin`].
    pub(super) origins: Vec<(&'static str, String)>,
}

impl Config {
    /// Where the value of an option came from, for messages: `--chdir (command line)`,
    /// `VIRTUAL_ENV (environment)`. `None` when it was not set.
    pub fn origin(&self, option: &str) -> Option<&str> {
        self.origins
            .iter()
            .find(|(name, _)| *name == option)
            .map(|(_, origin)| origin.as_str())
    }
}

/// The application and where it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppChoice {
    /// The file or module that holds it.
    pub target: AppTarget,
    /// The name of the callable, or a call that returns it: `app`, `create_app()`,
    /// `create_app('x')`. `None`: look for the usual names.
    pub callable: Option<String>,
}

/// Where the application is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppTarget {
    /// A Python file, relative to the directory that `chdir` leads to.
    File(PathBuf),
    /// A module, by its dotted name.
    Module(String),
    /// What PasteDeploy finds behind a URI: `config:/path/site.ini`, `config:/path/site.ini#name`, `egg:package`.
    Paste(String),
}

impl fmt::Display for AppChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            AppTarget::File(path) => path.display().fmt(formatter)?,
            AppTarget::Module(name) => formatter.write_str(name)?,
            AppTarget::Paste(uri) => formatter.write_str(uri)?,
        }
        match &self.callable {
            Some(callable) => write!(formatter, ":{callable}"),
            None => Ok(()),
        }
    }
}

/// What is done in the server's place, before the process leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Answer this request on standard output (`test-request`): `GET /path`.
    TestRequest(String),
    /// Say whether this module can be imported (`test`).
    TestModule(String),
    /// Run this script (`pyrun`).
    RunScript(PathBuf),
    /// Print the version of Python (`python-version`).
    PythonVersion,
}

impl Errand {
    /// Whether an application has to be named for it.
    pub fn needs_app(&self) -> bool {
        matches!(self, Errand::TestRequest(_))
    }
}

/// An application below a URL prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// A host to answer for only (`example.org/prefix=...`); `None` is every host.
    pub host: Option<String>,
    /// `/prefix`, without a slash at its end; empty for the whole host.
    pub prefix: String,
    /// The application.
    pub app: AppChoice,
    /// Where it was written, for messages: `mount (uwsgi.ini line 3)`.
    pub origin: String,
}

/// One place to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// What is spoken there.
    pub protocol: Protocol,
    /// Where it is bound.
    pub address: Address,
    /// The TLS around it.
    pub tls: Option<TlsAddress>,
    /// Every connection begins with the PROXY protocol.
    pub expects_proxy: bool,
    /// Send every client to https instead (`http-to-https`).
    pub redirect: Option<Redirect>,
    /// Where it was named, for messages: `--http (command line)`.
    pub origin: String,
    /// Nobody named it: it is what is listened on without any address.
    pub is_default: bool,
}

/// Where `http-to-https` sends clients: the same host and target, with https.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The port to name; `None` is the scheme's own.
    pub port: Option<u16>,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 and 1.0.
    Http,
    /// The uwsgi protocol.
    Uwsgi,
    /// FastCGI.
    FastCgi {
        /// Answers begin with HTTP's status line ("non-parsed headers").
        nph: bool,
    },
    /// SCGI.
    Scgi {
        /// As of FastCGI.
        nph: bool,
    },
}

/// How interpreters are made (docs/isolation.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationChoice {
    /// The strongest that the Python and the application allow.
    Auto,
    /// Subinterpreters, each with a GIL of its own.
    OwnGil,
    /// Subinterpreters that share the main interpreter's GIL.
    SharedGil,
    /// The main interpreter only.
    Main,
}

/// Who waits in the poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollChoice {
    /// Idle workers where the system lets several threads wait on one poll, else the acceptor.
    Auto,
    /// Idle workers.
    Shared,
    /// The acceptor thread, always.
    Acceptor,
}

/// How much a client may send. Refusals are 414, 431 and 413.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Bytes of a request's head: request line and fields.
    pub head_bytes_max: usize,
    /// Fields of a request.
    pub fields_max: usize,
    /// Bytes of a request target.
    pub target_bytes_max: usize,
    /// Bytes of a request body; `u64::MAX` is no limit.
    pub body_bytes_max: u64,
    /// Bytes of the line in front of a chunk, with its extensions.
    pub chunk_line_bytes_max: usize,
    /// Bytes of the trailer section behind the last chunk.
    pub trailer_bytes_max: usize,
}

/// How long a client may take. A deadline that is switched off is [`super::NEVER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From the first byte of a head to its last.
    pub header: Duration,
    /// The longest silence inside a request body.
    pub body_idle: Duration,
    /// The slowest body that is put up with, in bytes per second; 0 is any.
    pub body_rate_bytes_per_second_min: u64,
    /// How long a connection may stay open between requests; zero closes it after each response.
    pub keep_alive: Duration,
    /// The longest time without progress while a response is sent.
    pub write: Duration,
}

/// What becomes of requests that take too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HarakiriConfig {
    /// What a request may take (`harakiri`).
    pub limit: Option<Duration>,
    /// Log its Python stack (`harakiri-verbose`).
    pub is_verbose: bool,
    /// What its worker is given to come back (`harakiri-graceful-timeout`).
    pub grace: Duration,
    /// Requests that must wait before any is ended (`harakiri-queue-threshold`).
    pub waiting_min: usize,
}
