//! Arguments become values, by uWSGI's rules (getopt_long with bare file names).
//!
//! | written | means |
//! |---|---|
//! | `--key value`, `--key=value` | a value |
//! | `-p 4`, `-p4`, `-p=4` | a value of a one-letter option |
//! | `--master`, `-M`, `-ML` | flags, alone or bundled |
//! | `--master=false`, `--master off` | a flag with its word |
//! | `--chmod-socket`, `--chmod-socket=660`, `-C660` | a value that may be left out |
//! | `site.ini`, `site.xml` ... | `--ini site.ini` |
//! | `site.conf`, a file that begins with `[uwsgi]` | `--ini site.conf` |
//! | `app.py`, `app.py:create_app()`, `pkg.module:app` | `--app ...` |
//! | `--` | only bare names follow |
//!
//! Unlike getopt, an option is not recognized by the beginning of its name: `--proc` gets a
//! suggestion instead, so that a later option cannot change what a command line means. Values
//! are only collected here; `resolve` reads them.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;

use super::layers::{COMMAND_LINE, Layer, Written};
use super::options as configuration;
use crate::config::app::options as app;
use crate::config::error::ConfigError;
use crate::config::reports::suggestion;
use crate::config::table;
use crate::config::table::row::{Kind, OptionRow, Takes};
use crate::config::values::value;

/// Reads the arguments behind the program's name; the working directory is the process's own.
pub(crate) fn read(arguments: &[String]) -> Result<Layer, ConfigError> {
    read_in(arguments, Path::new(""))
}

/// The same, with bare names of files relative to `folder`.
pub(crate) fn read_in(arguments: &[String], folder: &Path) -> Result<Layer, ConfigError> {
    let mut layer = Layer::new(COMMAND_LINE);
    let mut rest = Arguments { arguments, next: 0 };
    let mut only_bare = false;
    while let Some(argument) = rest.take() {
        let place = rest.place();
        let mut push = |row: &'static OptionRow, name: &str, spelled: String, text: String| {
            layer.push(
                row,
                Written {
                    name: name.to_owned(),
                    spelled,
                    text,
                    place,
                },
            );
        };
        if only_bare || argument == "-" || !argument.starts_with('-') {
            let row = meaning_of_bare(argument, folder);
            push(row, row.name, argument.to_owned(), argument.to_owned());
        } else if argument == "--" {
            only_bare = true;
        } else if let Some(long) = argument.strip_prefix("--") {
            let (name, attached) = match long.split_once('=') {
                Some((name, text)) => (name, Some(text)),
                None => (long, None),
            };
            let spelled = format!("--{name}");
            let row = table::named(name).ok_or_else(|| unknown(&spelled, name))?;
            let text = rest.value_of(row, &spelled, attached)?;
            push(row, name, spelled, text);
        } else if let Some(name) = long_name_behind_one_dash(argument) {
            return Err(ConfigError::new(format!(
                "{argument} would be read as the letter {} ({COMMAND_LINE})",
                &argument[..2]
            ))
            .hint(format!("did you mean --{name}?")));
        } else {
            let mut letters = argument.chars();
            letters.next();
            while let Some(letter) = letters.next() {
                let spelled = format!("-{letter}");
                let Some(row) = table::lettered(letter) else {
                    return Err(unknown_letter(argument, letter));
                };
                let behind = letters.as_str();
                let attached = match row.takes {
                    Takes::Nothing => None,
                    _ if behind.is_empty() => None,
                    _ => Some(behind.strip_prefix('=').unwrap_or(behind)),
                };
                if row.takes == Takes::Nothing && !behind.is_empty() {
                    push(row, row.name, spelled, "true".to_owned());
                    continue;
                }
                let text = rest.value_of(row, &spelled, attached)?;
                push(row, row.name, spelled, text);
                break;
            }
        }
    }
    Ok(layer)
}

pub(crate) fn utf8(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Vec<String>, ConfigError> {
    let readable = |(index, argument): (usize, OsString)| {
        argument.into_string().map_err(|bytes| {
            ConfigError::new(format!(
                "argument {} is not UTF-8: {} (command line)",
                index + 1,
                bytes.to_string_lossy()
            ))
        })
    };
    arguments.into_iter().enumerate().map(readable).collect()
}

struct Arguments<'a> {
    arguments: &'a [String],
    next: usize,
}

impl<'a> Arguments<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.arguments.get(self.next).map(String::as_str)
    }

    fn take(&mut self) -> Option<&'a str> {
        let argument = self.peek()?;
        self.next += 1;
        Some(argument)
    }

    /// The number of the argument that was taken last, from 1.
    fn place(&self) -> u32 {
        u32::try_from(self.next).unwrap_or(u32::MAX)
    }

    /// The value of an option that was just taken: what was attached to it, or what follows.
    fn value_of(
        &mut self,
        row: &OptionRow,
        spelled: &str,
        attached: Option<&str>,
    ) -> Result<String, ConfigError> {
        if let Some(text) = attached {
            return Ok(text.to_owned());
        }
        let following = self.peek();
        match row.takes {
            Takes::Nothing => match following.filter(|text| value::is_flag_word(text)) {
                Some(word) => {
                    self.next += 1;
                    Ok(word.to_owned())
                }
                None => Ok("true".to_owned()),
            },
            Takes::Optionally(bare) => match following.filter(|text| could_be_meant(row, text)) {
                Some(text) => {
                    self.next += 1;
                    Ok(text.to_owned())
                }
                None => Ok(bare.to_owned()),
            },
            Takes::Always => match following {
                Some(text) if !is_known_option(text) => {
                    self.next += 1;
                    Ok(text.to_owned())
                }
                Some(next_option) => Err(ConfigError::new(format!(
                    "{spelled} wants a value, and {next_option} follows ({COMMAND_LINE})"
                ))
                .hint(format!("write {spelled} {}", row.placeholder))),
                None => Err(
                    ConfigError::new(format!("{spelled} wants a value ({COMMAND_LINE})"))
                        .hint(format!("write {spelled} {}", row.placeholder)),
                ),
            },
        }
    }
}

/// Whether an argument is the value of the option in front of it, which may stand alone. getopt
/// says never; a number behind an option that wants one can hardly be anything else.
fn could_be_meant(row: &OptionRow, text: &str) -> bool {
    match row.kind {
        Kind::Mode => value::mode(text).is_ok(),
        Kind::Number { .. } | Kind::Bytes { .. } | Kind::Megabytes | Kind::Seconds => {
            text.starts_with(|c: char| c.is_ascii_digit())
        }
        Kind::Text => row.command && !text.starts_with('-'),
        Kind::Flag | Kind::Path | Kind::Pair | Kind::Address | Kind::Choice(_) => false,
    }
}

fn is_known_option(text: &str) -> bool {
    match text.strip_prefix("--") {
        Some(long) => {
            let name = long.split_once('=').map_or(long, |(name, _)| name);
            table::named(name).is_some()
        }
        None => false,
    }
}

/// What is read of a file to see whether it is a configuration. Bytes.
const INI_START_BYTES: u64 = 16 * 1024;

/// What a bare argument is: a configuration file by its ending, else the application.
fn meaning_of_bare(text: &str, folder: &Path) -> &'static OptionRow {
    let file = match text.rsplit_once(':') {
        Some((file, _section)) if !file.is_empty() => file,
        _ => text,
    };
    let ending = |text: &str| text.rsplit_once('.').map(|(_, ending)| ending.to_owned());
    let by_ending = |ending: &str| -> Option<&'static OptionRow> {
        match ending {
            "ini" => Some(&configuration::INI),
            "xml" => Some(&configuration::XML),
            "yaml" | "yml" => Some(&configuration::YAML),
            "json" | "js" => Some(&configuration::JSON),
            "toml" => Some(&configuration::TOML),
            _ => None,
        }
    };
    if text == "-" {
        return &configuration::CONFIG;
    }
    [text, file]
        .into_iter()
        .filter_map(ending)
        .find_map(|ending| by_ending(&ending))
        .unwrap_or_else(|| {
            if is_ini_by_name(text) || is_ini_by_content(&folder.join(text)) {
                &configuration::INI
            } else {
                &app::APP
            }
        })
}

/// Endings that configurations have and applications do not; a missing file is an error then.
fn is_ini_by_name(text: &str) -> bool {
    !text.contains(':') && (text.ends_with(".conf") || text.ends_with(".cfg"))
}

/// Whether a file without a known ending, such as `uwsgi.conf`, is a configuration: its first line
/// that is no comment names the section.
fn is_ini_by_content(file: &Path) -> bool {
    if file.extension().is_some_and(|ending| ending == "py") {
        return false;
    }
    let mut start = Vec::new();
    let read = std::fs::File::open(file)
        .ok()
        .filter(|file| file.metadata().is_ok_and(|about| about.is_file()))
        .map(|file| file.take(INI_START_BYTES).read_to_end(&mut start));
    if !matches!(read, Some(Ok(_))) {
        return false;
    }
    String::from_utf8_lossy(&start)
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with(['#', ';']))
        .is_some_and(|line| matches!(line, "[uwsgi]" | "[singlemalt]"))
}

fn unknown(spelled: &str, name: &str) -> ConfigError {
    let error = ConfigError::new(format!("unknown option {spelled} ({COMMAND_LINE})"));
    match suggestion::closest(name) {
        Some(meant) => error.hint(format!("did you mean --{meant}?")),
        None => error.hint("singlemalt --help lists the options, --help WORD searches them"),
    }
}

/// `-http`, which getopt would take for `-h ttp`: no bundle of letters spells an option by chance.
fn long_name_behind_one_dash(argument: &str) -> Option<&str> {
    let name = argument.strip_prefix('-')?;
    let name = name.split_once('=').map_or(name, |(name, _)| name);
    (name.len() >= 4 && table::named(name).is_some()).then_some(name)
}

fn unknown_letter(argument: &str, letter: char) -> ConfigError {
    ConfigError::new(if argument.chars().count() == 2 {
        format!("unknown option -{letter} ({COMMAND_LINE})")
    } else {
        format!("unknown option -{letter} in {argument} ({COMMAND_LINE})")
    })
    .hint("singlemalt --help lists the options, --help WORD searches them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::readers::layers::Stack;

    /// Renders what was read: `option=text` in table order.
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let shown = match read(&arguments) {
            Err(error) => format!("error: {}", error.message()),
            Ok(layer) => {
                let raw = Stack::new().on_top(layer).settle().unwrap();
                let shown: Vec<String> = raw
                    .written()
                    .flat_map(|(row, settings)| {
                        let texts = settings.iter().map(|setting| setting.text.clone());
                        texts.map(move |text| format!("{}={text}", row.name))
                    })
                    .collect();
                shown.join(" ")
            }
        };
        assert_eq!(shown, expected, "{line}");
    }

    #[test]
    fn long_options() {
        check("--processes 4", "processes=4");
        check("--processes=4", "processes=4");
        check("--workers=4", "processes=4");
        check("--env=A=B", "env=A=B");
        check("--processes 4 --workers 5", "processes=5");
        check("--http :1 --http :2", "http=:1 http=:2");
        check("--pyargv=", "pyargv=");
        check("--pyargv -x", "pyargv=-x");
        check(
            "--processes",
            "error: --processes wants a value (command line)",
        );
        check(
            "--processes --need-app",
            "error: --processes wants a value, and --need-app follows (command line)",
        );
        check(
            "--proceses 4",
            "error: unknown option --proceses (command line)",
        );
    }

    #[test]
    fn letters() {
        check("-p 4", "processes=4");
        check("-p4", "processes=4");
        check("-p=4", "processes=4");
        check("-iL", "disable-logging=true single-interpreter=true");
        check(
            "-iLp4",
            "processes=4 disable-logging=true single-interpreter=true",
        );
        check("-i off", "single-interpreter=off");
        check("-p", "error: -p wants a value (command line)");
        check("-", "config=-");
        check("-%", "error: unknown option -% (command line)");
        check(
            "-http :80",
            "error: -http would be read as the letter -h (command line)",
        );
        check("-i%", "error: unknown option -% in -i% (command line)");
    }

    #[test]
    fn flags_and_values_that_may_be_left_out() {
        check("--vacuum", "vacuum=true");
        check("--vacuum=false", "vacuum=false");
        check("--vacuum off app.py", "app=app.py vacuum=off");
        check("--vacuum app.py", "app=app.py vacuum=true");
        check("--chmod-socket", "chmod-socket=666");
        check("--chmod-socket=660", "chmod-socket=660");
        check("--chmod-socket 660", "chmod-socket=660");
        check("-C660", "chmod-socket=660");
        check("--chmod-socket app.py", "app=app.py chmod-socket=666");
        check("--http-keepalive 5", "http-keepalive=5");
        check("--help", "help=");
        check("--help http", "help=http");
        check("--help --need-app", "need-app=true help=");
    }

    #[test]
    fn bare_names() {
        check("app.py", "app=app.py");
        check("app.py:create_app()", "app=app.py:create_app()");
        check("pkg.module:app", "app=pkg.module:app");
        check("uwsgi.ini", "ini=uwsgi.ini");
        check("uwsgi.ini:other", "ini=uwsgi.ini:other");
        check(
            "site.xml site.yml site.json",
            "xml=site.xml yaml=site.yml json=site.json",
        );
        check("-- --need-app", "app=--need-app");
        check("app.py -- -p", "app=app.py app=-p");
    }
}
