//! Options of the Python that the application runs in. Data only.

use crate::config::option::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Python;

/// The variable that names the active virtualenv: not an option, and the weakest of all.
pub(crate) const ACTIVE_VIRTUALENV: &str = "VIRTUAL_ENV";

options! {
    VIRTUALENV = row(GROUP, "virtualenv", Kind::Path,
        "The virtualenv of the application. Without it: the active one (VIRTUAL_ENV).")
        .also(&["home", "venv", "pyhome"]).short('H');
    PYTHONPATH = row(GROUP, "pythonpath", Kind::Path,
        "Put a directory in front of sys.path; wildcards are expanded. May be repeated.")
        .also(&["python-path", "pp"]).many();
    ENV = row(GROUP, "env", Kind::Pair,
        "Set an environment variable before Python starts. May be repeated.")
        .many();
    UNENV = row(GROUP, "unenv", Kind::Text,
        "Remove an environment variable before Python starts (before --env sets any). May be \
         repeated.")
        .many().value("KEY");
    PYARGV = row(GROUP, "pyargv", Kind::Text,
        "What the application finds in sys.argv behind the first item, separated by spaces.")
        .value("ARGUMENTS");
    OPTIMIZE = row(GROUP, "optimize", Kind::Number { min: 0, max: 2 },
        "Python's optimization level: 0, 1 (as python -O) or 2 (as python -OO).")
        .short('O').value("LEVEL").default("0");
    IMPORT = row(GROUP, "import", Kind::Text,
        "Import a module, or run a file, in every interpreter before the application is \
         loaded. May be repeated.")
        .also(&["pyimport", "py-import", "python-import"]).many().value("MODULE");
    PLUGIN = row(Group::Process, "plugin", Kind::Text,
        "Load plugins: a Python file (./plugin.py) is imported in every interpreter before anything else, \
         and its init() is called once for each version of the application. --plugin-list names what is built in.")
        .also(&["plugins", "need-plugin", "need-plugins"]).many().value("NAME|FILE.py")
        .mapped("what uWSGI's own plugins do is built in, and plugins in C cannot be loaded");
    SHARED_IMPORT = row(GROUP, "shared-import", Kind::Text,
        "Import a module, or run a file, in every interpreter before the application, and before \
         what --import names. May be repeated.")
        .also(&["shared-pyimport", "shared-py-import", "shared-python-import"])
        .many().value("MODULE");
}
