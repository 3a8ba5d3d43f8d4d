//! Options that say what is served. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const GROUP: Group = Group::Application;

options! {
    APP = row(GROUP, "app", Kind::Text,
        "The application: a file, a module, or either with the name of the callable or a call that \
         returns it behind a colon (app.py, app.py:create_app(), pkg.module:app). Also without \
         --app.")
        .value("TARGET").many()
        .at_reload();
    WSGI_FILE = row(GROUP, "wsgi-file", Kind::Path, "Load the application from a Python file.")
        .also(&["file"])
        .at_reload();
    MODULE = row(GROUP, "module", Kind::Text,
        "Load the application from a module; the callable, or a call that returns it, may stand \
         behind a colon (pkg.module:create_app()).")
        .also(&["wsgi"]).short('w').value("MODULE[:CALLABLE]")
        .at_reload();
    CALLABLE = row(GROUP, "callable", Kind::Text,
        "The name of the WSGI callable, or a call that returns it. Without it: application, then \
         app, then whatever single callable looks like one.")
        .value("NAME")
        .at_reload();
    PASTE = row(GROUP, "paste", Kind::Text,
        "Load the application from a PasteDeploy file (config:/path/site.ini#name) or entry point \
         (egg:package). The virtualenv needs the package PasteDeploy.")
        .value("URI")
        .at_reload();
    PASTE_LOGGER = row(GROUP, "paste-logger", Kind::Flag,
        "Set Python's logging up from the PasteDeploy file.")
        .at_reload();
    CHDIR = row(GROUP, "chdir", Kind::Path,
        "Change to this directory before the application is loaded (the whole process changes).")
        .at_reload();
    NEED_APP = row(GROUP, "need-app", Kind::Flag,
        "Leave with code 22 when no application can be loaded, instead of serving 500.")
        .default("false")
        .at_reload();
    WSGI_STRICT = row(GROUP, "wsgi-strict", Kind::Flag,
        "Refuse what PEP 3333 forbids: str chunks fail instead of being sent as UTF-8.")
        .default("false")
        .at_reload();
    WSGI_DISABLE_FILE_WRAPPER = row(GROUP, "wsgi-disable-file-wrapper", Kind::Flag,
        "Do not offer wsgi.file_wrapper.")
        .default("false")
        .at_reload();
    MOUNT = row(GROUP, "mount", Kind::Text,
        "Serve an application below a URL prefix (/prefix=app.py, /prefix=pkg.module:app), for one \
         host (example.org=app.py), for all below it (*.example.org=app.py), or both \
         (example.org/prefix=app.py). May be repeated.")
        .also(&["worker-mount"]).many().value("PLACE=APP")
        .mapped("the mounted applications of an interpreter live in it together, as under uWSGI's \
            single-interpreter")
        .at_reload();
    MANAGE_SCRIPT_NAME = row(GROUP, "manage-script-name", Kind::Flag,
        "Choose the mounted application by the path, and move its prefix from PATH_INFO to \
         SCRIPT_NAME.")
        .at_reload();
    NO_DEFAULT_APP = row(GROUP, "no-default-app", Kind::Flag,
        "Answer 500 to what no mount holds, instead of handing it to the default application (the \
         one at the root, else the first that is mounted).")
        .at_reload();
    IGNORE_SCRIPT_NAME = row(GROUP, "ignore-script-name", Kind::Flag,
        "Do not choose the application by the SCRIPT_NAME that a front end sent.")
        .at_reload();
    EVAL = row(GROUP, "eval", Kind::Text,
        "Run Python code that leaves an application behind, under one of the usual names.")
        .value("CODE")
        .at_reload();
    TEST_REQUEST = row(GROUP, "test-request", Kind::Text,
        "Answer one request from the command line on standard output, without binding a socket, \
         and \
         leave: with 0 for a status below 500, 1 for another, 22 if the application cannot be \
         loaded.")
        .value("'GET /PATH'");
    WSGI_ACCEPT_BUFFER = row(GROUP, "wsgi-accept-buffer", Kind::Flag,
        "Take any object with a buffer (bytearray, memoryview, array) for a piece of the response.")
        .also(&["wsgi-accept-buffers"])
        .at_reload();
    DISABLE_WRITE_EXCEPTION = row(GROUP, "disable-write-exception", Kind::Flag,
        "Do not raise in write() when the client is gone.")
        .at_reload();
    ERROR_PAGE_403 = row(GROUP, "error-page-403", Kind::Path,
        "The HTML page of a 403 that the server makes itself; of several the first that can be \
         read.")
        .many()
        .at_reload();
    ERROR_PAGE_404 = row(GROUP, "error-page-404", Kind::Path,
        "The HTML page of a 404 that the server makes itself; of several the first that can be \
         read.")
        .many()
        .at_reload();
    ERROR_PAGE_500 = row(GROUP, "error-page-500", Kind::Path,
        "The HTML page of a 500 that the server makes itself, as when the application fails; of \
         several the first that can \
         be read.")
        .many()
        .at_reload();
    CATCH_EXCEPTIONS = row(GROUP, "catch-exceptions", Kind::Flag,
        "Show tracebacks to all clients (for development only); with --py-autoreload also those of \
         a version that does not \
         load.")
        .at_reload();
}
