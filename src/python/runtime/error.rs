//! Why Python, or an interpreter of it, could not be started. Plain data, any thread.

use std::fmt;
use std::path::PathBuf;

/// Python, or an interpreter of it, could not be started. The text says what to do about it.
#[derive(Debug)]
pub enum RuntimeError {
    /// There is one Python in a process, and it is started once.
    AlreadyStarted,
    /// The virtualenv was made for another version of Python.
    VirtualenvVersion {
        /// The virtualenv.
        path: PathBuf,
        /// The version in its `pyvenv.cfg`.
        made_for: String,
        /// The version that we are linked with.
        running: String,
        /// Python has imported us.
        is_hosted: bool,
    },
    /// The virtualenv is of the same version, but of the build with or without a GIL.
    VirtualenvBuild {
        /// The virtualenv.
        path: PathBuf,
        /// `python3.14`
        made_for: String,
        /// `python3.14t`
        running: String,
    },
    /// The path is neither a virtualenv nor an installation.
    NoVirtualenv {
        /// The path that was given.
        path: PathBuf,
        /// Whether there is anything at that path.
        exists: bool,
    },
    /// There is a `pyvenv.cfg`, but no `python` beside it.
    BrokenVirtualenv {
        /// The virtualenv.
        path: PathBuf,
    },
    /// `tracemalloc` is on, which deadlocks or crashes subinterpreters.
    Tracemalloc,
    /// The option cannot be handed to C.
    Nul {
        /// Which option.
        option: &'static str,
    },
    /// CPython reported an error.
    Start {
        /// The operation that failed.
        doing: &'static str,
        /// CPython's message.
        message: String,
    },
    /// The isolation that was asked for does not work with this Python.
    Isolation {
        /// Why.
        why: &'static str,
    },
    /// The interpreter of this handle has ended, or is about to.
    Gone,
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyStarted => {
                f.write_str("Python is already running in this process; it cannot be started twice")
            }
            Self::VirtualenvVersion {
                path,
                made_for,
                running,
                is_hosted,
            } => {
                let path = path.display();
                write!(
                    f,
                    "the virtualenv {path} was made for Python {made_for}, but this singlemalt \
                     runs Python {running}: make it anew with `python{} -m venv {path}`, or ",
                    short(running),
                )?;
                match is_hosted {
                    true => write!(
                        f,
                        "install singlemalt into it ({path}/bin/python -m pip install singlemalt)"
                    ),
                    false => write!(
                        f,
                        "build singlemalt for the other one (PYO3_PYTHON={path}/bin/python)"
                    ),
                }
            }
            Self::VirtualenvBuild {
                path,
                made_for,
                running,
            } => write!(
                f,
                "the virtualenv {} was made with {made_for}, but this singlemalt runs {running}: \
                 the one without a GIL has other extensions. Make it anew with `{running} -m venv \
                 {}`, or build singlemalt for the other one (PYO3_PYTHON={}/bin/python)",
                path.display(),
                path.display(),
                path.display(),
            ),
            Self::NoVirtualenv {
                path,
                exists: false,
            } => {
                write!(
                    f,
                    "there is no virtualenv at {}: the path does not exist",
                    path.display()
                )
            }
            Self::NoVirtualenv { path, exists: true } => write!(
                f,
                "{} is not a virtualenv (it has no pyvenv.cfg): give its top folder, the one that \
                 holds bin/ and lib/, or make one with `python3 -m venv {}`",
                path.display(),
                path.display(),
            ),
            Self::BrokenVirtualenv { path } => write!(
                f,
                "the virtualenv {} has a pyvenv.cfg but no python (bin/python is missing, or points \
                 nowhere): make it anew with `python3 -m venv --clear {}`",
                path.display(),
                path.display(),
            ),
            Self::Tracemalloc => f.write_str(
                "tracemalloc is on (PYTHONTRACEMALLOC), which makes subinterpreters deadlock or \
                 crash: unset it, or call tracemalloc.start() in the app under --isolation main",
            ),
            Self::Nul { option } => write!(f, "{option} contains a NUL byte"),
            Self::Start { doing, message } => {
                write!(f, "Python could not start ({doing}): {message}")
            }
            Self::Isolation { why } => f.write_str(why),
            Self::Gone => f.write_str("the interpreter has ended"),
        }
    }
}

impl std::error::Error for RuntimeError {}

/// `3.13.0` -> `3.13`.
fn short(version: &str) -> &str {
    version
        .match_indices('.')
        .nth(1)
        .map_or(version, |(at, _)| &version[..at])
}
