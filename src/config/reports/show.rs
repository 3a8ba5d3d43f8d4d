//! `--show-config`: the configuration in effect as a file that can be loaded again, with the origin
//! of each value; and `--get`: one value of it. Pure text.
//!
//! The file is an ini file as long as an ini file can say it. Values of several lines, or with
//! spaces at their ends, which other formats and the command line can give, need TOML.

use crate::config::error::ConfigError;
use crate::config::readers::language::entries::{Entry, Loaded, Standing};
use crate::config::readers::layers::{Raw, Setting};
use crate::config::readers::options as configuration;
use crate::config::table;
use crate::config::table::row::{Class, OptionRow};

struct Shown<'t> {
    /// Where it came from.
    comment: String,
    key: &'t str,
    value: String,
}

/// Renders every option that has a value, defaults included, in the order of the table, then the
/// placeholders and what is printed at start.
pub(crate) fn show(raw: &Raw, loaded: &Loaded) -> String {
    let mut lines = Vec::new();
    for row in table::rows().filter(|row| !row.command) {
        for setting in raw.all(row) {
            lines.push(Shown {
                comment: format!("{}{}", setting.origin, note(row)),
                key: &setting.name,
                value: setting.text.clone(),
            });
        }
    }
    for entry in loaded.entries.iter().filter(|entry| entry.row.is_none()) {
        lines.push(placeholder(entry));
    }
    for text in &loaded.prints {
        lines.push(Shown {
            comment: "printed at start".to_owned(),
            key: configuration::PRINT.name,
            value: text.clone(),
        });
    }
    if lines.iter().all(fits_ini) {
        ini(&lines)
    } else {
        toml(&lines)
    }
}

fn note(row: &OptionRow) -> &'static str {
    match row.class {
        Class::Accepted(_) => ", no effect",
        Class::Unsupported(_) => ", not supported",
        _ if !row.has_effect() => ", not yet in this version",
        _ => "",
    }
}

/// Said openly as far as it can be, for strict files: a key with a `=` in it cannot be set that
/// way.
fn placeholder(entry: &Entry) -> Shown<'_> {
    let comment = format!("{}, a placeholder", entry.position());
    if entry.key.contains('=') && entry.standing != Standing::Placeholder {
        return Shown {
            comment,
            key: &entry.key,
            value: entry.text.clone(),
        };
    }
    Shown {
        comment,
        key: configuration::SET_PLACEHOLDER.name,
        value: format!("{}={}", entry.key, entry.text),
    }
}

fn fits_ini(line: &Shown<'_>) -> bool {
    let fits = |text: &str| text.trim() == text && !text.contains(['\n', '\r']);
    fits(&line.value) && !line.key.contains('=') && fits(line.key)
}

fn ini(lines: &[Shown<'_>]) -> String {
    let mut text = String::from("[uwsgi]\n");
    for line in lines {
        // Comments have lines of their own: uWSGI knows no other.
        text.push_str(&format!(
            "; {}\n{} = {}\n",
            one_line(&line.comment),
            line.key,
            ini_value(&line.value)
        ));
    }
    text
}

/// A key stands once in a TOML table: its values are a list where the first of them is.
fn toml(lines: &[Shown<'_>]) -> String {
    let mut text = String::from(
        "# In TOML, since an ini file has no values of several lines or with spaces at their \
         ends:\n\
         # the name of its file must end with .toml.\n[uwsgi]\n",
    );
    let mut done: Vec<&str> = Vec::new();
    for line in lines {
        if done.contains(&line.key) {
            continue;
        }
        done.push(line.key);
        let of_key: Vec<&Shown<'_>> = lines.iter().filter(|other| other.key == line.key).collect();
        let key = toml_text(line.key);
        if let [line] = of_key[..] {
            let value = toml_text(&line.value);
            text.push_str(&format!("# {}\n{key} = {value}\n", one_line(&line.comment)));
            continue;
        }
        text.push_str(&format!("{key} = [\n"));
        for line in of_key {
            let value = toml_text(&line.value);
            text.push_str(&format!(
                "    # {}\n    {value},\n",
                one_line(&line.comment)
            ));
        }
        text.push_str("]\n");
    }
    text
}

/// Comments are for people: a file's name may hold anything.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ").replace('%', "%%")
}

/// A basic string, without magic in it.
fn toml_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in without_magic(text).chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            letter if letter.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(letter)));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// A value that the ini reader gives back as it was: it has one line, and no magic in it.
pub(crate) fn ini_value(text: &str) -> String {
    without_magic(&text.replace(['\n', '\r'], " "))
}

/// Percent signs that stand for themselves. Those of placeholders are kept as they are.
fn without_magic(text: &str) -> String {
    text.replace('%', "%%").replace("%%(", "%(")
}

/// The values that `--get` asks for, a line each.
pub(crate) fn values(wanted: &[Setting], loaded: &Loaded) -> Result<String, ConfigError> {
    let mut text = String::new();
    for setting in wanted {
        let named = |key: &str| {
            let row = table::named(&setting.text).map(|row| row.name);
            key == setting.text || row.is_some() && table::named(key).map(|row| row.name) == row
        };
        let found = loaded.entries.iter().rfind(|entry| named(&entry.key));
        let default = table::named(&setting.text).and_then(|row| row.default);
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
