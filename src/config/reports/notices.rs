//! Options that were written and do nothing in this version: nothing is passed over in silence.
//!
//! Class A and what comes later is grouped into a line each; class X gets a line of its own, and
//! ends the start under `--strict`. What would be unsafe or useless to run without always does.

use super::suggestion;
use crate::config::app::target;
use crate::config::error::ConfigError;
use crate::config::python::options as python;
use crate::config::readers::language::entries::Unknown;
use crate::config::readers::language::logic::{is_built_in_plugin, is_there};
use crate::config::readers::layers::{Raw, Setting};
use crate::config::table::row::{Class, Kind, OptionRow, Ready};
use crate::config::values::value;

#[derive(Debug, Default)]
pub(crate) struct Notices {
    pub(crate) warnings: Vec<String>,
    pub(crate) remarks: Vec<String>,
}

/// Looks at every option that was written, and at the keys of files that are no options.
pub(crate) fn collect(
    raw: &Raw,
    unknown: &[Unknown],
    strict: bool,
) -> Result<Notices, ConfigError> {
    let mut notices = Notices::default();
    about_unknown(unknown, strict, &mut notices)?;
    let mut accepted = Vec::new();
    let mut later = Vec::new();
    plugins(raw, strict, &mut notices)?;
    for (row, settings) in raw.written() {
        let Some(setting) = settings.last().filter(|setting| !is_off(row, setting)) else {
            continue;
        };
        match (row.class, row.ready) {
            (Class::Accepted(why), _) => {
                // Of options that have an effect their readers tell.
                if row.kind == Kind::Flag
                    && let Some(trap) = value::flag(&setting.text).warning
                {
                    let (spelled, text, origin) =
                        (&setting.spelled, &setting.text, &setting.origin);
                    notices
                        .warnings
                        .push(format!("{spelled} '{text}' {trap} ({origin})"));
                }
                accepted.push(format!("{} ({why})", spellings(settings)));
            }
            (Class::Unsupported(why), Ready::LaterAndEssential(instead)) => {
                return Err(setting
                    .error(format_args!("is not supported: {why}"))
                    .hint(instead.to_owned()));
            }
            (Class::Unsupported(why), _) if strict => {
                return Err(setting
                    .error(format_args!("is not supported: {why}"))
                    .hint("leave it out, or leave out --strict to start without it"));
            }
            (Class::Unsupported(why), _) => notices
                .warnings
                .push(format!("NOT SUPPORTED: {} ({why})", spellings(settings))),
            // A bare name, such as site.yaml: the file is there, the reader is not.
            (_, Ready::LaterAndEssential(instead)) if setting.spelled == setting.text => {
                return Err(setting.error(format_args!("cannot be read: {instead}")));
            }
            (_, Ready::LaterAndEssential(instead)) => {
                return Err(setting
                    .error("is not yet in this version")
                    .hint(instead.to_owned()));
            }
            (_, Ready::Later) if strict => {
                return Err(setting
                    .error("is not yet in this version")
                    .hint("leave it out, or leave out --strict to start without it"));
            }
            (_, Ready::Later) => later.push(spellings(settings)),
            (_, Ready::Now) => {}
        }
    }
    if !later.is_empty() {
        notices.warnings.push(format!(
            "not yet in this version, and so without effect: {}",
            later.join(", ")
        ));
    }
    if !accepted.is_empty() {
        notices
            .remarks
            .push(format!("accepted, nothing to do: {}", accepted.join("; ")));
    }
    Ok(notices)
}

/// What uWSGI's plugins of these names do is built in, or named by its options; other plugins and
/// files are not.
fn plugins(raw: &Raw, strict: bool, notices: &mut Notices) -> Result<(), ConfigError> {
    for setting in raw.all(&python::PLUGIN) {
        for name in target::plugin_names(&setting.text) {
            if name.ends_with(".py") {
                continue;
            }
            let is_needed = setting.name.starts_with("need-");
            if is_needed && !is_there(name) && !name.contains(['/', '\\']) {
                return Err(setting
                    .error(format_args!("needs the plugin {name}, and there is none"))
                    .hint(
                        "leave it out, or write plugin instead of need-plugin to start without it",
                    ));
            }
            if is_there(name) {
                notices.remarks.push(format!(
                    "accepted, nothing to do: the plugin {name} ({})",
                    setting.place()
                ));
                continue;
            }
            if name.contains(['/', '\\']) || name.ends_with(".so") {
                return Err(setting
                    .error(format_args!(
                        "names {name}, a plugin of uWSGI in C, which cannot be loaded"
                    ))
                    .hint(
                        "leave it out: python, http and signal are built in; your own can be a \
                         Python file with init(): \
                         --plugin ./plugin.py",
                    ));
            }
            let why = without(name);
            if strict {
                return Err(setting
                    .error(format_args!("names the plugin {name}: {why}"))
                    .hint("leave it out, or leave out --strict to start without it"));
            }
            notices
                .warnings
                .push(format!("the plugin {name}: {why} ({})", setting.place()));
        }
    }
    Ok(())
}

/// Why nothing is loaded for a plugin whose work is not done here.
pub(super) fn without(name: &str) -> &'static str {
    if name.starts_with("python") && is_built_in_plugin(name) {
        "there is no such Python, the application runs in the one that is built in"
    } else if is_built_in_plugin(name) {
        "what it does is not in this version"
    } else {
        "there is none, and nothing is loaded for it"
    }
}

/// A key that is no option is a placeholder in uWSGI, without a word; a near miss is a typo.
fn about_unknown(
    unknown: &[Unknown],
    strict: bool,
    notices: &mut Notices,
) -> Result<(), ConfigError> {
    let mut placeholders = Vec::new();
    for Unknown {
        key,
        place,
        is_used,
    } in unknown
    {
        if strict {
            let error = ConfigError::new(format!("{key} is not an option ({place})"));
            return Err(match suggestion::closest(key) {
                Some(meant) => error.hint(format!("did you mean {meant}?")),
                None => error.hint("leave it out, or leave out strict"),
            });
        }
        if *is_used {
            continue;
        }
        match suggestion::closest(key) {
            Some(meant) => notices.warnings.push(format!(
                "{key} is not an option ({place}); did you mean {meant}?"
            )),
            None => placeholders.push(format!("{key} ({place})")),
        }
    }
    if !placeholders.is_empty() {
        notices.remarks.push(format!(
            "not options, and no value refers to them as placeholders: {}",
            placeholders.join(", ")
        ));
    }
    Ok(())
}

/// Every way in which the option was written, each once: a family of options may share a row.
fn spellings(settings: &[Setting]) -> String {
    let mut spelled: Vec<&str> = Vec::new();
    for setting in settings.iter().filter(|setting| setting.was_written()) {
        if !spelled.contains(&setting.spelled.as_str()) {
            spelled.push(&setting.spelled);
        }
    }
    spelled.join(", ")
}

/// `--thunder-lock=false` asks for nothing.
fn is_off(row: &OptionRow, setting: &Setting) -> bool {
    row.kind == Kind::Flag && !value::flag(&setting.text).value
}
