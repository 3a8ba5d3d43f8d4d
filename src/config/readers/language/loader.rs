//! The sources become one list of options, in the order in which they take effect: environment,
//! command line, and each file where it is named (uWSGI docs, "How uWSGI parses config files").
//!
//! Two steps, as in uWSGI. While options are read (here): files are opened in their
//! place, magic variables are replaced in their whole text, conditions and loops decide what is
//! read. When all are there (`finish`): `$(ENV)`, `@(file)` and `%(placeholder)` are
//! expanded in every value, declared options become what they stand for, and `inherit` adds its
//! files behind everything else. What an option means is not known here.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use super::entries::{Entry, PassedOver, Standing};
use super::logic;
use super::logic::{Fate, Logic};
use super::magic;
use super::magic::{FileMagic, Magic};
use super::traps;
use crate::config::app::options as app;
use crate::config::error::ConfigError;
use crate::config::python::options as python;
use crate::config::readers::contents;
use crate::config::readers::contents::Unreadable;
use crate::config::readers::formats::{Failure, Format, Section};
use crate::config::readers::layers;
use crate::config::readers::layers::Layer;
use crate::config::readers::options as configuration;
use crate::config::readers::surroundings::Surroundings;
use crate::config::table;
use crate::config::table::row::OptionRow;

/// How deep files may name files; deeper is a circle.
const DEPTH_MAX: usize = 16;
/// How many options there may be in all.
const ENTRIES_MAX: usize = 50_000;

/// The way out where the name of a file holds `$(NAME)`.
const NOT_REPLACED: &str = "files are read before variables and placeholders are replaced, as in uWSGI: name the file on the \
                            command line, or with if-env and %(_)";

/// What stops the reading.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something cannot be meant.
    Error(ConfigError),
    /// `exit` was read: leave with this code.
    Exit(i32),
}

impl From<ConfigError> for Stop {
    fn from(error: ConfigError) -> Stop {
        Stop::Error(error)
    }
}

/// Reads sources.
pub(crate) struct Loader<'s> {
    pub(crate) surroundings: &'s Surroundings,
    /// `--allow-config-exec` was given where it may be.
    pub(crate) may_execute: bool,
    pub(crate) entries: Vec<Entry>,
    /// The first entry of each name, for placeholders: later ones are not looked at.
    first_by_name: HashMap<String, usize>,
    pub(crate) logic: Logic,
    /// Names that stand for several options, and their templates.
    pub(crate) declared: Vec<(String, String)>,
    /// The first file that was read.
    pub(crate) first: Option<FileMagic>,
    /// The file that was read last.
    pub(crate) last: Option<FileMagic>,
    pub(crate) inheriting: bool,
    pub(crate) depth: usize,
    pub(crate) warnings: Vec<String>,
    pub(crate) prints: Vec<String>,
    pub(crate) passed_over: Vec<PassedOver>,
    /// For reports, which are written elsewhere than where the server runs: a file that is not there, or a command
    /// that is not allowed, is noted and left out.
    pub(crate) goes_on: bool,
    pub(crate) left_out: Vec<ConfigError>,
}

/// A name and value on their way in.
struct Incoming {
    key: String,
    spelled: String,
    text: String,
    place: u32,
    standing: Standing,
}

impl<'s> Loader<'s> {
    pub(crate) fn new(surroundings: &'s Surroundings, may_execute: bool) -> Loader<'s> {
        Loader {
            surroundings,
            may_execute,
            entries: Vec::new(),
            first_by_name: HashMap::new(),
            logic: Logic::None,
            declared: Vec::new(),
            first: None,
            last: None,
            inheriting: false,
            depth: 0,
            warnings: Vec::new(),
            prints: Vec::new(),
            passed_over: Vec::new(),
            goes_on: false,
            left_out: Vec::new(),
        }
    }

    /// Adds the environment or the command line.
    pub(crate) fn add_layer(&mut self, source: &str, layer: Layer) -> Result<(), Stop> {
        let source: Rc<str> = source.into();
        for (row, written) in layer.into_entries() {
            let implied = written.spelled == python::ACTIVE_VIRTUALENV;
            let incoming = Incoming {
                key: written.name,
                spelled: written.spelled,
                text: written.text,
                place: written.place,
                standing: if implied {
                    Standing::Implied
                } else {
                    Standing::Written
                },
            };
            debug_assert!(table::named(&incoming.key).is_some_and(|other| other.name == row.name));
            self.add(incoming, &source, None)?;
        }
        self.close_logic();
        Ok(())
    }

    /// `inside`: the file that it stands in.
    fn add(
        &mut self,
        incoming: Incoming,
        source: &Rc<str>,
        inside: Option<&str>,
    ) -> Result<(), Stop> {
        let row = table::named(&incoming.key);
        let is = |other: &OptionRow| row.is_some_and(|row| row.name == other.name);
        if is(&configuration::END) {
            self.logic = Logic::None;
            self.pass_over(&incoming, row, source, None);
            return Ok(());
        }
        if is(&configuration::ELSE) {
            self.logic = match std::mem::take(&mut self.logic) {
                Logic::Open {
                    option,
                    thing,
                    place,
                } if option.starts_with("if") => {
                    let fate = self.decide(&option, &thing, &place)?;
                    Logic::Else {
                        read: fate == Fate::Skip,
                        of: format!("{option} {thing}"),
                    }
                }
                _ => {
                    let position = layers::place(source, incoming.place);
                    return Err(ConfigError::new(format!(
                        "else has no condition before it ({position})"
                    ))
                    .into());
                }
            };
            self.pass_over(&incoming, row, source, None);
            return Ok(());
        }
        let fate = match &self.logic {
            Logic::None | Logic::Else { read: true, .. } => Fate::Read,
            Logic::Else { read: false, .. } => Fate::Skip,
            Logic::Open {
                option,
                thing,
                place,
            } => {
                if row.is_some_and(is_logic) {
                    let position = layers::place(source, incoming.place);
                    return Err(ConfigError::new(format!(
                        "{} cannot stand inside {option} ({position})",
                        incoming.key,
                    ))
                    .hint(format!(
                        "{option} begins at {place}; close it with endif or endfor"
                    ))
                    .into());
                }
                self.decide(option, thing, place)?
            }
        };
        if fate == Fate::Skip {
            let why = match &self.logic {
                Logic::Open { option, thing, .. } if logic::is_missing(option, thing) => {
                    format!("there is no file {thing}")
                }
                Logic::Open { option, thing, .. } => format!("{option} {thing} does not hold"),
                Logic::Else { of, .. } => format!("{of} holds"),
                Logic::None => String::new(),
            };
            self.pass_over(&incoming, row, source, Some(why));
        }
        match fate {
            Fate::Skip => Ok(()),
            Fate::Read => self.enter(incoming, row, source, inside),
            Fate::ReadFor(values) => {
                for value in values {
                    let one = Incoming {
                        key: incoming.key.clone(),
                        spelled: incoming.spelled.clone(),
                        text: incoming.text.replace("%(_)", &value),
                        place: incoming.place,
                        standing: incoming.standing,
                    };
                    self.enter(one, row, source, inside)?;
                }
                Ok(())
            }
        }
    }

    /// Notes a line that becomes no entry, for reports.
    fn pass_over(
        &mut self,
        incoming: &Incoming,
        row: Option<&'static OptionRow>,
        source: &Rc<str>,
        kept_out_by: Option<String>,
    ) {
        let entry = Entry {
            key: incoming.key.clone(),
            row,
            spelled: incoming.spelled.clone(),
            text: incoming.text.clone(),
            before: incoming.text.clone(),
            source: source.clone(),
            place: incoming.place,
            standing: incoming.standing,
        };
        let before = self.entries.len();
        self.passed_over.push(PassedOver {
            before,
            entry,
            kept_out_by,
        });
    }

    fn decide(&self, option: &str, thing: &str, place: &str) -> Result<Fate, ConfigError> {
        logic::decide(option, thing, self.surroundings, |name| self.first_of(name))
            .map_err(|why| ConfigError::new(format!("{option} {why} ({place})")))
    }

    /// The value that was written first under this very name.
    pub(crate) fn first_of(&self, name: &str) -> Option<String> {
        let index = *self.first_by_name.get(name)?;
        self.entries.get(index).map(|entry| entry.text.clone())
    }

    fn push(&mut self, entry: Entry) {
        if entry.standing != Standing::Implied && !self.first_by_name.contains_key(&entry.key) {
            self.first_by_name
                .insert(entry.key.clone(), self.entries.len());
        }
        self.entries.push(entry);
    }

    /// An option that is read: those that act at once act now.
    fn enter(
        &mut self,
        incoming: Incoming,
        row: Option<&'static OptionRow>,
        source: &Rc<str>,
        inside: Option<&str>,
    ) -> Result<(), Stop> {
        let entry = Entry {
            before: incoming.text.clone(),
            key: incoming.key,
            row,
            spelled: incoming.spelled,
            text: incoming.text,
            source: source.clone(),
            place: incoming.place,
            standing: if self.inheriting {
                Standing::Inherited
            } else {
                incoming.standing
            },
        };
        if self.entries.len() >= ENTRIES_MAX {
            return Err(entry
                .error(format_args!(
                    "is one option too many: there are {ENTRIES_MAX}"
                ))
                .into());
        }
        let Some(row) = row else {
            self.push(entry);
            return Ok(());
        };
        // In a file --show-config is no command: it prints at start, as in uWSGI.
        let is_command = row.command && row.name != configuration::SHOW_CONFIG.name;
        if inside.is_some() && (is_command || row.name == configuration::ALLOW_CONFIG_EXEC.name) {
            return Err(entry.error("belongs on the command line").into());
        }
        if is_logic(row) {
            if logic::is_missing(&entry.key, &entry.text) {
                self.warnings.push(format!(
                    "{}: there is no file {}, and what is below is not read, as in uWSGI ({})",
                    entry.key,
                    entry.text,
                    entry.position()
                ));
            }
            let before = self.entries.len();
            self.passed_over.push(PassedOver {
                before,
                entry: entry.clone(),
                kept_out_by: None,
            });
            self.logic = Logic::Open {
                option: entry.key.clone(),
                thing: entry.text.clone(),
                place: entry.position(),
            };
            return Ok(());
        }
        if let Some(format) = format_of(row) {
            self.push(entry.clone());
            if is_paste(row) && self.paste(&entry, source, inside)? {
                return Ok(());
            }
            return self.load(&entry, format, inside);
        }
        let name = row.name;
        self.push(entry.clone());
        if name == configuration::EXIT.name {
            return Err(Stop::Exit(entry.text.trim().parse().unwrap_or(0)));
        }
        if name == configuration::DECLARE_OPTION.name {
            let parts = entry
                .text
                .split_once('=')
                .filter(|(name, _)| !name.is_empty());
            let Some((declared, template)) = parts else {
                return Err(entry.error("wants NAME=OPTION=VALUE;OPTION=VALUE").into());
            };
            if table::named(declared).is_some() {
                return Err(entry
                    .error(format_args!(
                        "cannot declare {declared}: it is an option already"
                    ))
                    .into());
            }
            self.declared
                .push((declared.to_owned(), template.to_owned()));
        }
        if name == configuration::SET.name || name == configuration::SET_PLACEHOLDER.name {
            let parts = entry
                .text
                .split_once('=')
                .filter(|(key, _)| !key.is_empty());
            let Some((key, text)) = parts else {
                return Err(entry
                    .error(format_args!("wants KEY=VALUE, got '{}'", entry.text))
                    .into());
            };
            let standing = if name == configuration::SET.name {
                Standing::Written
            } else {
                Standing::Placeholder
            };
            // `app` is none of uWSGI's.
            let row = table::named(key)
                .filter(|row| standing == Standing::Written || row.name != app::APP.name);
            if standing == Standing::Placeholder && row.is_some() {
                return Err(entry
                    .error(format_args!(
                        "cannot make {key} a placeholder: it is an option"
                    ))
                    .hint("give the placeholder another name")
                    .into());
            }
            let set = Incoming {
                key: key.to_owned(),
                spelled: format!("{} {key}", entry.spelled),
                text: text.to_owned(),
                place: entry.place,
                standing,
            };
            return self.enter(set, row, source, inside);
        }
        Ok(())
    }

    /// `ini-paste = FILE` stands for `paste = config:FILE` and the options of the file. Whether those are being read already:
    /// the option is in the file itself.
    fn paste(
        &mut self,
        named: &Entry,
        source: &Rc<str>,
        inside: Option<&str>,
    ) -> Result<bool, Stop> {
        let (file, _) = split(&named.text, inside);
        // Absolute, as in uWSGI: --chdir comes later.
        let path = std::path::absolute(file)
            .map_err(|error| named.error(format_args!("wants a file: {error}")))?;
        let is_logged = named
            .row
            .is_some_and(|row| row.name == configuration::INI_PASTE_LOGGED.name);
        let made = |key: &str, text: String| Incoming {
            key: key.to_owned(),
            spelled: named.spelled.clone(),
            text,
            place: named.place,
            standing: Standing::Written,
        };
        let uri = format!("config:{}", path.display());
        let paste = made(app::PASTE.name, uri);
        self.enter(paste, Some(&app::PASTE), source, inside)?;
        if is_logged {
            let logged = made(app::PASTE_LOGGER.name, "true".to_owned());
            self.enter(logged, Some(&app::PASTE_LOGGER), source, inside)?;
        }
        Ok(inside.is_some_and(|inside| is_same_file(inside, file)))
    }

    /// Reads a file where it is named.
    pub(crate) fn load(
        &mut self,
        named: &Entry,
        format: Named,
        inside: Option<&str>,
    ) -> Result<(), Stop> {
        if self.depth >= DEPTH_MAX {
            return Err(ConfigError::new(format!(
                "{} is read by itself, or through {DEPTH_MAX} files ({})",
                named.text,
                named.position()
            ))
            .into());
        }
        let (file, section) = split(&named.text, inside);
        if file.is_empty() {
            return Err(named
                .error(format_args!("wants a file, got '{}'", named.text))
                .into());
        }
        let file = file.to_owned();
        let bytes = match contents::read(&file, self.may_execute) {
            Ok(bytes) => bytes,
            Err(mut failure) => {
                if ["$(", "%(", "${"].iter().any(|mark| file.contains(mark)) {
                    failure.hint = Some(NOT_REPLACED);
                }
                let error = unreadable(&file, failure, named);
                // Without the first file there is nothing to report.
                if self.goes_on && self.first.is_some() {
                    self.left_out.push(error);
                    return Ok(());
                }
                return Err(error.into());
            }
        };
        let source: Rc<str> = match file.as_str() {
            "-" => "standard input".into(),
            file => file.into(),
        };
        let raw = utf8(&bytes, &source)?;
        let magic = FileMagic::new(&file, section, self.surroundings);
        let first = self.first.get_or_insert_with(|| magic.clone()).clone();
        let mut replaced = Magic {
            file: &magic,
            first: &first,
            surroundings: self.surroundings,
        }
        .replace(raw);
        let format = match format {
            Named::Format(format) => format,
            Named::ByEnding => match Format::of_ending(&file) {
                Some(format) => format,
                None if file == "-" || file.contains("://") => Format::of_text(&replaced.text),
                None => {
                    return Err(named
                        .error(format_args!(
                            "cannot tell the format of {file} by its ending"
                        ))
                        .hint("say it: --ini, --xml, --yaml, --json or --toml FILE")
                        .into());
                }
            },
        };
        // Their strings hold no such character as it is; what stands in one is written as they write it.
        if matches!(format, Format::Json | Format::Toml) {
            replaced.text = replaced.text.replace('\u{1b}', "\\u001b");
        }
        let lines = format.read(&replaced.text, section);
        let lines = match lines {
            Err(Failure::NoSection(_)) if named.row.is_some_and(is_paste) => return Ok(()),
            lines => lines,
        };
        let lines = lines.map_err(|failure| match failure {
            Failure::Syntax { line, why } => {
                ConfigError::new(format!("{why} ({})", layers::place(&source, line)))
            }
            Failure::NoSection(found) => {
                let error = ConfigError::new(format!(
                    "{source} has no {} ({})",
                    format.section(section.name()),
                    named.position()
                ));
                match found.as_slice() {
                    [] if matches!(format, Format::Ini | Format::Toml) => {
                        error.hint(format!("begin it with a line [{}]", section.name()))
                    }
                    [] => error,
                    found if found.iter().any(|found| found == section.name()) => {
                        error.hint(format!("its {} is something else", section.name()))
                    }
                    found => error.hint(format!("it has {}", found.join(", "))),
                }
            }
        })?;
        for (letter, number) in replaced.removed {
            if lines.iter().any(|line| line.number == number) {
                self.warnings.push(magic::warning(letter, &source, number));
            }
        }
        if format == Format::Ini {
            let traps = lines
                .iter()
                .filter_map(|line| traps::warning(line, &source));
            self.warnings.extend(traps);
        }
        self.last = Some(magic);
        self.depth += 1;
        // A condition or a loop around the line that names the file is no business of the file's lines, nor over behind them.
        let around = std::mem::take(&mut self.logic);
        for line in lines {
            let incoming = Incoming {
                spelled: line.key.clone(),
                key: line.key,
                text: line.value,
                place: line.number,
                standing: Standing::Written,
            };
            self.add(incoming, &source, Some(&file))?;
        }
        self.close_logic();
        self.logic = around;
        self.depth -= 1;
        Ok(())
    }

    fn close_logic(&mut self) {
        if let Logic::Open { option, place, .. } = std::mem::take(&mut self.logic) {
            let end = if option.starts_with("if") {
                "endif"
            } else {
                "endfor"
            };
            self.warnings.push(format!(
                "{option} has no {end}: it ends with its source ({place})"
            ));
        }
    }
}

/// How an option that names a file says what is in it.
#[derive(Clone, Copy)]
pub(crate) enum Named {
    Format(Format),
    ByEnding,
}

fn format_of(row: &OptionRow) -> Option<Named> {
    let by_row = [
        (&configuration::INI, Named::Format(Format::Ini)),
        (&configuration::XML, Named::Format(Format::Xml)),
        (&configuration::YAML, Named::Format(Format::Yaml)),
        (&configuration::JSON, Named::Format(Format::Json)),
        (&configuration::TOML, Named::Format(Format::Toml)),
        (&configuration::CONFIG, Named::ByEnding),
        (&configuration::INCLUDE, Named::ByEnding),
        (&configuration::INI_PASTE, Named::Format(Format::Ini)),
        (&configuration::INI_PASTE_LOGGED, Named::Format(Format::Ini)),
    ];
    let found = by_row.into_iter().find(|(other, _)| other.name == row.name);
    found.map(|(_, named)| named)
}

/// The file is an application's, and may have no options for us.
fn is_paste(row: &OptionRow) -> bool {
    [&configuration::INI_PASTE, &configuration::INI_PASTE_LOGGED]
        .iter()
        .any(|other| other.name == row.name)
}

fn is_same_file(one: &str, other: &str) -> bool {
    match (std::fs::canonicalize(one), std::fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => Path::new(one).file_name() == Path::new(other).file_name(),
    }
}

fn is_logic(row: &OptionRow) -> bool {
    [
        &configuration::CONDITION,
        &configuration::CONDITION_RELOAD,
        &configuration::REPEAT,
    ]
    .iter()
    .any(|other| other.name == row.name)
}

pub(crate) fn unreadable(name: &str, failure: Unreadable, entry: &Entry) -> ConfigError {
    let error = ConfigError::new(format!("{name} {} ({})", failure.why, entry.position()));
    match failure.hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn utf8<'b>(bytes: &'b [u8], source: &str) -> Result<&'b str, ConfigError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = memchr::memchr_iter(b'\n', good).count() + 1;
            Err(
                ConfigError::new(format!("{source} line {line} is not UTF-8"))
                    .hint("save the file as UTF-8"),
            )
        }
    }
}

/// `site.ini:blue` is a section of a file, `:blue` one of the same file.
fn split<'t>(text: &'t str, inside: Option<&'t str>) -> (&'t str, Section<'t>) {
    // What follows a scheme's slashes may hold a colon of its own.
    let (from, path) = match text.find("://") {
        Some(at) => (text.rfind('/').unwrap_or(at), text),
        None => (0, text),
    };
    match path.get(from..).and_then(|rest| rest.rfind(':')) {
        Some(0) if from == 0 => (
            inside.unwrap_or_default(),
            named(path.get(1..).unwrap_or_default()),
        ),
        Some(at) => {
            let section = path.get(from + at + 1..).unwrap_or_default();
            if section.contains(['/', '\\']) {
                return (text, Section::Usual);
            }
            (path.get(..from + at).unwrap_or_default(), named(section))
        }
        None => (text, Section::Usual),
    }
}

fn named(section: &str) -> Section<'_> {
    match section {
        "" => Section::Usual,
        section => Section::Named(section),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_names_a_section() {
        let blue = Section::Named("blue");
        assert_eq!(split("uwsgi.ini", None), ("uwsgi.ini", Section::Usual));
        assert_eq!(split("uwsgi.ini:blue", None), ("uwsgi.ini", blue));
        assert_eq!(split(":blue", Some("a.ini")), ("a.ini", blue));
        assert_eq!(split(":blue", None), ("", blue));
        assert_eq!(split("a.ini:", None), ("a.ini", Section::Usual));
        assert_eq!(
            split(r"C:\site\a.ini", None),
            (r"C:\site\a.ini", Section::Usual)
        );
        assert_eq!(split("C:/site/a.ini:blue", None), ("C:/site/a.ini", blue));
        assert_eq!(split("fd://3:blue", None), ("fd://3", blue));
        assert_eq!(split("exec://a b", None), ("exec://a b", Section::Usual));
    }
}
