//! Which app to load: a file, a module or code, and the callable in it. Plain data, any thread.

use std::fmt;
use std::path::PathBuf;

/// Where the app is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetKind {
    /// A Python file (`--wsgi-file`). Its module is named as uWSGI names it: `uwsgi_file_` and the
    /// path.
    File(PathBuf),
    /// A dotted module name (`--module`).
    Module(String),
    /// The app that PasteDeploy finds by a URI (`--paste`).
    Paste {
        /// `config:/path/site.ini#name`, `egg:package`
        uri: String,
        /// Python's logging is set up from the same file.
        logged: bool,
    },
    /// Python code (`--eval`). Its module is named as uWSGI names it: `uwsgi_eval_config`.
    Code(String),
}

/// An import of an interpreter before its first app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// A file or a module.
    pub target: TargetKind,
    /// A further name for it in `sys.modules`.
    pub alias: Option<String>,
}

/// Which app to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppTarget {
    /// Where it is.
    pub kind: TargetKind,
    /// `app`, `site.app`, `create_app()`, `create_app("production", debug=False)`. `None`:
    /// `application`, else `app`.
    pub callable: Option<String>,
}

impl fmt::Display for AppTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            TargetKind::File(path) => write!(f, "{}", path.display())?,
            TargetKind::Module(name) => f.write_str(name)?,
            TargetKind::Paste { uri, .. } => f.write_str(uri)?,
            TargetKind::Code(_) => f.write_str("--eval")?,
        }
        self.callable
            .as_ref()
            .map_or(Ok(()), |callable| write!(f, ":{callable}"))
    }
}
