//! Options that act while they are read: conditions and loops begin, files are read in their place,
//! `set` and `set-placeholder` enter what they name, `declare-option` declares a name, `exit` ends
//! the reading. The others are only noted.

use std::path::Path;
use std::rc::Rc;

use super::entries::{Entry, PassedOver, Standing};
use super::files::{format_of, is_paste, split};
use super::loader::{Incoming, Loader, Stop, is_logic};
use super::logic::{self, Logic};
use crate::config::app::options as app;
use crate::config::error::ConfigError;
use crate::config::readers::options as configuration;
use crate::config::table;
use crate::config::table::row::OptionRow;

const ENTRIES_MAX: usize = 50_000;

impl Loader<'_> {
    /// An option that is read: those that act at once act now.
    pub(super) fn enter(
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
            let error = entry.error(format_args!(
                "is one option too many: there are {ENTRIES_MAX}"
            ));
            return Err(error.into());
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
            self.open_logic(entry);
            return Ok(());
        }
        self.push(entry.clone());
        if let Some(format) = format_of(row) {
            if is_paste(row) && self.paste(&entry, source, inside)? {
                return Ok(());
            }
            return self.load(&entry, format, inside);
        }
        match row.name {
            name if name == configuration::EXIT.name => {
                Err(Stop::Exit(entry.text.trim().parse().unwrap_or(0)))
            }
            name if name == configuration::DECLARE_OPTION.name => Ok(self.declare(&entry)?),
            name if name == configuration::SET.name => {
                self.set(&entry, Standing::Written, source, inside)
            }
            name if name == configuration::SET_PLACEHOLDER.name => {
                self.set(&entry, Standing::Placeholder, source, inside)
            }
            _ => Ok(()),
        }
    }

    /// A condition or a loop begins.
    fn open_logic(&mut self, entry: Entry) {
        if logic::is_missing(&entry.key, &entry.text, self.system) {
            self.warnings.push(format!(
                "{}: there is no file {}, and what is below is not read, as in uWSGI ({})",
                entry.key,
                entry.text,
                entry.position()
            ));
        }
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if entry.key == "for-times" && !is_number(entry.text.trim()) {
            self.warnings.push(format!(
                "for-times {} is read as {}, as in uWSGI ({})",
                entry.text,
                logic::times(&entry.text),
                entry.position()
            ));
        }
        self.logic = Logic::Open {
            option: entry.key.clone(),
            thing: entry.text.clone(),
            place: entry.position(),
        };
        self.passed_over.push(PassedOver {
            before: self.entries.len(),
            entry,
            kept_out_by: None,
        });
    }

    /// `declare-option = NAME=OPTION=VALUE;OPTION=VALUE`
    fn declare(&mut self, entry: &Entry) -> Result<(), ConfigError> {
        let parts = entry
            .text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty());
        let Some((declared, template)) = parts else {
            return Err(entry.error("wants NAME=OPTION=VALUE;OPTION=VALUE"));
        };
        if table::named(declared).is_some() {
            return Err(entry.error(format_args!(
                "cannot declare {declared}: it is an option already"
            )));
        }
        self.declared
            .push((declared.to_owned(), template.to_owned()));
        Ok(())
    }

    /// `set = KEY=VALUE`, `set-placeholder = KEY=VALUE`
    fn set(
        &mut self,
        entry: &Entry,
        standing: Standing,
        source: &Rc<str>,
        inside: Option<&str>,
    ) -> Result<(), Stop> {
        let parts = entry
            .text
            .split_once('=')
            .filter(|(key, _)| !key.is_empty());
        let Some((key, text)) = parts else {
            return Err(entry
                .error(format_args!("wants KEY=VALUE, got '{}'", entry.text))
                .into());
        };
        // uWSGI has no option `app`.
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
        self.enter(set, row, source, inside)
    }

    /// `ini-paste = FILE` stands for `paste = config:FILE` and the options of the file. True if
    /// these are being read already: the option stands in the file itself.
    fn paste(
        &mut self,
        named: &Entry,
        source: &Rc<str>,
        inside: Option<&str>,
    ) -> Result<bool, Stop> {
        let (file, _) = split(&named.text, inside);
        // Absolute, as in uWSGI: --chdir comes later.
        let path = std::path::absolute(self.system.path(file))
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
        Ok(inside
            .is_some_and(|inside| is_same_file(&self.system.path(inside), &self.system.path(file))))
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    match (std::fs::canonicalize(one), std::fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one.file_name() == other.file_name(),
    }
}
