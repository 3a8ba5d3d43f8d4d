//! `--show-config`: the configuration in effect as a uwsgi ini file that can be loaded again, with
//! the origin of each value; and `--get`: one value of it. Pure text.

use super::error::ConfigError;
use super::layer::{Raw, Setting};
use super::loaded::Loaded;
use super::option::{Class, OptionRow};
use super::options;

/// Renders every option that has a value, defaults included, in the order of the table.
pub(super) fn show(raw: &Raw, loaded: &Loaded) -> String {
    let mut text = String::from("[uwsgi]\n");
    for row in options::rows().filter(|row| !row.command) {
        for setting in raw.all(row) {
            let value = ini_value(&setting.text);
            // Comments have lines of their own: uWSGI knows no other.
            text.push_str(&format!("; {}{}\n", setting.origin, note(row)));
            text.push_str(&format!("{} = {value}\n", setting.name));
        }
    }
    for entry in loaded.entries.iter().filter(|entry| entry.row.is_none()) {
        let value = ini_value(&entry.text);
        text.push_str(&format!("; {}, a placeholder\n", entry.position()));
        text.push_str(&format!("set-placeholder = {}={value}\n", entry.key));
    }
    text
}

fn note(row: &OptionRow) -> &'static str {
    match row.class {
        Class::Accepted(_) => ", no effect",
        Class::Unsupported(_) => ", not supported",
        _ if !row.has_effect() => ", not yet in this version",
        _ => "",
    }
}

/// A value that the ini reader gives back as it was: it has one line, and no magic in it.
pub(super) fn ini_value(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
        .replace('%', "%%")
        .replace("%%(", "%(")
}

/// The values that `--get` asks for, a line each.
pub(super) fn values(wanted: &[Setting], loaded: &Loaded) -> Result<String, ConfigError> {
    let mut text = String::new();
    for setting in wanted {
        let named = |key: &str| {
            let row = options::named(&setting.text).map(|row| row.name);
            key == setting.text || row.is_some() && options::named(key).map(|row| row.name) == row
        };
        let found = loaded.entries.iter().rfind(|entry| named(&entry.key));
        let default = options::named(&setting.text).and_then(|row| row.default);
        match found.map(|entry| entry.text.as_str()).or(default) {
            Some(value) => text.push_str(&format!("{value}\n")),
            None => {
                return Err(
                    setting.error(format_args!("asks for {}, which is not set", setting.text))
                );
            }
        }
    }
    Ok(text)
}
