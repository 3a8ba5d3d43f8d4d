//! Loads the app; load.py searches for it. Runs on the creator of an interpreter, attached.

use std::borrow::Cow;
use std::ffi::CStr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::attached::Attached;
use super::bootstrap;
use super::failure;
use super::fork;
use super::interpreter::Isolation;
use super::load_failure::LoadFailure;
use super::namespace;
use super::object::{Object, Raised, Token};
use super::refusal::RefusedExtension;
use super::target::{AppTarget, TargetKind};
use super::uwsgi::module;

/// An app that is ready to be called.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The file or module.
    pub name: String,
    /// The callable: `application`, `create_app()`.
    pub callable: String,
    /// A remark for the start-up report.
    pub note: Option<String>,
    /// From the first import to the callable.
    pub elapsed: Duration,
    /// Extension modules that refused this interpreter without failing the app.
    pub refused: Vec<RefusedExtension>,
}

/// Loads `target` into the attached interpreter and keeps its callable there, by its number `at`
/// and its mountpoint.
pub(super) fn load(
    attached: &mut Attached<'_>,
    at: usize,
    mountpoint: &str,
    target: &AppTarget,
) -> Result<Loaded, LoadFailure> {
    let started = Instant::now();
    let token = attached.token;
    let before = attached.interpreter.refused().len();
    let mut load = || {
        let (kind, text) = described(&target.kind);
        let answer = ask(attached, kind, &text, target.callable.as_deref())?;
        bootstrap::judge_refusals(token, attached.interpreter);
        let refused = attached.interpreter.refused().split_off(before);
        let facts = Facts(answer.element(1)?);
        match answer.element(0)?.to_text().as_str() {
            "loaded" => {
                let app = answer.element(2)?;
                namespace::keep_app(attached.interpreter, at, &app)?;
                module::note_application(mountpoint, &app)?;
                attached.caches.set_app(at, app);
                loaded(&facts, started, refused).map(Ok)
            }
            kind => failure_of(attached, kind, &facts, target, refused).map(Err),
        }
    };
    load().unwrap_or_else(|Raised| Err(internal(token)))
}

/// Imports what the settings of the interpreter name, for a server without an app.
pub(super) fn load_imports(attached: &mut Attached<'_>) -> Result<(), LoadFailure> {
    let token = attached.token;
    let nothing = AppTarget {
        kind: TargetKind::Code(String::new()),
        callable: None,
    };
    let mut load = || {
        let answer = ask(attached, "nothing", "", None)?;
        bootstrap::judge_refusals(token, attached.interpreter);
        let refused = attached.interpreter.refused();
        match answer.element(0)?.to_text().as_str() {
            "imported" => Ok(Ok(())),
            kind => {
                let facts = Facts(answer.element(1)?);
                failure_of(attached, kind, &facts, &nothing, refused).map(Err)
            }
        }
    };
    load().unwrap_or_else(|Raised| Err(internal(token)))
}

/// Imports a module or runs a file, and does nothing with it.
pub(super) fn import(attached: &mut Attached<'_>, target: &TargetKind) -> Result<(), LoadFailure> {
    let token = attached.token;
    let target = AppTarget {
        kind: target.clone(),
        callable: None,
    };
    let import = || {
        let (kind, text) = described(&target.kind);
        let kind = Object::text(token, kind)?;
        let text = Object::text(token, &text)?;
        let isolated = isolated(attached)?;
        let answer = namespace::find(&namespace::namespace(token)?, c"import_only")?
            .call([&kind, &text, &isolated])?;
        bootstrap::judge_refusals(token, attached.interpreter);
        let refused = attached.interpreter.refused();
        match answer.element(0)?.to_text().as_str() {
            "imported" => Ok(Ok(())),
            kind => {
                failure_of(attached, kind, &Facts(answer.element(1)?), &target, refused).map(Err)
            }
        }
    };
    import().unwrap_or_else(|Raised| Err(internal(token)))
}

/// The loader itself failed: the exception that is set says how.
fn internal(token: Token<'_>) -> LoadFailure {
    LoadFailure::Internal {
        message: failure::start_error(token).to_string(),
    }
}

/// Runs a script to its end; its exit code.
pub(super) fn run_script(attached: &mut Attached<'_>, path: &Path) -> i32 {
    let token = attached.token;
    let code = Object::text(token, &path.to_string_lossy())
        .and_then(|path| {
            namespace::find(&namespace::namespace(token)?, c"run_script")?.call([&path])
        })
        .and_then(|code| code.to_u64());
    let code = match code {
        Ok(code) => i32::try_from(code).unwrap_or(1),
        Err(Raised) => {
            tracing::error!("{}", failure::start_error(token));
            1
        }
    };
    if fork::is_child() {
        fork::leave_with(code);
    }
    code
}

/// Whether extension modules may refuse the attached interpreter.
fn isolated<'py>(attached: &Attached<'py>) -> Result<Object<'py>, Raised> {
    let is_isolated = attached.interpreter.spec.isolation != Isolation::Main;
    Object::boolean(attached.token, is_isolated)
}

fn ask<'py>(
    attached: &mut Attached<'py>,
    kind: &str,
    text: &str,
    callable: Option<&str>,
) -> Result<Object<'py>, Raised> {
    let token = attached.token;
    let is_first = !std::mem::replace(&mut attached.caches.has_loaded, true);
    if is_first {
        namespace::begin_apps(token, attached.interpreter)?;
    }
    let kind = Object::text(token, kind)?;
    let text = Object::text(token, text)?;
    let mut imports = Vec::new();
    let spec = &attached.interpreter.spec;
    let kind_of_plugin = if !spec.plugins.is_empty() && spec.backend.0.is_first() {
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
    let expression = match callable {
        Some(expression) => Object::text(token, expression)?,
        None => Object::none(token),
    };
    let isolated = isolated(attached)?;
    namespace::find(&namespace::namespace(token)?, c"load")?.call([
        &kind,
        &text,
        &expression,
        &isolated,
        &imports,
    ])
}

fn described(target: &TargetKind) -> (&'static str, Cow<'_, str>) {
    match target {
        TargetKind::File(path) => ("file", path.to_string_lossy()),
        TargetKind::Module(name) => ("module", Cow::Borrowed(name)),
        TargetKind::Paste { uri, logged: false } => ("paste", Cow::Borrowed(uri)),
        TargetKind::Paste { uri, logged: true } => ("paste logged", Cow::Borrowed(uri)),
        TargetKind::Code(code) => ("code", Cow::Borrowed(code)),
    }
}

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

fn loaded(
    facts: &Facts<'_>,
    started: Instant,
    refused: Vec<RefusedExtension>,
) -> Result<Loaded, Raised> {
    Ok(Loaded {
        name: facts.required(c"name")?,
        callable: facts.required(c"callable")?,
        note: facts.text(c"note")?,
        elapsed: started.elapsed(),
        refused,
    })
}

/// The extension that load.py blames, and the others that the app may miss.
fn behind_failure(
    facts: &Facts<'_>,
    mut refused: Vec<RefusedExtension>,
) -> Result<Vec<RefusedExtension>, Raised> {
    let module = facts.required(c"module")?;
    refused.retain(|one| one.is_missed() || one.module == module);
    if !refused.iter().any(|one| one.module == module) {
        refused.push(RefusedExtension {
            module,
            importer: facts.required(c"importer")?,
            reason: facts.required(c"reason")?,
            ..RefusedExtension::default()
        });
    }
    Ok(refused)
}

/// The failure that load.py's answer of this `kind` describes.
fn failure_of(
    attached: &Attached<'_>,
    kind: &str,
    facts: &Facts<'_>,
    target: &AppTarget,
    refused: Vec<RefusedExtension>,
) -> Result<LoadFailure, Raised> {
    Ok(match kind {
        "refused" => LoadFailure::ExtensionsRefused {
            refused: behind_failure(facts, refused)?,
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
    })
}
