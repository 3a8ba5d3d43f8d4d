//! Why there is no app, in words that name the way out. Plain data, any thread.

use std::fmt;

use super::interpreter::Isolation;
use super::refusal::{RefusedExtension, describe_all};

/// Why there is no app. `Display` is what a person reads.
#[derive(Debug, Clone)]
pub enum LoadFailure {
    /// An extension module refuses subinterpreters; the app needs the main interpreter.
    ExtensionsRefused {
        /// All that were met; at least one.
        refused: Vec<RefusedExtension>,
        /// The isolation that was tried.
        isolation: Isolation,
        /// The traceback, trimmed to the user's frames; empty if the app loads without them.
        traceback: String,
    },
    /// The module exists, the callable in it does not.
    NoCallable {
        /// The file or module.
        target: String,
        /// What was looked for.
        wanted: String,
        /// Whether that was only the default name.
        by_default: bool,
        /// What is there but cannot be called, in words.
        problem: Option<String>,
        /// What could be called instead.
        found: Vec<String>,
    },
    /// There is no such file or module.
    NotFound {
        /// What was looked for.
        wanted: String,
        /// Whether that is a file.
        is_file: bool,
        /// The part of a dotted name that is missing.
        missing: Option<String>,
        /// What is there, in words, if it is the wrong kind of thing.
        problem: Option<String>,
        /// Files of a similar name.
        near: Vec<String>,
        /// The working directory.
        folder: String,
    },
    /// The callable is neither a name nor a call with literal arguments.
    BadExpression {
        /// What was given.
        expression: String,
    },
    /// The app's own code raised while it was loaded.
    Raised {
        /// The file or module.
        target: String,
        /// The exception, in one line.
        exception: String,
        /// The traceback, trimmed to the user's frames.
        traceback: String,
        /// What could be done about it.
        hint: Option<String>,
    },
    /// The loader itself failed: a bug of ours, or Python is out of memory.
    Internal {
        /// What happened.
        message: String,
    },
}

impl LoadFailure {
    /// The reason without the advice, for a report that has its own.
    #[must_use]
    pub fn reason(&self) -> String {
        let Self::ExtensionsRefused { refused, .. } = self else {
            return self.to_string();
        };
        describe_all(refused)
    }
}

impl fmt::Display for LoadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExtensionsRefused { isolation, .. } => write!(
                f,
                "{}\n  --isolation {} cannot run this app; --isolation main can (one interpreter, any \
                 number of threads), and --isolation auto picks it by itself",
                self.reason(),
                isolation.word()
            ),
            Self::NoCallable { .. } => self.fmt_no_callable(f),
            Self::NotFound { is_file: true, .. } => self.fmt_no_file(f),
            Self::NotFound { .. } => self.fmt_no_module(f),
            Self::BadExpression { expression } => write!(
                f,
                "`{expression}` is not something that can be called: give a name (app, site.app) or a \
                 call with literal arguments (create_app(), create_app(\"production\", debug=False))"
            ),
            Self::Raised {
                target,
                exception,
                traceback,
                hint,
            } => {
                write!(f, "loading {target} failed: {exception}")?;
                if let Some(hint) = hint {
                    write!(f, "\n  {hint}")?;
                }
                if traceback.is_empty() {
                    return Ok(());
                }
                write!(f, "\n\n{traceback}")
            }
            Self::Internal { message } => {
                write!(f, "loading the app failed inside singlemalt: {message}")
            }
        }
    }
}

impl LoadFailure {
    fn fmt_no_callable(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NoCallable {
            target,
            wanted,
            by_default,
            problem,
            found,
        } = self
        else {
            return Ok(());
        };
        match problem {
            Some(problem) => write!(f, "{target}: {problem}")?,
            None if *by_default => write!(f, "{target} has no `application` (and no `app`)")?,
            None => write!(f, "{target} has no `{wanted}`")?,
        }
        let Some(first) = found.first() else {
            return f.write_str(
                "\n  it defines nothing that could be one: a WSGI app is a callable of \
                 (environ, start_response)",
            );
        };
        write!(f, "\n  it defines: {}", found.join(", "))?;
        match first.split_once('(') {
            Some((name, arguments)) if arguments != ")" => {
                let arguments = arguments.trim_end_matches(')').replace(", ", "=..., ");
                write!(
                    f,
                    "\n  name it with values for its arguments: {target}:{name}({arguments}=...)"
                )
            }
            _ => write!(f, "\n  name one of them: {target}:{first}"),
        }
    }

    fn fmt_no_file(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NotFound {
            wanted,
            problem,
            near,
            folder,
            ..
        } = self
        else {
            return Ok(());
        };
        match problem {
            Some(problem) => write!(f, "cannot load {wanted}: {problem}")?,
            None => write!(f, "there is no file {wanted}")?,
        }
        if !std::path::Path::new(wanted).is_absolute() {
            write!(f, " (working directory: {folder})")?;
        }
        if near.is_empty() {
            return Ok(());
        }
        write!(f, "\n  there is: {}", near.join(", "))
    }

    fn fmt_no_module(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NotFound {
            wanted,
            missing,
            problem,
            folder,
            ..
        } = self
        else {
            return Ok(());
        };
        let absent = missing.as_ref().unwrap_or(wanted);
        write!(f, "there is no module {absent}")?;
        if absent != wanted {
            write!(f, ", so {wanted} cannot be imported")?;
        }
        match problem {
            Some(problem) => write!(f, "\n  {problem}"),
            None => write!(
                f,
                "\n  looked in the working directory {folder} and in sys.path; --chdir or \
                 --pythonpath adds a folder, --virtualenv the packages of a virtualenv"
            ),
        }
    }
}

impl std::error::Error for LoadFailure {}
