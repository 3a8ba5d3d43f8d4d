//! Files are read where they are named: which section of which file, in which format, and what is
//! wrong if they cannot be.

use std::rc::Rc;

use super::entries::{Entry, Standing};
use super::loader::{Incoming, Loader, Stop};
use super::logic::Logic;
use super::magic::{self, FileMagic, Magic, Replaced};
use super::traps;
use crate::config::error::ConfigError;
use crate::config::readers::contents::{self, Unreadable};
use crate::config::readers::formats::{Failure, Format, Line, Section};
use crate::config::readers::layers;
use crate::config::readers::options as configuration;
use crate::config::table;
use crate::config::table::row::OptionRow;

/// How deep files may name files; deeper is a circle.
const DEPTH_MAX: usize = 16;
/// The way out where the name of a file holds `$(NAME)`.
const NOT_REPLACED: &str = "files are read before variables and placeholders are replaced, as in \
     uWSGI: name the file on the command line, or with if-env and %(_)";

impl Loader<'_> {
    /// Reads a file where it is named.
    pub(super) fn load(
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
        let same_file = self
            .file_of_section(&named.text)
            .or(inside.map(str::to_owned));
        let (file, section) = split(&named.text, same_file.as_deref());
        if file.is_empty() {
            return Err(named
                .error(format_args!("wants a file, got '{}'", named.text))
                .into());
        }
        let Some(bytes) = self.bytes_of(file, named)? else {
            return Ok(());
        };
        let source: Rc<str> = match file {
            "-" => "standard input".into(),
            file => file.into(),
        };
        let magic = FileMagic::new(file, section, self.system);
        let first = self.first.get_or_insert_with(|| magic.clone()).clone();
        let mut replaced = Magic {
            file: &magic,
            first: &first,
            system: self.system,
        }
        .replace(utf8(&bytes, &source)?);
        let format = format.of(file, &replaced.text, named)?;
        // Strings of JSON and TOML cannot hold this character; its escape stands for it.
        if matches!(format, Format::Json | Format::Toml) {
            replaced.text = replaced.text.replace('\u{1b}', "\\u001b");
        }
        let lines = match format.read(&replaced.text, section) {
            Ok(lines) => lines,
            Err(Failure::NoSection(_)) if named.row.is_some_and(is_paste) => return Ok(()),
            Err(failure) => return Err(unread(failure, &source, format, section, named).into()),
        };
        self.warn_of(&lines, &replaced, format, &source);
        if format == Format::Ini {
            self.last_ini = Some(file.to_owned());
        }
        self.last = Some(magic);
        self.depth += 1;
        // A condition or loop around the line that names the file does not reach into the file.
        let around = std::mem::take(&mut self.logic);
        for line in lines {
            let of_placeholder = line
                .of_placeholder
                .filter(|_| table::named(&line.key).is_none());
            let incoming = Incoming {
                spelled: line.key.clone(),
                key: line.key,
                text: of_placeholder.map_or(line.value, str::to_owned),
                place: line.number,
                standing: Standing::Written,
            };
            self.add(incoming, &source, Some(file))?;
        }
        match around {
            // As in uWSGI, what no end closes goes on behind the file.
            Logic::None => self.warn_of_open_logic(&source),
            around => {
                self.close_logic();
                self.logic = around;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// The file of `:blue`: for uWSGI the ini file that was read last. Only if that has no such
    /// section it is the file that the line stands in.
    fn file_of_section(&self, text: &str) -> Option<String> {
        let section = text.strip_prefix(':')?;
        let last = self.last_ini.as_ref()?;
        let bytes = contents::read(last, false, &self.system.directory).ok()?;
        let text = std::str::from_utf8(&bytes).ok()?;
        let is_there = Format::Ini.read(text, Section::Named(section)).is_ok();
        is_there.then(|| last.clone())
    }

    /// The bytes of a file; `None` if a report goes on without them.
    fn bytes_of(&mut self, file: &str, named: &Entry) -> Result<Option<Vec<u8>>, ConfigError> {
        match contents::read(file, self.may_execute, &self.system.directory) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(mut failure) => {
                if ["$(", "%(", "${"].iter().any(|mark| file.contains(mark)) {
                    failure.hint = Some(NOT_REPLACED);
                }
                let error = unreadable(file, failure, named);
                // Without the first file there is nothing to report.
                if self.goes_on && self.first.is_some() {
                    self.left_out.push(error);
                    return Ok(None);
                }
                Err(error)
            }
        }
    }

    /// Warns of magic variables that are none, and of lines of ini files that say something else
    /// than they seem to.
    fn warn_of(&mut self, lines: &[Line], replaced: &Replaced, format: Format, source: &Rc<str>) {
        let is_read = |number: u32| lines.iter().any(|line| line.number == number);
        for (letter, number) in replaced.removed.iter().filter(|(_, line)| is_read(*line)) {
            self.warnings.push(magic::warning(*letter, source, *number));
        }
        for (digit, number) in replaced.no_folder.iter().filter(|(_, line)| is_read(*line)) {
            let warning = magic::folder_warning(*digit, source, *number);
            self.warnings.push(warning);
        }
        if format == Format::Ini {
            let traps = lines.iter().filter_map(|line| traps::warning(line, source));
            self.warnings.extend(traps);
        }
    }
}

/// How an option that names a file says what is in it.
#[derive(Clone, Copy)]
pub(crate) enum Named {
    Format(Format),
    ByEnding,
}

impl Named {
    fn of(self, file: &str, text: &str, named: &Entry) -> Result<Format, ConfigError> {
        match self {
            Named::Format(format) => Ok(format),
            Named::ByEnding => match Format::of_ending(file) {
                Some(format) => Ok(format),
                None if file == "-" || file.contains("://") => Ok(Format::of_text(text)),
                None => Err(named
                    .error(format_args!(
                        "cannot tell the format of {file} by its ending"
                    ))
                    .hint("say it: --ini, --xml, --yaml, --json or --toml FILE")),
            },
        }
    }
}

/// The error about a file that cannot be read as options.
fn unread(
    failure: Failure,
    source: &str,
    format: Format,
    section: Section<'_>,
    named: &Entry,
) -> ConfigError {
    let found = match failure {
        Failure::Syntax { line, why } => {
            return ConfigError::new(format!("{why} ({})", layers::place(source, line)));
        }
        Failure::NoSection(found) => found,
    };
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

pub(super) fn format_of(row: &OptionRow) -> Option<Named> {
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
pub(super) fn is_paste(row: &OptionRow) -> bool {
    [&configuration::INI_PASTE, &configuration::INI_PASTE_LOGGED]
        .iter()
        .any(|other| other.name == row.name)
}

pub(super) fn unreadable(name: &str, failure: Unreadable, entry: &Entry) -> ConfigError {
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
pub(super) fn split<'t>(text: &'t str, inside: Option<&'t str>) -> (&'t str, Section<'t>) {
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
