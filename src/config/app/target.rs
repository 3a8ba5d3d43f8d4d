//! Which application is meant: bare names, `--wsgi-file`, `--module` and `--callable` become one
//! [`AppChoice`]. Pure; whether the file or module exists is found out when it is loaded.

use std::path::PathBuf;

use super::options;
use super::types::{AppChoice, AppTarget, Mount};
use crate::config::error::ConfigError;
use crate::config::python::options as python;
use crate::config::readers::language::logic::is_built_in_plugin;
use crate::config::readers::layers::{Raw, Setting};
use crate::config::table::row::OptionRow;

/// The application at the root. The strongest source decides, and files are one source; among
/// options of one source uWSGI's order does: it loads the module first, then finds the place taken.
/// What is passed over so is warned of; bare names have no order. In a file `app` is nothing to
/// uWSGI, and so the weakest.
pub(crate) fn choose(
    raw: &Raw,
    warnings: &mut Vec<String>,
) -> Result<Option<AppChoice>, ConfigError> {
    let mut named = named_applications(raw, warnings)?;
    let last_of_files = named
        .iter()
        .filter(|(setting, _)| setting.origin.is_file())
        .map(|(setting, _)| setting.origin.layer)
        .max();
    let strength = |setting: &Setting| match last_of_files {
        Some(layer) if setting.origin.is_file() => layer,
        _ => setting.origin.layer,
    };
    named.sort_by_key(|(setting, _)| strength(setting));
    let Some((setting, choice)) = named.pop() else {
        let has_another =
            !raw.all(&options::MOUNT).is_empty() || raw.last(&options::EVAL).is_some();
        return match raw.last(&options::CALLABLE) {
            Some(callable) if !has_another => Err(callable
                .error("says how the callable is called, but nothing says where it is")
                .hint("name a file or module too: singlemalt app.py --callable app")),
            _ => Ok(None),
        };
    };
    for (other, _) in named.iter().rev() {
        if strength(other) != strength(setting) {
            break;
        }
        if setting.name == options::APP.name {
            return Err(ConfigError::new(format!(
                "two applications are named: {} and {}",
                described(other),
                described(setting)
            ))
            .hint("leave one, or give one of them a place of its own: --mount /prefix=APP"));
        }
        warnings.push(format!(
            "{} is passed over, as in uWSGI: {} is the application; leave one",
            described(other),
            described(setting)
        ));
    }
    with_callable(raw, setting, choice, warnings).map(Some)
}

/// Every application that an option names. The last one here is loaded first in uWSGI.
fn named_applications<'r>(
    raw: &'r Raw,
    warnings: &mut Vec<String>,
) -> Result<Vec<(&'r Setting, AppChoice)>, ConfigError> {
    let mut named: Vec<(&Setting, AppChoice)> = Vec::new();
    let others = [&options::PASTE, &options::WSGI_FILE, &options::MODULE];
    let is_named = others.iter().any(|row| {
        let mut settings = raw.all(row).iter();
        settings.any(|setting| setting.origin.is_file())
    });
    for setting in raw.all(&options::PASTE) {
        named.push((setting, paste(&setting.text)));
    }
    for setting in raw.all(&options::WSGI_FILE) {
        named.push((setting, file(setting)?));
    }
    for setting in raw.all(&options::MODULE) {
        named.push((setting, module(setting)?));
    }
    for setting in raw.all(&options::APP) {
        if is_named && setting.origin.is_file() {
            warnings.push(format!(
                "{} is passed over: uWSGI has no such option, and another names the application",
                described(setting)
            ));
        } else {
            named.push((setting, bare(setting)?));
        }
    }
    Ok(named)
}

/// The application that `setting` named, with `callable` where it is as strong.
fn with_callable(
    raw: &Raw,
    setting: &Setting,
    mut choice: AppChoice,
    warnings: &mut Vec<String>,
) -> Result<AppChoice, ConfigError> {
    let Some(callable) = raw.last(&options::CALLABLE) else {
        return Ok(choice);
    };
    let text = callable_name(callable, &callable.text)?;
    match &choice.callable {
        Some(own)
            if *own != text
                && callable.origin.layer == setting.origin.layer
                && setting.name != options::MODULE.name =>
        {
            return Err(ConfigError::new(format!(
                "two callables are named: '{own}' by {} and '{text}' by {}",
                described(setting),
                callable.place()
            ))
            .hint("leave one"));
        }
        // What is behind the module's colon counts in uWSGI.
        Some(own) if *own != text && callable.origin.layer == setting.origin.layer => {
            warnings.push(format!(
                "{} is passed over, as in uWSGI: {} names the callable '{own}'; leave one",
                described(callable),
                described(setting)
            ));
        }
        Some(_) if callable.origin.layer < setting.origin.layer => {}
        None if matches!(choice.target, AppTarget::Paste(_)) => {}
        _ => choice.callable = Some(text),
    }
    Ok(choice)
}

/// A URI as PasteDeploy takes it; a bare path is a file.
fn paste(text: &str) -> AppChoice {
    let has_scheme = ["config:", "egg:", "call:"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    let uri = if has_scheme {
        text.to_owned()
    } else {
        format!("config:{text}")
    };
    AppChoice {
        target: AppTarget::Paste(uri),
        callable: None,
    }
}

/// Second names of modules and files: `NAME=MODULE`, `NAME=/path/file.py`.
pub(crate) fn aliases(raw: &Raw, row: &OptionRow) -> Result<Vec<(String, AppTarget)>, ConfigError> {
    let alias = |setting: &Setting| {
        let (name, text) =
            crate::config::values::value::pair(&setting.text).map_err(|why| setting.error(why))?;
        let target = if is_module(&text) && !text.ends_with(".py") {
            AppTarget::Module(text)
        } else {
            AppTarget::File(PathBuf::from(text))
        };
        if !is_module(&name) {
            return Err(setting.error(format_args!(
                "wants the name of a module in front of '=', got '{name}'"
            )));
        }
        Ok((name, target))
    };
    raw.all(row).iter().map(alias).collect()
}

/// What is called in applications that name no callable themselves: as in uWSGI it holds for mounts
/// and `--eval`, too.
pub(crate) fn callable(raw: &Raw) -> Result<Option<String>, ConfigError> {
    match raw.last(&options::CALLABLE) {
        Some(setting) => callable_name(setting, &setting.text).map(Some),
        None => Ok(None),
    }
}

/// The applications below URL prefixes: `/prefix=app.py`, `/prefix=pkg.module:app`,
/// `example.org/prefix=...`, and `example.org|/prefix=...` as old files write it.
pub(crate) fn mounts(raw: &Raw) -> Result<Vec<Mount>, ConfigError> {
    let mut mounts: Vec<Mount> = Vec::new();
    let default_callable = callable(raw)?;
    for setting in raw.all(&options::MOUNT) {
        let Some((place, target)) = setting
            .text
            .split_once('=')
            .filter(|(_, target)| !target.is_empty())
        else {
            return Err(setting
                .error(format_args!(
                    "wants PREFIX=APPLICATION, got '{}'",
                    setting.text
                ))
                .hint("write /prefix=app.py or /prefix=pkg.module:app"));
        };
        let (host, prefix) = match place.find(['/', '|']) {
            Some(0) if place.starts_with('/') => (None, place),
            Some(at) => (
                place.get(..at),
                place.get(at..).unwrap_or_default().trim_start_matches('|'),
            ),
            None => (Some(place), ""),
        };
        let prefix = prefix.trim_end_matches('/');
        let host = match host.filter(|host| !host.is_empty()) {
            Some(name) => Some(host_name(setting, name)?),
            None => None,
        };
        if !prefix.is_empty() && !prefix.starts_with('/') {
            return Err(setting.error(format_args!(
                "wants a prefix that begins with '/', got '{place}'"
            )));
        }
        if let Some(other) = mounts.iter().find(|m| m.prefix == prefix && m.host == host) {
            return Err(setting.error(format_args!(
                "wants '{place}', which {} has already",
                other.origin
            )));
        }
        let (name, callable) = split(target);
        // As in uWSGI `site.wsgi` is a file and `site.wsgi:app` a module; what neither is, the
        // loader finds out.
        let is_python_file =
            name.ends_with(".py") || (name.ends_with(".wsgi") && callable.is_none());
        let file = target.split('#').next().unwrap_or_default();
        let mut app = if file.ends_with(".ini") {
            paste(target)
        } else if is_module(name) && !is_python_file {
            choice(setting, AppTarget::Module(name.to_owned()), callable)?
        } else {
            let (path, callable) = match split(target) {
                (path, Some(callable)) if path.ends_with(".py") || path.ends_with(".wsgi") => {
                    (path, Some(callable))
                }
                _ => (target, None),
            };
            choice(setting, AppTarget::File(PathBuf::from(path)), callable)?
        };
        let is_paste = matches!(app.target, AppTarget::Paste(_));
        if app.callable.is_none() && !is_paste {
            app.callable.clone_from(&default_callable);
        }
        let origin = setting.place();
        mounts.push(Mount {
            host,
            prefix: prefix.to_owned(),
            app,
            origin,
        });
    }
    Ok(mounts)
}

/// The host of a mount: a name, an address in brackets, or `*.` and a name. Requests are matched
/// without their port.
fn host_name(setting: &Setting, text: &str) -> Result<String, ConfigError> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_address = name.starts_with('[') && name.ends_with(']');
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if is_address || (!name.is_empty() && name.chars().all(is_name)) {
        return Ok(text.to_ascii_lowercase());
    }
    let error = setting.error(format_args!("wants the name of a host, got '{text}'"));
    Err(match name.split_once(':') {
        Some((host, _)) if !name.starts_with('[') => error.hint(format!(
            "a mount holds for every port of its host: write {host}"
        )),
        _ => error.hint("write example.org, or *.example.org for all hosts below it"),
    })
}

/// Modules and files to import: as in uWSGI both are taken.
pub(crate) fn imports(raw: &Raw, row: &OptionRow) -> Result<Vec<AppTarget>, ConfigError> {
    let import = |setting: &Setting| {
        let text = setting.text.as_str();
        if is_module(text) && !text.ends_with(".py") {
            Ok(AppTarget::Module(text.to_owned()))
        } else if is_file(text) {
            Ok(AppTarget::File(PathBuf::from(text)))
        } else {
            Err(setting.error(format_args!(
                "wants a module or a Python file, got '{text}'"
            )))
        }
    };
    raw.all(row).iter().map(import).collect()
}

/// The plugins that an option names. `0:python` names a slot too, and Debian's files are named by
/// their path: `/usr/lib/uwsgi/plugins/python3_plugin.so` is `python3`.
pub(crate) fn plugin_names(text: &str) -> impl Iterator<Item = &str> {
    let names = text.split([',', ' ']).filter(|name| !name.is_empty());
    names.map(|name| {
        let slot = name.split_once(':').filter(|(slot, _)| {
            // A drive of Windows is a letter.
            slot.bytes().all(|byte| byte.is_ascii_digit())
        });
        let name = slot.map_or(name, |(_, name)| name);
        let file = name.rsplit('/').next().unwrap_or(name);
        let base = file.strip_suffix(".so").unwrap_or(file);
        let base = base.strip_suffix("_plugin").unwrap_or(base);
        if is_built_in_plugin(base) { base } else { name }
    })
}

pub(crate) fn plugins(raw: &Raw) -> Vec<PathBuf> {
    let settings = raw.all(&python::PLUGIN).iter();
    settings
        .flat_map(|setting| plugin_names(&setting.text))
        .filter(|name| name.ends_with(".py"))
        .map(PathBuf::from)
        .collect()
}

/// A bare name is its own spelling: `app.py (command line)`, but `--module x (command line)`.
fn described(setting: &Setting) -> String {
    if setting.spelled == setting.text {
        setting.place()
    } else {
        format!("{} {} ({})", setting.spelled, setting.text, setting.origin)
    }
}

fn bare(setting: &Setting) -> Result<AppChoice, ConfigError> {
    let (target, callable) = split(&setting.text);
    if is_file(target) {
        return choice(setting, AppTarget::File(PathBuf::from(target)), callable);
    }
    if is_module(target) {
        return choice(setting, AppTarget::Module(target.to_owned()), callable);
    }
    Err(ConfigError::new(format!(
        "'{}' is neither a Python file (app.py) nor a module (pkg.module:app) ({})",
        setting.text, setting.origin
    ))
    .hint(
        "a file that does not end in .py is given with --wsgi-file, or with its directory: ./app",
    ))
}

fn file(setting: &Setting) -> Result<AppChoice, ConfigError> {
    // Only behind an ending that leaves no doubt: a path may hold a colon.
    let (path, callable) = match split(&setting.text) {
        (path, Some(callable)) if path.ends_with(".py") || path.ends_with(".wsgi") => {
            (path, Some(callable))
        }
        _ => (setting.text.as_str(), None),
    };
    if path.is_empty() || path.contains('\0') {
        return Err(setting.error(format_args!("wants a path, got '{path}'")));
    }
    choice(setting, AppTarget::File(PathBuf::from(path)), callable)
}

fn module(setting: &Setting) -> Result<AppChoice, ConfigError> {
    let (name, callable) = split(&setting.text);
    if !is_module(name) {
        let error = setting.error(format_args!(
            "wants a module such as pkg.module, got '{name}'"
        ));
        return Err(if is_file(name) {
            error.hint(format!("a file is given with --wsgi-file {name}"))
        } else {
            error
        });
    }
    choice(setting, AppTarget::Module(name.to_owned()), callable)
}

fn choice(
    setting: &Setting,
    target: AppTarget,
    callable: Option<&str>,
) -> Result<AppChoice, ConfigError> {
    let callable = match callable {
        Some(text) => Some(callable_name(setting, text)?),
        None => None,
    };
    Ok(AppChoice { target, callable })
}

/// At the first colon that is not a Windows drive's.
fn split(text: &str) -> (&str, Option<&str>) {
    let drive = matches!(
        text.as_bytes(),
        [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic()
    );
    let from = if drive { 2 } else { 0 };
    match text[from..].find(':') {
        Some(at) => (&text[..from + at], Some(&text[from + at + 1..])),
        None => (text, None),
    }
}

fn is_file(text: &str) -> bool {
    !text.contains('\0') && (text.ends_with(".py") || text.contains(['/', '\\']))
}

fn is_module(text: &str) -> bool {
    text.split('.').all(is_identifier)
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// A name (`app`, `site.app`) or a call of one (`create_app()`, `create_app('x')`). What stands in
/// the parentheses is Python's business.
fn callable_name(setting: &Setting, text: &str) -> Result<String, ConfigError> {
    let name = match text.split_once('(') {
        Some((name, rest)) if rest.ends_with(')') => name,
        Some(_) => "",
        None => text,
    };
    if is_module(name) && !text.contains('\0') {
        return Ok(text.to_owned());
    }
    Err(ConfigError::new(format!(
        "'{text}' is not the name of a callable, nor a call of one ({})",
        described(setting)
    ))
    .hint("write app, or create_app() for a function that returns the application"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::readers::command_line;
    use crate::config::readers::layers::Stack;

    #[track_caller]
    fn check(line: &[&str], expected: &str) {
        let arguments: Vec<String> = line.iter().map(|text| (*text).to_owned()).collect();
        let layer = command_line::read(&arguments).unwrap();
        let raw = Stack::new().on_top(layer).settle().unwrap();
        let mut warnings = Vec::new();
        let mut shown = match choose(&raw, &mut warnings) {
            Ok(None) => "none".to_owned(),
            Ok(Some(choice)) => match choice.target {
                AppTarget::File(_) => format!("file {choice}"),
                AppTarget::Module(_) => format!("module {choice}"),
                AppTarget::Paste(_) => format!("paste {choice}"),
            },
            Err(error) => format!("error: {}", error.message()),
        };
        for warning in warnings {
            shown.push_str(&format!("; {warning}"));
        }
        assert_eq!(shown, expected, "{line:?}");
    }

    #[test]
    fn every_way_to_name_an_application() {
        check(&[], "none");
        check(&["app.py"], "file app.py");
        check(&["app.py:app"], "file app.py:app");
        check(&["app.py:create_app()"], "file app.py:create_app()");
        check(
            &["app.py:create_app('a:b')"],
            "file app.py:create_app('a:b')",
        );
        check(&["./app"], "file ./app");
        check(&["./site.wsgi:app"], "file ./site.wsgi:app");
        check(&[r"C:\site\app.py:app"], r"file C:\site\app.py:app");
        check(&["pkg.module:app"], "module pkg.module:app");
        check(&["pkg.module"], "module pkg.module");
        check(&["proj.wsgi"], "module proj.wsgi");
        check(&["--module", "myapp"], "module myapp");
        check(&["--wsgi", "myapp:make()"], "module myapp:make()");
        check(&["-w", "myapp", "--callable", "app"], "module myapp:app");
        check(
            &["--wsgi-file", "app.py", "--callable", "app"],
            "file app.py:app",
        );
        check(&["--file", "app.py:app"], "file app.py:app");
        check(&["--file", "a:b"], "file a:b");
        check(&["--module", "m:app", "--callable", "app"], "module m:app");
        check(&["--paste", "egg:site"], "paste egg:site");
        check(&["--paste", "a.ini#b"], "paste config:a.ini#b");
    }

    #[test]
    fn uwsgis_order_decides_between_options() {
        check(
            &["--module", "b", "--wsgi-file", "a.py"],
            "module b; --wsgi-file a.py (command line) is passed over, as in uWSGI: --module b \
             (command line) is the application; \
             leave one",
        );
        check(
            &["--paste", "egg:site", "--wsgi-file", "a.py"],
            "file a.py; --paste egg:site (command line) is passed over, as in uWSGI: --wsgi-file \
             a.py (command line) is the \
             application; leave one",
        );
        check(&["--module", "a", "--module", "b"], "module b");
    }

    #[test]
    fn what_cannot_be_meant() {
        check(
            &["my-app"],
            "error: 'my-app' is neither a Python file (app.py) nor a module (pkg.module:app) \
             (command line)",
        );
        check(
            &["a.py", "b.py"],
            "error: two applications are named: a.py (command line) and b.py (command line)",
        );
        check(
            &["--wsgi-file", "a.py", "b.py"],
            "error: two applications are named: --wsgi-file a.py (command line) and b.py (command \
             line)",
        );
        check(
            &["a.py:x", "--callable", "y"],
            "error: two callables are named: 'x' by a.py:x (command line) and 'y' by --callable \
             (command line)",
        );
        check(
            &["--callable", "y"],
            "error: --callable says how the callable is called, but nothing says where it is \
             (command line)",
        );
        check(
            &["--module", "site/app.py"],
            "error: --module wants a module such as pkg.module, got 'site/app.py' (command line)",
        );
        check(
            &["app.py:"],
            "error: '' is not the name of a callable, nor a call of one (app.py: (command line))",
        );
        check(
            &["app.py:create_app("],
            "error: 'create_app(' is not the name of a callable, nor a call of one \
             (app.py:create_app( (command line))",
        );
        check(
            &["--file", ""],
            "error: --file wants a path, got '' (command line)",
        );
    }
}
