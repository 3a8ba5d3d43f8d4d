//! Loading the app: what came of it, or why it failed in words that name the way out. The searching
//! is load.py's. Runs on the creator of an interpreter, attached.

use std::borrow::Cow;
use std::ffi::CStr;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::bootstrap;
use super::failure;
use super::interpreter::Isolation;
use super::object::{Object, Raised};
use super::target::{AppTarget, TargetKind};
use super::thread_state::Attached;
use super::uwsgi;

/// An app that is ready to be called.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The file or module.
    pub name: String,
    /// What in it is called: `application`, `create_app()`.
    pub callable: String,
    /// A remark for the start-up report.
    pub note: Option<String>,
    /// From the first import to the callable.
    pub elapsed: Duration,
    /// Extension modules that refused this interpreter and were done without: their packages run on
    /// pure Python, slower.
    pub refused: Vec<RefusedExtension>,
}

/// An extension module that refused to be loaded into a subinterpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedExtension {
    /// Its name: `google._upb._message`.
    pub module: String,
    /// The module that imported it; empty if nobody can tell.
    pub importer: String,
    /// What it said.
    pub reason: String,
    /// Whether the .py beside it was loaded in its place.
    pub replaced_by_twin: bool,
}

/// Why there is no app. `Display` is what a person reads.
#[derive(Debug, Clone)]
pub enum LoadFailure {
    /// An extension module refuses subinterpreters; the app needs the main interpreter.
    ExtensionRefused {
        /// The extension module.
        module: String,
        /// Who imported it.
        importer: Option<String>,
        /// What to `pip install` it by, with its version.
        distribution: Option<String>,
        /// What it said.
        reason: String,
        /// The isolation that was tried.
        isolation: Isolation,
        /// The traceback, trimmed to the user's frames.
        traceback: String,
    },
    /// The module is there; what should be called is not.
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
    /// The callable is no name and no call with literal arguments.
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
    /// What happened, without the way out: for a report that has found one already.
    #[must_use]
    pub fn reason(&self) -> String {
        let Self::ExtensionRefused {
            module,
            importer,
            distribution,
            reason,
            ..
        } = self
        else {
            return self.to_string();
        };
        let of = distribution
            .as_ref()
            .map_or(String::new(), |name| format!(" (of {name})"));
        let by = importer
            .as_ref()
            .map_or(String::new(), |name| format!(", imported by {name},"));
        format!(
            "the extension module {module}{of}{by} refuses to be loaded into a subinterpreter: {reason}"
        )
    }
}

impl fmt::Display for LoadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExtensionRefused { isolation, .. } => write!(
                f,
                "{}\n  --isolation {} cannot run this app; --isolation main can (one interpreter, any number of threads), and \
                 --isolation auto picks it by itself",
                self.reason(),
                isolation.word()
            ),
            Self::NoCallable {
                target,
                wanted,
                by_default,
                problem,
                found,
            } => {
                match problem {
                    Some(problem) => write!(f, "{target}: {problem}")?,
                    None if *by_default => {
                        write!(f, "{target} has no `application` (and no `app`)")?
                    }
                    None => write!(f, "{target} has no `{wanted}`")?,
                }
                match found.first() {
                    None => f.write_str(
                        "\n  it defines nothing that could be one: a WSGI app is a callable of (environ, start_response)",
                    ),
                    Some(first) => {
                        write!(f, "\n  it defines: {}", found.join(", "))?;
                        match first.split_once('(') {
                            Some((name, arguments)) if arguments != ")" => {
                                let arguments = arguments.trim_end_matches(')').replace(", ", "=..., ");
                                write!(f, "\n  name it with values for its arguments: {target}:{name}({arguments}=...)")
                            }
                            _ => write!(f, "\n  name one of them: {target}:{first}"),
                        }
                    }
                }
            }
            Self::NotFound {
                wanted,
                is_file: true,
                problem,
                near,
                folder,
                ..
            } => {
                match problem {
                    Some(problem) => write!(f, "cannot load {wanted}: {problem}")?,
                    None => write!(f, "there is no file {wanted}")?,
                }
                if !std::path::Path::new(wanted).is_absolute() {
                    write!(f, " (working directory: {folder})")?;
                }
                if near.is_empty() {
                    Ok(())
                } else {
                    write!(f, "\n  there is: {}", near.join(", "))
                }
            }
            Self::NotFound {
                wanted,
                missing,
                problem,
                folder,
                ..
            } => {
                write!(
                    f,
                    "there is no module {}",
                    missing.as_deref().unwrap_or(wanted)
                )?;
                if missing.as_ref().is_some_and(|missing| missing != wanted) {
                    write!(f, ", so {wanted} cannot be imported")?;
                }
                match problem {
                    Some(problem) => write!(f, "\n  {problem}"),
                    None => write!(
                        f,
                        "\n  looked in the working directory {folder} and in sys.path; --chdir or --pythonpath adds a folder, \
                         --virtualenv the packages of a virtualenv"
                    ),
                }
            }
            Self::BadExpression { expression } => write!(
                f,
                "`{expression}` is not something that can be called: give a name (app, site.app) or a call with literal \
                 arguments (create_app(), create_app(\"production\", debug=False))"
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

impl std::error::Error for LoadFailure {}

/// Loads `target` into the attached interpreter and keeps its callable there, by its number and its
/// mountpoint.
pub(super) fn load(
    attached: &mut Attached<'_>,
    place: (usize, &str),
    target: &AppTarget,
) -> Result<Loaded, LoadFailure> {
    let started = Instant::now();
    let token = attached.token;
    let outcome =
        ask(attached, target).and_then(|answer| read(attached, &answer, (place, target), started));
    outcome.unwrap_or_else(|Raised| {
        Err(LoadFailure::Internal {
            message: failure::start_error(token).to_string(),
        })
    })
}

/// Imports a module or runs a file, and does nothing with it.
pub(super) fn import(attached: &mut Attached<'_>, target: &TargetKind) -> Result<(), LoadFailure> {
    let token = attached.token;
    let target = AppTarget {
        kind: target.clone(),
        callable: None,
    };
    let mut ask = || {
        let (kind, text) = described(&target.kind);
        let kind = Object::text(token, kind)?;
        let text = Object::text(token, &text)?;
        let isolated = isolated(attached)?;
        let answer = bootstrap::find(&bootstrap::namespace(token)?, c"import_only")?
            .call([&kind, &text, &isolated])?;
        if answer.element(0)?.to_text() == "imported" {
            return Ok(Ok(()));
        }
        let read = read(attached, &answer, ((0, ""), &target), Instant::now())?;
        Ok(read.map(drop))
    };
    ask().unwrap_or_else(|Raised| {
        Err(LoadFailure::Internal {
            message: failure::start_error(token).to_string(),
        })
    })
}

/// Runs a script to its end; its exit code.
pub(super) fn run_script(attached: &mut Attached<'_>, path: &Path) -> i32 {
    let token = attached.token;
    let code = Object::text(token, &path.to_string_lossy())
        .and_then(|path| {
            bootstrap::find(&bootstrap::namespace(token)?, c"run_script")?.call([&path])
        })
        .and_then(|code| code.to_u64());
    match code {
        Ok(code) => i32::try_from(code).unwrap_or(1),
        Err(Raised) => {
            tracing::error!("{}", failure::start_error(token));
            1
        }
    }
}

/// Whether the attached interpreter is one that extension modules may refuse.
fn isolated<'py>(attached: &Attached<'py>) -> Result<Object<'py>, Raised> {
    let is_isolated = attached.interpreter.spec.isolation != Isolation::Main;
    Object::boolean(attached.token, is_isolated)
}

fn ask<'py>(attached: &mut Attached<'py>, target: &AppTarget) -> Result<Object<'py>, Raised> {
    let token = attached.token;
    let is_first = !std::mem::replace(&mut attached.caches.has_loaded, true);
    if is_first {
        bootstrap::begin_apps(token, attached.interpreter)?;
    }
    let (kind, text) = described(&target.kind);
    let kind = Object::text(token, kind)?;
    let text = Object::text(token, &text)?;
    let mut imports = Vec::new();
    let spec = &attached.interpreter.spec;
    let kind_of_plugin = if !spec.plugins.is_empty() && spec.host.0.is_first() {
        "plugin"
    } else {
        "file"
    };
    for plugin in &spec.plugins {
        imports.extend([
            Cow::Borrowed(kind_of_plugin),
            plugin.to_string_lossy(),
            Cow::Borrowed(""),
        ]);
    }
    for import in &attached.interpreter.spec.imports {
        let (kind, text) = described(&import.target);
        let alias = import.alias.as_deref().unwrap_or_default();
        imports.extend([Cow::Borrowed(kind), text, Cow::Borrowed(alias)]);
    }
    // Once in an interpreter, before its first app.
    let imports = if is_first {
        Object::list_of_text(token, &imports)?
    } else {
        Object::none(token)
    };
    let expression = match &target.callable {
        Some(expression) => Object::text(token, expression)?,
        None => Object::none(token),
    };
    let isolated = isolated(attached)?;
    bootstrap::find(&bootstrap::namespace(token)?, c"load")?.call([
        &kind,
        &text,
        &expression,
        &isolated,
        &imports,
    ])
}

/// A target as load.py takes it.
fn described(target: &TargetKind) -> (&'static str, Cow<'_, str>) {
    match target {
        TargetKind::File(path) => ("file", path.to_string_lossy()),
        TargetKind::Module(name) => ("module", Cow::Borrowed(name)),
        TargetKind::Paste { uri, logged: false } => ("paste", Cow::Borrowed(uri)),
        TargetKind::Paste { uri, logged: true } => ("paste logged", Cow::Borrowed(uri)),
        TargetKind::Code(code) => ("code", Cow::Borrowed(code)),
    }
}

/// The facts of load.py's answer.
struct Facts<'py>(Object<'py>);

impl Facts<'_> {
    fn text(&self, name: &CStr) -> Result<Option<String>, Raised> {
        Ok(self
            .0
            .item(name)?
            .filter(|value| !value.is_none())
            .map(|value| value.to_text()))
    }

    fn required(&self, name: &CStr) -> Result<String, Raised> {
        Ok(self.text(name)?.unwrap_or_default())
    }

    fn texts(&self, name: &CStr) -> Result<Vec<String>, Raised> {
        self.0
            .item(name)?
            .map_or(Ok(Vec::new()), |value| value.to_texts())
    }
}

fn read(
    attached: &mut Attached<'_>,
    answer: &Object<'_>,
    (place, target): ((usize, &str), &AppTarget),
    started: Instant,
) -> Result<Result<Loaded, LoadFailure>, Raised> {
    let kind = answer.element(0)?.to_text();
    let facts = Facts(answer.element(1)?);
    let failure = match kind.as_str() {
        "loaded" => {
            let app = answer.element(2)?;
            let (at, mountpoint) = place;
            bootstrap::keep_app(attached.interpreter, at, &app)?;
            uwsgi::note_application(mountpoint, &app)?;
            attached.caches.set_app(at, app);
            let twins = facts.texts(c"twins")?;
            let refused = facts.texts(c"refused")?;
            let refused = refused.chunks_exact(3).map(|entry| RefusedExtension {
                module: entry[0].clone(),
                importer: entry[1].clone(),
                reason: entry[2].clone(),
                replaced_by_twin: twins.contains(&entry[0]),
            });
            return Ok(Ok(Loaded {
                name: facts.required(c"name")?,
                callable: facts.required(c"callable")?,
                note: facts.text(c"note")?,
                elapsed: started.elapsed(),
                refused: refused.collect(),
            }));
        }
        "refused" => LoadFailure::ExtensionRefused {
            module: facts.required(c"module")?,
            importer: facts.text(c"importer")?,
            distribution: facts.text(c"distribution")?,
            reason: facts.required(c"reason")?,
            isolation: attached.interpreter.spec.isolation,
            traceback: facts.required(c"traceback")?,
        },
        "no_callable" => LoadFailure::NoCallable {
            target: facts.required(c"where")?,
            wanted: facts.required(c"wanted")?,
            by_default: target.callable.is_none(),
            problem: facts.text(c"problem")?,
            found: facts.texts(c"found")?,
        },
        "not_found" => LoadFailure::NotFound {
            wanted: facts.required(c"wanted")?,
            is_file: facts.text(c"is_file")?.is_some(),
            missing: facts.text(c"missing")?,
            problem: facts.text(c"problem")?,
            near: facts.texts(c"near")?,
            folder: facts.required(c"folder")?,
        },
        "expression" => LoadFailure::BadExpression {
            expression: facts.required(c"expression")?,
        },
        "raised" => LoadFailure::Raised {
            target: target.to_string(),
            exception: facts.required(c"exception")?,
            traceback: facts.required(c"traceback")?,
            hint: facts.text(c"hint")?,
        },
        other => LoadFailure::Internal {
            message: format!("an unknown answer `{other}`"),
        },
    };
    Ok(Err(failure))
}
