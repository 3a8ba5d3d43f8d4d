//! Options of the Python that the application runs in. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Python;

/// The variable that names the active virtualenv: not an option, and the weakest of all.
pub(crate) const ACTIVE_VIRTUALENV: &str = "VIRTUAL_ENV";

options! {
    VIRTUALENV = row(GROUP, "virtualenv", Kind::Path,
        "The virtualenv of the application. Without it: the active one (VIRTUAL_ENV).")
        .also(&["home", "venv", "pyhome"]).short('H');
    PYTHONPATH = row(GROUP, "pythonpath", Kind::Path,
        "Put a directory in front of sys.path; wildcards are expanded. May be repeated.")
        .also(&["python-path", "pp"]).many()
        .at_reload();
    ENV = row(GROUP, "env", Kind::Pair,
        "Set an environment variable before Python starts. May be repeated.")
        .many()
        .at_reload();
    UNENV = row(GROUP, "unenv", Kind::Text,
        "Remove an environment variable before Python starts (before --env sets any). May be \
         repeated.")
        .many().value("KEY")
        .at_reload();
    ENVDIR = row(GROUP, "envdir", Kind::Path,
        "Set environment variables from the files of a directory: the name of a file is the \
         variable, its first line the value, and an empty file removes it. Stronger than --env. \
         May be repeated.")
        .many()
        .at_reload();
    EARLY_ENVDIR = row(GROUP, "early-envdir", Kind::Path,
        "As --envdir, but weaker than --env and --unenv. May be repeated.")
        .many()
        .at_reload();
    NO_SITE = row(GROUP, "no-site", Kind::Flag,
        "Start Python without the site module: no site-packages, no .pth files.");
    PY_PROGRAMNAME = row(GROUP, "py-programname", Kind::Path,
        "What Python takes for its own executable, and finds its prefix by. --virtualenv is \
         stronger.")
        .also(&["py-program-name"]);
    PY_SYS_EXECUTABLE = row(GROUP, "py-sys-executable", Kind::Path,
        "What the application finds in sys.executable.")
        .also(&["py-executable"])
        .at_reload();
    THREADS_STACKSIZE = row(GROUP, "threads-stacksize",
        Kind::Number { min: 0, max: 4 * 1024 * 1024 },
        "Kilobytes of stack of each worker thread.")
        .also(&["thread-stacksize", "thread-stack-size", "threads-stack-size"]).value("KBYTES")
        .mapped("never less than 8192, which is what Python is safe with")
        .at_reload();
    PYRUN = row(GROUP, "pyrun", Kind::Path,
        "Run a script in the server's environment, with --pyargv behind its name in sys.argv, and \
         leave with its exit code.")
        .also(&["python", "py"])
        .mapped("it runs on a thread, so it cannot install signal handlers");
    TEST = row(GROUP, "test", Kind::Text,
        "Import a module, or run a file, and leave: with 0 if it can be, else with 1.")
        .short('J').value("MODULE");
    PY_TRACEBACKER = row(GROUP, "py-tracebacker", Kind::Path,
        "Print the Python stacks of all threads to every client of the unix socket ADDRESS, and \
         those of worker N at ADDRESSN. Only the server's user can.")
        .value("ADDRESS");
    PYTHON_VERSION = row(GROUP, "python-version", Kind::Flag,
        "Print the version of Python and leave.");
    CHECK_EXTENSIONS = row(GROUP, "check-extensions", Kind::Choice(&["table", "json"]),
        "Print the extensions of the environment, which interpreters can load each of them, and \
         which modules of the application import it, and leave. The application is loaded for \
         that, if one is named. `singlemalt check [app.py] [--json]` is the same.")
        .bare("table");
    EXTENSION_WORKER = row(GROUP, "extension-worker", Kind::Choice(&["scan", "try"]),
        "What --extension-scan and --check-extensions start this program for.")
        .hidden();
    NO_UWSGI_MODULE = row(GROUP, "no-uwsgi-module", Kind::Flag,
        "Hide the uwsgi module: `import uwsgi` fails as it does outside of uWSGI.");
    PYARGV = row(GROUP, "pyargv", Kind::Text,
        "What the application finds in sys.argv behind the first item, separated by spaces.")
        .value("ARGUMENTS");
    OPTIMIZE = row(GROUP, "optimize", Kind::Number { min: 0, max: 2 },
        "Python's optimization level: 0, 1 (as python -O) or 2 (as python -OO).")
        .short('O').value("LEVEL").default("0");
    LAZY_IMPORTS = row(GROUP, "lazy-imports", Kind::Choice(&["all", "none"]),
        "Which import statements wait until what they import is used: all at the top level of \
         modules (less memory, a faster start), or none but those that the source marks as lazy. \
         Without it Python decides (PYTHON_LAZY_IMPORTS). Needs CPython 3.15.");
    IMPORT = row(GROUP, "import", Kind::Text,
        "Import a module, or run a file, in every interpreter before the application is \
         loaded. May be repeated.")
        .also(&["pyimport", "py-import", "python-import"]).many().value("MODULE")
        .at_reload();
    PLUGIN = row(Group::Process, "plugin", Kind::Text,
        "Load plugins: a Python file (./plugin.py) is imported in every interpreter before \
         anything else, \
         and its init() is called once for each version of the application. --plugin-list names \
         what is built in.")
        .also(&["plugins", "need-plugin", "need-plugins"]).many().value("NAME|FILE.py")
        .mapped("python, http and signal are built in, and plugins in C cannot be loaded")
        .at_reload();
    PYMODULE_ALIAS = row(GROUP, "pymodule-alias", Kind::Pair,
        "Make a module, or a file, importable under another name as well, before anything else is \
         imported. May be repeated.")
        .many().value("NAME=MODULE")
        .at_reload();
    POST_PYMODULE_ALIAS = row(GROUP, "post-pymodule-alias", Kind::Pair,
        "As --pymodule-alias, but after what --import names. May be repeated.")
        .many().value("NAME=MODULE")
        .at_reload();
    SHARED_IMPORT = row(GROUP, "shared-import", Kind::Text,
        "Import a module, or run a file, in every interpreter before the application, and before \
         what --import names. May be repeated.")
        .also(&["shared-pyimport", "shared-py-import", "shared-python-import"])
        .many().value("MODULE")
        .at_reload();
}
