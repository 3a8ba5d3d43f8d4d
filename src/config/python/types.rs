//! The Python that the application runs in, as values.

use std::path::PathBuf;

use crate::config::app::types::AppTarget;

/// Python: its paths, its environment, what it imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonConfig {
    /// Directories to put in front of `sys.path`, in order, wildcards expanded.
    pub path: Vec<PathBuf>,
    /// The virtualenv that the application finds its packages and `sys.prefix` in.
    pub virtualenv: Option<PathBuf>,
    /// Start Python without its site module (`no-site`).
    pub no_site: bool,
    /// What Python takes for its own executable (`py-programname`).
    pub program_name: Option<PathBuf>,
    /// `sys.executable` (`py-sys-executable`).
    pub sys_executable: Option<PathBuf>,
    /// Python's optimization level: 0, 1 (`-O`) or 2 (`-OO`).
    pub optimize: u8,
    /// Whether imports wait until what they import is used (`lazy-imports`); `None`: as Python has it.
    pub lazy_imports: Option<bool>,
    /// What stands behind `sys.argv[0]`, separated by spaces.
    pub argv: Option<String>,
    /// Environment variables to remove before Python starts; done before `environment_set`.
    pub environment_unset: Vec<String>,
    /// Environment variables to set before Python starts, in order.
    pub environment_set: Vec<(String, String)>,
    /// Python files that are plugins (`plugin`).
    pub plugins: Vec<PathBuf>,
    /// Modules and files to import in every interpreter (`shared-import`).
    pub shared_imports: Vec<AppTarget>,
    /// Modules and files to import in the first interpreter after the application (`import`).
    pub imports: Vec<AppTarget>,
    /// Second names of modules and files, given before anything is imported (`pymodule-alias`).
    pub module_aliases: Vec<(String, AppTarget)>,
    /// The same, after the imports (`post-pymodule-alias`).
    pub post_module_aliases: Vec<(String, AppTarget)>,
    /// Bytes of each worker thread's stack, if they were given (`threads-stacksize`).
    pub stack_bytes: Option<usize>,
    /// Where the sockets are that print Python stacks (`py-tracebacker`): the path of the first,
    /// and how those of workers begin.
    pub tracebacker: Option<PathBuf>,
    /// `import uwsgi` fails (`no-uwsgi-module`).
    pub hides_uwsgi_module: bool,
    /// What to do instead of serving.
    pub one_shot: Option<OneShot>,
}

/// What is done in the server's place, before the process leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OneShot {
    /// Answer this request on standard output (`test-request`): `GET /path`.
    TestRequest(String),
    /// Say whether this module can be imported (`test`).
    TestModule(String),
    /// Run this script (`pyrun`).
    RunScript(PathBuf),
    /// Print the version of Python (`python-version`).
    PythonVersion,
    /// Print which interpreters can load the extensions (`check-extensions`).
    CheckExtensions {
        /// In JSON.
        is_json: bool,
    },
    /// Find that out for a server that is at the other end of standard input and output.
    ScanExtensions,
    /// Load the extensions that are named on standard input.
    TryExtensions,
}

impl OneShot {
    /// Whether an application has to be named for it.
    pub fn needs_app(&self) -> bool {
        matches!(self, OneShot::TestRequest(_))
    }
}
