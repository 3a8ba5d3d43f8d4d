//! Environment variables become values: `UWSGI_FOO_BAR` and `SINGLEMALT_FOO_BAR` are `--foo-bar`.
//!
//! Weaker than the command line; `SINGLEMALT_` wins over `UWSGI_`, and the active virtualenv
//! (`VIRTUAL_ENV`) is weaker than both. An empty variable counts as unset, because that is how
//! container files switch one off. Commands (`--help`, `--version` ...) are not read from here:
//! `UWSGI_VERSION` is a common name for something else. The variables come in as an argument;
//! the process environment is not read here.

use std::ffi::OsString;

use super::layers::{ENVIRONMENT, Layer, Written};
use super::system_facts::SystemFacts;
use crate::config::app::options as app;
use crate::config::error::ConfigError;
use crate::config::python::options as python;
use crate::config::reports::suggestion;
use crate::config::table;

/// Names with our prefix that are not options.
const NOT_OPTIONS: &[&str] = &["SINGLEMALT_LOG", "SINGLEMALT_PANIC_AT"];

/// A variable that was probably meant to be an option, unless a file refers to it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoOption {
    pub(crate) variable: String,
    pub(crate) warning: String,
}

/// Reads the options from these variables. Also returns those that were probably meant to be one.
pub(crate) fn read(variables: &[(String, String)]) -> Result<(Layer, Vec<NoOption>), ConfigError> {
    let mut layer = Layer::new(ENVIRONMENT);
    let mut warnings = Vec::new();
    let mut sorted: Vec<&(String, String)> = variables.iter().collect();
    sorted.sort();
    let written = |name: &str, spelled: &str, text: &str| Written {
        name: name.to_owned(),
        spelled: spelled.to_owned(),
        text: text.to_owned(),
        place: 0,
    };
    for (variable, text) in &sorted {
        if variable == python::ACTIVE_VIRTUALENV && !text.is_empty() {
            layer.push(&python::VIRTUALENV, written("virtualenv", variable, text));
        }
    }
    for prefix in ["UWSGI_", "SINGLEMALT_"] {
        for (variable, text) in &sorted {
            let Some(name) = variable.strip_prefix(prefix) else {
                continue;
            };
            if text.is_empty() || NOT_OPTIONS.contains(&variable.as_str()) {
                continue;
            }
            let name = name.to_ascii_lowercase();
            let usual = name.replace('_', "-");
            let found = table::named(&usual)
                .map(|row| (row, usual.as_str()))
                .or_else(|| {
                    // A few of uWSGI's names have an underscore of their own.
                    let odd = |n: &&str| n.contains('_') && n.replace('-', "_") == name;
                    table::rows().find_map(|row| Some((row, row.names().find(odd)?)))
                });
            match found {
                Some((row, _)) if row.command => {}
                // uWSGI has no such option, and images have such a variable for $(UWSGI_APP).
                Some((row, _)) if prefix == "UWSGI_" && row.name == app::APP.name => {}
                Some((row, name)) => layer.push(row, written(name, variable, text)),
                None => {
                    let warning = unknown(prefix, variable, &name);
                    warnings.extend(warning.map(|warning| NoOption {
                        variable: variable.clone(),
                        warning,
                    }));
                }
            }
        }
    }
    Ok((layer, warnings))
}

/// A variable of ours is always worth a warning. uWSGI's prefix is also used for other things
/// (`UWSGI_VERSION`, `UWSGI_ORIGINAL_PROC_NAME`), so there it takes a near miss.
fn unknown(prefix: &str, variable: &str, name: &str) -> Option<String> {
    match suggestion::closest(name) {
        Some(meant) => {
            let meant = meant.replace('-', "_").to_ascii_uppercase();
            Some(format!(
                "{variable} is not an option ({ENVIRONMENT}); did you mean {prefix}{meant}?"
            ))
        }
        None if prefix == "SINGLEMALT_" => {
            Some(format!("{variable} is not an option ({ENVIRONMENT})"))
        }
        None => None,
    }
}

/// The variables that may be options; the others need not be UTF-8.
pub(crate) fn utf8(system: &SystemFacts) -> Result<Vec<(String, String)>, ConfigError> {
    let ours = system.environment.iter().filter(|(name, _)| {
        name.starts_with("UWSGI_")
            || name.starts_with("SINGLEMALT_")
            || *name == crate::config::python::options::ACTIVE_VIRTUALENV
    });
    let readable = |(name, text): (&String, &OsString)| match text.to_str() {
        Some(text) => Ok((name.clone(), text.to_owned())),
        None => Err(ConfigError::new(format!(
            "{name} is not UTF-8 (environment)"
        ))),
    };
    ours.map(readable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::readers::layers::Stack;
    use crate::config::sockets::options as sockets;
    use crate::config::workers::options as workers;

    fn read_all(variables: &[(&str, &str)]) -> (crate::config::readers::layers::Raw, Vec<String>) {
        let variables: Vec<(String, String)> = variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        let (layer, warnings) = read(&variables).unwrap();
        let warnings = warnings.into_iter().map(|unknown| unknown.warning);
        let raw = Stack::new().on_top(layer).settle().unwrap();
        (raw, warnings.collect())
    }

    #[test]
    fn variables_are_options_and_ours_wins() {
        let (raw, warnings) = read_all(&[
            ("SINGLEMALT_WORKERS", "3"),
            ("UWSGI_WORKERS", "4"),
            ("UWSGI_HTTP_SOCKET", ":9090"),
            ("UWSGI_THREADS", ""),
            ("UWSGI_VERSION", "2.0.21"),
            ("UWSGI_APP", "my-app"),
            ("PATH", "/bin"),
        ]);
        let workers = raw.last(&workers::PROCESSES).unwrap();
        assert_eq!(
            (workers.text.as_str(), workers.spelled.as_str()),
            ("3", "SINGLEMALT_WORKERS")
        );
        assert_eq!(workers.place(), "SINGLEMALT_WORKERS (environment)");
        assert_eq!(raw.all(&sockets::HTTP_SOCKET).len(), 1);
        assert!(!raw.last(&workers::THREADS).unwrap().was_written());
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn the_active_virtualenv_is_the_weakest() {
        let (raw, _) = read_all(&[("VIRTUAL_ENV", "/active")]);
        assert_eq!(
            raw.last(&python::VIRTUALENV).unwrap().place(),
            "VIRTUAL_ENV (environment)"
        );
        let (raw, _) = read_all(&[("VIRTUAL_ENV", "/active"), ("UWSGI_VENV", "/given")]);
        assert_eq!(raw.last(&python::VIRTUALENV).unwrap().text, "/given");
    }

    #[test]
    fn near_misses_and_unknown_names_of_ours_are_warned_about() {
        let (_, warnings) = read_all(&[
            ("UWSGI_PROCESES", "4"),
            ("UWSGI_ORIGINAL_PROC_NAME", "uwsgi"),
            ("SINGLEMALT_SPEED", "fast"),
        ]);
        assert_eq!(
            warnings,
            [
                "UWSGI_PROCESES is not an option (environment); did you mean UWSGI_PROCESSES?",
                "SINGLEMALT_SPEED is not an option (environment)",
            ]
        );
    }
}
