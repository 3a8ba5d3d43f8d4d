//! The application and the ones beside it, as values.

use std::fmt;
use std::path::PathBuf;

/// The applications, and what they are given of WSGI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppConfig {
    /// What to serve. `None` only when the command line named no application and did not have to.
    pub choice: Option<AppChoice>,
    /// Applications below URL prefixes (`mount`), in the order in which they were written.
    pub mounts: Vec<Mount>,
    /// What is called in an application that names no callable itself (`callable`); those of `app`
    /// and `mounts` have it already.
    pub callable: Option<String>,
    /// The directory to change to before the application is loaded.
    pub chdir: Option<PathBuf>,
    /// Leave with code 22 when no application can be loaded, instead of serving 500.
    pub need_app: bool,
    /// Take the prefix of a mounted application out of the path (`manage-script-name`).
    pub manage_script_name: bool,
    /// Requests below no mount are answered with 500 (`no-default-app`).
    pub no_default_app: bool,
    /// A `SCRIPT_NAME` that a front end sent does not choose the application
    /// (`ignore-script-name`).
    pub ignore_script_name: bool,
    /// Python code that leaves an application behind (`eval`).
    pub eval: Option<String>,
    /// Set Python's logging up from the file of a PasteDeploy application (`paste-logger`).
    pub paste_logger: bool,
    /// Refuse what PEP 3333 forbids instead of helping out (str chunks).
    pub wsgi_strict: bool,
    /// Offer `wsgi.file_wrapper`.
    pub file_wrapper: bool,
    /// Take any object with a buffer for a piece of a response (`wsgi-accept-buffer`).
    pub wsgi_accept_buffer: bool,
    /// `write()` does not raise when the client is gone (`disable-write-exception`).
    pub disable_write_exception: bool,
    /// Show tracebacks to clients (`catch-exceptions`).
    pub catch_exceptions: bool,
    /// HTML files for answers that the server makes itself, by their status; the first that can be
    /// read counts (`error-page-403` and its kin).
    pub error_pages: [(u16, Vec<PathBuf>); 3],
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
    /// What PasteDeploy finds behind a URI: `config:/path/site.ini`, `config:/path/site.ini#name`,
    /// `egg:package`.
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
