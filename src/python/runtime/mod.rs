//! The one CPython of this process: configured and started on the main thread, or taken up there,
//! where Python has imported the server (`hosted`).
//!
//! Called by `server` (`prepare`) before any worker exists; no other room starts Python. After
//! [`Runtime::start`] the main thread is detached and stays so: importing an extension module in
//! any subinterpreter takes the main interpreter's GIL (3.13 and later), so a main thread that
//! waited for a worker while it held that GIL would wait for ever. Python is never finalised; the
//! process leaves through [`exit_now`].
//!
//! The safe `pyo3` is used here and nowhere else: on the main thread, in the main interpreter,
//! before a worker exists.

pub(crate) mod arenas;
pub(crate) mod code;
pub(crate) mod environment;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod environment_linux;
pub(crate) mod error;
pub(crate) mod hosted;
mod release;
pub(crate) mod trim;
mod virtualenv;

use std::ffi::CStr;
#[cfg(not(windows))]
use std::ffi::CString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use pyo3::types::PyAnyMethods;
use pyo3_ffi as ffi;

use crate::python::gil;
use crate::python::object::{self, Raised, Token};
use crate::python::world;
use error::RuntimeError;
use hosted::Hosted;
pub use release::Release;
use release::{full_version, is_free_threaded_build, python_name};
use virtualenv::Home;

/// The options that Python is started with.
#[derive(Debug, Clone, Default)]
pub struct RuntimeOptions {
    /// A virtualenv, or a whole installation, as uWSGI's `home` takes both. `None`: the Python that
    /// we are linked with.
    pub home: Option<PathBuf>,
    /// Goes in front of `sys.path` of the main interpreter (interpreters have their own in
    /// `InterpreterSpec`).
    pub python_path: Vec<PathBuf>,
    /// `sys.argv`, the program's name first (uWSGI's `pyargv`). Empty: `["singlemalt"]`.
    pub argv: Vec<String>,
    /// 0, 1 (`-O`) or 2 (`-OO`); `PYTHONOPTIMIZE` can raise it.
    pub optimize: u8,
    /// The path that Python takes for its executable; `home` takes precedence.
    pub program_name: Option<PathBuf>,
    /// Without the site module (`python -S`).
    pub no_site: bool,
    /// Whether imports at the top level of modules wait until what they import is used; `None`: as
    /// the environment says. From CPython 3.15 on.
    pub lazy_imports: Option<bool>,
    /// Where Python has imported us: what its script has put into `sys.path`.
    pub script_folder: Option<String>,
    /// The same: folders that go behind the rest of `sys.path`.
    pub further_packages: Vec<PathBuf>,
}

impl RuntimeOptions {
    fn hosted(&self) -> Hosted {
        Hosted {
            argv: self.argv(),
            script_folder: self.script_folder.clone(),
            packages: self.further_packages.clone(),
        }
    }

    fn argv(&self) -> Vec<String> {
        match &self.argv[..] {
            [] => vec!["singlemalt".to_owned()],
            given => given.to_vec(),
        }
    }
}

/// Python is running; facts about it, all plain data.
#[derive(Debug)]
pub struct Runtime {
    version: String,
    release: Release,
    prefix: String,
    executable: String,
    free_threaded: bool,
    hosted: Option<Hosted>,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

impl Runtime {
    /// Stops all Python code of the main interpreter and of those that share its GIL, for good, as
    /// the end of the process does (without a GIL by stopping the other threads): threads that an application left there stop at their next
    /// instruction.
    #[expect(
        clippy::disallowed_methods,
        reason = "it is the main interpreter's GIL that is taken"
    )]
    pub fn halt(&self) -> std::io::Result<()> {
        std::thread::Builder::new()
            .name("sm-halt".to_owned())
            .spawn(|| {
                pyo3::Python::attach(|_py| {
                    // SAFETY: attached until the end of this closure, which never comes.
                    let _stopped = world::stop(unsafe { Token::assume() });
                    loop {
                        std::thread::park();
                    }
                })
            })
            .map(drop)
    }

    /// Starts Python. Call it once, on the main thread, before any worker exists and after
    /// everything that forks (a fork after a subinterpreter exists kills the child). On return the
    /// calling thread is detached.
    ///
    /// # Errors
    /// See [`RuntimeError`]. After an error of CPython itself the process has no Python; it should
    /// report and exit.
    pub fn start(options: &RuntimeOptions) -> Result<&'static Self, RuntimeError> {
        let version = linked();
        let release = Release::of(&version).unwrap_or_default();
        let home = options
            .home
            .as_deref()
            .map(|path| read_home(path, release, &version))
            .transpose()?;
        let is_hosted = hosted::is_running();
        if hosted::STARTED.swap(true, Ordering::SeqCst) {
            return Err(RuntimeError::AlreadyStarted);
        }
        let hosted = if is_hosted {
            warn_of_lazy_imports(options.lazy_imports == Some(true));
            hosted::attach();
            // Without site CPython 3.12 and 3.13 stay with the prefix of the installation.
            let home = home.as_ref().filter(|_| !options.no_site);
            hosted::take_up(home).map(|()| Some(options.hosted()))
        } else {
            initialise(options, home, release)?;
            Ok(None)
        };
        // SAFETY: attached as the main thread since one of the arms above, until PyEval_SaveThread
        // below.
        let token = unsafe { Token::assume() };
        let compiled = code::prepare(token).map_err(|Raised| RuntimeError::Start {
            doing: "preparing its bootstrap",
            message: object::take_exception(token)
                .map_or_else(String::new, |error| error.to_text()),
        });
        let facts = compiled.and_then(|()| main_interpreter(options));
        if release <= Release::new(3, 13) {
            arenas::install();
        }
        // SAFETY: this thread is attached with the main thread state since `initialise`; nothing of
        // Python is held by Rust any more. The state is left for ever: the main thread never
        // attaches again.
        unsafe { ffi::PyEval_SaveThread() };
        let hosted = hosted?;
        let (prefix, executable) = facts?;
        let free_threaded = is_free_threaded_build();
        Ok(RUNTIME.get_or_init(|| Self {
            version,
            release,
            prefix,
            executable,
            free_threaded,
            hosted,
        }))
    }

    /// What interpreters are told if Python was there before us.
    pub(crate) fn hosted() -> Option<&'static Hosted> {
        RUNTIME.get()?.hosted.as_ref()
    }

    /// Whether `path` is a virtualenv, or an installation, of this Python.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn check_home(&self, path: &Path) -> Result<(), RuntimeError> {
        read_home(path, self.release, &self.version).map(drop)
    }

    /// The one Python of this crate's unit tests. Its main thread stays, as a process's own does.
    #[cfg(test)]
    pub(crate) fn of_unit_tests() -> &'static Self {
        static ONE: OnceLock<&Runtime> = OnceLock::new();
        ONE.get_or_init(|| {
            let (tell, started) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                tell.send(Self::start(&RuntimeOptions::default()))
                    .expect("the test waits");
                loop {
                    std::thread::park();
                }
            });
            started.recv().expect("an answer").expect("Python starts")
        })
    }

    /// The version, like `3.13.0`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its major and minor version.
    #[must_use]
    pub fn release(&self) -> Release {
        self.release
    }

    /// Whether [`Isolation::OwnGil`](crate::python::Isolation::OwnGil) can work: 3.12 runs the
    /// start code of extension modules in interpreters that refuse them, and aborts; a
    /// free-threaded build has no GIL to own.
    #[must_use]
    pub fn supports_own_gil(&self) -> bool {
        self.release >= Release::new(3, 13) && !self.free_threaded
    }

    /// Whether a thread of a subinterpreter may be interrupted by an exception: on 3.12 the end of
    /// such an interpreter has crashed, in the collection of garbage.
    #[must_use]
    pub fn can_interrupt_subinterpreters(&self) -> bool {
        self.release >= Release::new(3, 13)
    }

    /// Whether this Python was built without a GIL (PEP 703).
    #[must_use]
    pub fn is_free_threaded(&self) -> bool {
        self.free_threaded
    }

    /// Whether threads of one interpreter run Python code at the same time. An extension can end
    /// that (see [`gil_turned_on_by`](Self::gil_turned_on_by)).
    #[must_use]
    pub fn runs_in_parallel(&self) -> bool {
        self.free_threaded && !gil::is_on()
    }

    /// The extensions that have turned the GIL of a free-threaded Python on, for people.
    #[must_use]
    pub fn gil_turned_on_by(&self) -> Vec<String> {
        gil::turned_on_by()
    }

    /// `sys.prefix`: the virtualenv, if there is one.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `sys.executable`, which a `subprocess` of the app starts.
    #[must_use]
    pub fn executable(&self) -> &str {
        &self.executable
    }
}

/// Leaves the process at once: no Py_FinalizeEx (it is not safe with interpreters alive), no C exit
/// handlers (they would run under threads that still work). Call it after the workers have ended;
/// it flushes Rust's standard streams.
pub fn exit_now(code: i32) -> ! {
    // An error cannot be reported any more.
    drop(std::io::stdout().flush());
    drop(std::io::stderr().flush());
    // SAFETY: `_exit` takes any code and does not return.
    unsafe { libc::_exit(code) }
}

fn read_home(path: &Path, release: Release, version: &str) -> Result<Home, RuntimeError> {
    virtualenv::read(path, release, version).map_err(|mut error| {
        if let RuntimeError::VirtualenvVersion { is_hosted, .. } = &mut error {
            *is_hosted = hosted::is_running() || Runtime::hosted().is_some();
        }
        error
    })
}

/// The interpreter of a virtualenv or an installation of this Python.
///
/// # Errors
/// As for [`Runtime::start`].
pub fn program_of(home: &Path) -> Result<PathBuf, RuntimeError> {
    let version = linked();
    let release = Release::of(&version).unwrap_or_default();
    Ok(match read_home(home, release, &version)? {
        Home::Virtualenv { program } => program,
        Home::Installation { prefix } if cfg!(windows) => prefix.join("python.exe"),
        Home::Installation { prefix } => prefix.join(format!("bin/{}", python_name(release))),
    })
}

/// The version of the CPython that we are linked with, like `3.13.0`. It need not run.
#[must_use]
pub fn linked() -> String {
    let version = full_version().split([' ', '+']).next();
    version.unwrap_or_default().to_owned()
}

fn check(doing: &'static str, status: ffi::PyStatus) -> Result<(), RuntimeError> {
    // SAFETY: the status came from CPython and is only read.
    if unsafe { ffi::PyStatus_Exception(status) } == 0 {
        return Ok(());
    }
    let message = if status.err_msg.is_null() {
        format!("it asked to exit with code {}", status.exitcode)
    } else {
        // SAFETY: a status' message is a static, NUL-terminated string.
        unsafe { CStr::from_ptr(status.err_msg) }
            .to_string_lossy()
            .into_owned()
    };
    Err(RuntimeError::Start { doing, message })
}

pub(crate) fn check_status(doing: &'static str, status: ffi::PyStatus) -> Result<(), RuntimeError> {
    check(doing, status)
}

/// A PyConfig that is cleared on every path.
struct Config(Box<ffi::PyConfig>);

impl Config {
    fn new() -> Self {
        let mut config = Box::new(std::mem::MaybeUninit::<ffi::PyConfig>::zeroed());
        // SAFETY: the memory is large enough for a PyConfig and the call initialises all of it.
        unsafe {
            ffi::PyConfig_InitPythonConfig(config.as_mut_ptr());
            Self(config.assume_init())
        }
    }

    /// Sets one text of the config, picked by `field`.
    fn set(
        &mut self,
        option: &'static str,
        field: fn(&mut ffi::PyConfig) -> *mut *mut libc::wchar_t,
        path: &Path,
    ) -> Result<(), RuntimeError> {
        let field = field(&mut self.0);
        #[cfg(windows)]
        let status = {
            use std::os::windows::ffi::OsStrExt;
            let wide: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
            // SAFETY: config and field belong together; `wide` is NUL-terminated and copied.
            unsafe { ffi::PyConfig_SetString(&raw mut *self.0, field, wide.as_ptr().cast()) }
        };
        #[cfg(not(windows))]
        let status = {
            use std::os::unix::ffi::OsStrExt;
            let bytes = CString::new(path.as_os_str().as_bytes())
                .map_err(|_| RuntimeError::Nul { option })?;
            // SAFETY: config and field belong together; `bytes` is NUL-terminated, decoded and
            // copied.
            unsafe { ffi::PyConfig_SetBytesString(&raw mut *self.0, field, bytes.as_ptr()) }
        };
        check(option, status)
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: the config was initialised in `new` and is not used afterwards.
        unsafe { ffi::PyConfig_Clear(&raw mut *self.0) }
    }
}

fn initialise(
    options: &RuntimeOptions,
    home: Option<Home>,
    release: Release,
) -> Result<(), RuntimeError> {
    let mut before = std::mem::MaybeUninit::<ffi::PyPreConfig>::zeroed();
    // SAFETY: the call initialises all of the preconfig. In the C and POSIX locales it lets Python
    // switch to UTF-8 (PEP 538, PEP 540), so a container without a locale still reads UTF-8 paths
    // and prints UTF-8 logs.
    let status = unsafe {
        ffi::PyPreConfig_InitPythonConfig(before.as_mut_ptr());
        let mut before = before.assume_init();
        before.parse_argv = 0;
        ffi::Py_PreInitialize(&raw const before)
    };
    check("before the start", status)?;

    let mut config = Config::new();
    config.0.parse_argv = 0;
    // Signals are the supervisor's (signal-hook), never Python's.
    config.0.install_signal_handlers = 0;
    // Fatal signals print every thread's Python stack; only the main interpreter can switch it on.
    config.0.faulthandler = 1;
    config.0.site_import = i32::from(!options.no_site);
    config.0.optimization_level = options.optimize.min(2).into();
    match &home {
        Some(Home::Virtualenv { program }) => {
            config.set("--virtualenv", |c| &raw mut c.program_name, program)?
        }
        Some(Home::Installation { prefix }) => config.set("--home", |c| &raw mut c.home, prefix)?,
        None if options.program_name.is_some() => {
            if let Some(program) = &options.program_name {
                config.set("--py-programname", |c| &raw mut c.program_name, program)?;
            }
        }
        None => {
            // Otherwise Python would take the first `python3` in PATH for itself, whatever its
            // version.
            if let Some(program) = linked_program(release) {
                config.set("the program's name", |c| &raw mut c.program_name, &program)?;
            }
        }
    }
    set_argv(&mut config, &options.argv())?;
    if let Some(is_lazy) = options.lazy_imports {
        set_lazy_imports(&mut config, is_lazy)?;
    }
    // SAFETY: the config is initialised and not shared.
    check("reading its configuration", unsafe {
        ffi::PyConfig_Read(&raw mut *config.0)
    })?;
    if config.0.tracemalloc > 0 {
        return Err(RuntimeError::Tracemalloc);
    }
    // SAFETY: this is the only call in the process (`STARTED`), on the main thread, with a complete
    // config.
    check("starting", unsafe {
        ffi::Py_InitializeFromConfig(&raw const *config.0)
    })
}

/// As `python -X lazy_imports=...`, which is stronger than the environment.
#[cfg(Py_3_15)]
fn set_lazy_imports(config: &mut Config, is_lazy: bool) -> Result<(), RuntimeError> {
    let mode = if is_lazy { "all" } else { "normal" };
    let text = format!("lazy_imports={mode}\0");
    let wide: Vec<libc::wchar_t> = text.bytes().map(libc::wchar_t::from).collect();
    // SAFETY: the list belongs to a config that is initialised; the text is NUL-terminated and
    // copied.
    check("lazy-imports", unsafe {
        ffi::PyWideStringList_Append(&raw mut config.0.xoptions, wide.as_ptr())
    })
}

#[cfg(not(Py_3_15))]
fn set_lazy_imports(_config: &mut Config, is_lazy: bool) -> Result<(), RuntimeError> {
    warn_of_lazy_imports(is_lazy);
    Ok(())
}

fn warn_of_lazy_imports(is_lazy: bool) {
    if is_lazy && !cfg!(Py_3_15) {
        tracing::warn!("lazy-imports has no effect: imports are lazy from CPython 3.15 on");
    }
}

fn set_argv(config: &mut Config, given: &[String]) -> Result<(), RuntimeError> {
    if given.iter().any(|text| text.contains('\0')) {
        return Err(RuntimeError::Nul {
            option: "an argument of the app",
        });
    }
    let count = given.len() as ffi::Py_ssize_t;
    #[cfg(windows)]
    let status = {
        let wide = |text: &String| text.encode_utf16().chain([0]).collect();
        let texts: Vec<Vec<u16>> = given.iter().map(wide).collect();
        let mut pointers: Vec<*const libc::wchar_t> =
            texts.iter().map(|text| text.as_ptr().cast()).collect();
        // SAFETY: `pointers` holds `count` NUL-terminated strings; CPython copies them.
        unsafe { ffi::PyConfig_SetArgv(&raw mut *config.0, count, pointers.as_mut_ptr()) }
    };
    #[cfg(not(windows))]
    let status = {
        let texts = given
            .iter()
            .map(|text| CString::new(text.as_str()).unwrap_or_default());
        let texts: Vec<CString> = texts.collect();
        let mut pointers: Vec<*const std::ffi::c_char> =
            texts.iter().map(|text| text.as_ptr()).collect();
        // SAFETY: `pointers` holds `count` NUL-terminated strings; CPython decodes and copies them.
        unsafe { ffi::PyConfig_SetBytesArgv(&raw mut *config.0, count, pointers.as_mut_ptr()) }
    };
    check("setting sys.argv", status)
}

/// The `python3.X` of the installation that our libpython belongs to, found from where the library
/// was loaded: an installation that was moved after it was built (as uv's are) cannot find its
/// standard library otherwise.
#[cfg(unix)]
fn linked_program(release: Release) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;

    if std::env::var_os("PYTHONHOME").is_some() {
        return None;
    }
    let mut about = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the address is that of a function in libpython; dladdr fills `about` and says so by
    // not returning 0, and its file name is a NUL-terminated string that lives as long as the
    // library.
    let library = unsafe {
        if libc::dladdr(
            ffi::Py_GetVersion as *const libc::c_void,
            about.as_mut_ptr(),
        ) == 0
        {
            return None;
        }
        let name = about.assume_init().dli_fname;
        if name.is_null() {
            return None;
        }
        PathBuf::from(std::ffi::OsStr::from_bytes(CStr::from_ptr(name).to_bytes()))
    };
    let library = library.canonicalize().ok()?;
    let name = python_name(release);
    let beside = library.ancestors().skip(1).find_map(|prefix| {
        let program = prefix.join("bin").join(&name);
        let is_home = prefix.join("lib").join(&name).join("os.py").is_file();
        (is_home && program.is_file()).then_some(program)
    });
    // A statically linked libpython is part of our own file, and says nothing about its home.
    beside.or_else(|| {
        option_env!("SINGLEMALT_BUILD_PYTHON")
            .map(PathBuf::from)
            .filter(|program| program.is_file())
    })
}

/// On Windows Python finds itself by the folder of its DLL.
#[cfg(not(unix))]
fn linked_program(_release: Release) -> Option<PathBuf> {
    None
}

/// The work in the main interpreter: facts, `sys.path`, and `datetime`. Its static types belong to
/// the interpreter that imports it first (CPython 3.13: parallel first imports crash, and so does
/// the interpreter that ends first).
#[expect(
    clippy::disallowed_methods,
    reason = "this thread has the main interpreter's own state, and there is no other thread yet"
)]
fn main_interpreter(options: &RuntimeOptions) -> Result<(String, String), RuntimeError> {
    pyo3::Python::attach(|py| -> pyo3::PyResult<(String, String)> {
        py.import("datetime")?;
        let sys = py.import("sys")?;
        let path = sys.getattr("path")?;
        for folder in options.python_path.iter().rev() {
            path.call_method1("insert", (0, folder.to_string_lossy().into_owned()))?;
        }
        Ok((
            sys.getattr("prefix")?.extract()?,
            sys.getattr("executable")?.extract()?,
        ))
    })
    .map_err(|error| RuntimeError::Start {
        doing: "in the main interpreter",
        message: error.to_string(),
    })
}
