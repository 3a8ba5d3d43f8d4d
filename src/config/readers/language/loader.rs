//! The sources become one list of options, in the order in which they take effect: environment,
//! command line, and each file where it is named (uWSGI docs, "How uWSGI parses config files").
//!
//! Two steps, as in uWSGI. While options are read (here): files are opened in their
//! place, magic variables are replaced in their whole text, conditions and loops decide what is
//! read. When all are there (`finish`): `$(ENV)`, `@(file)` and `%(placeholder)` are
//! expanded in every value, declared options become what they stand for, and `inherit` adds its
//! files behind everything else. What an option means is not known here.

use std::collections::HashMap;
use std::rc::Rc;

use super::entries::{Entry, PassedOver, Standing};
use super::logic::{self, Fate, Logic};
use super::magic::FileMagic;
use crate::config::error::ConfigError;
use crate::config::python::options as python;
use crate::config::readers::layers::{self, Layer};
use crate::config::readers::options as configuration;
use crate::config::readers::system_facts::SystemFacts;
use crate::config::table;
use crate::config::table::row::OptionRow;

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

pub(crate) struct Loader<'s> {
    pub(crate) system: &'s SystemFacts,
    /// `--allow-config-exec` was given where it may be.
    pub(crate) may_execute: bool,
    pub(crate) entries: Vec<Entry>,
    /// The first entry of each name, for placeholders: later ones are not looked at.
    first_by_name: HashMap<String, usize>,
    pub(crate) logic: Logic,
    /// Names that stand for several options, and their templates.
    pub(crate) declared: Vec<(String, String)>,
    pub(crate) first: Option<FileMagic>,
    pub(crate) last: Option<FileMagic>,
    /// The ini file that was read last, as it was named.
    pub(crate) last_ini: Option<String>,
    pub(crate) inheriting: bool,
    pub(crate) depth: usize,
    pub(crate) warnings: Vec<String>,
    pub(crate) prints: Vec<String>,
    pub(crate) passed_over: Vec<PassedOver>,
    /// For reports, which are written elsewhere than where the server runs: a file that is not
    /// there, or a command that is not allowed, is noted and left out.
    pub(crate) goes_on: bool,
    pub(crate) left_out: Vec<ConfigError>,
}

/// A name and value on their way in.
#[derive(Clone)]
pub(super) struct Incoming {
    pub(super) key: String,
    pub(super) spelled: String,
    pub(super) text: String,
    pub(super) place: u32,
    pub(super) standing: Standing,
}

impl<'s> Loader<'s> {
    pub(crate) fn new(system: &'s SystemFacts, may_execute: bool) -> Loader<'s> {
        Loader {
            system,
            may_execute,
            entries: Vec::new(),
            first_by_name: HashMap::new(),
            logic: Logic::None,
            declared: Vec::new(),
            first: None,
            last: None,
            last_ini: None,
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
        // One of a file stays open, and was warned of.
        let is_of_layer = |logic: &Logic| match logic {
            Logic::Open { place, .. } => **place == *source,
            _ => true,
        };
        if is_of_layer(&self.logic) {
            self.close_logic();
        }
        Ok(())
    }

    /// Takes in a line; `inside` is the file that it stands in.
    pub(super) fn add(
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
            self.logic = self.otherwise(&incoming, source)?;
            self.pass_over(&incoming, row, source, None);
            return Ok(());
        }
        match self.fate(&incoming, row, source)? {
            Fate::Skip => {
                let why = self.why_skipped();
                self.pass_over(&incoming, row, source, Some(why));
                Ok(())
            }
            Fate::Read => self.enter(incoming, row, source, inside),
            Fate::ReadFor(values) => {
                for value in values {
                    let one = Incoming {
                        text: incoming.text.replace("%(_)", &value),
                        ..incoming.clone()
                    };
                    self.enter(one, row, source, inside)?;
                }
                Ok(())
            }
        }
    }

    /// The logic behind an `else`.
    fn otherwise(&mut self, incoming: &Incoming, source: &Rc<str>) -> Result<Logic, ConfigError> {
        match std::mem::take(&mut self.logic) {
            Logic::Open {
                option,
                thing,
                place,
            } if option.starts_with("if") => {
                let fate = self.decide(&option, &thing, &place)?;
                Ok(Logic::Else {
                    read: fate == Fate::Skip,
                    of: format!("{option} {thing}"),
                })
            }
            _ => {
                let position = layers::place(source, incoming.place);
                Err(ConfigError::new(format!(
                    "else has no condition before it ({position})"
                )))
            }
        }
    }

    /// What the open condition or loop makes of a line.
    fn fate(
        &mut self,
        incoming: &Incoming,
        row: Option<&OptionRow>,
        source: &Rc<str>,
    ) -> Result<Fate, ConfigError> {
        match &self.logic {
            Logic::None | Logic::Else { read: true, .. } => Ok(Fate::Read),
            Logic::Else { read: false, .. } => Ok(Fate::Skip),
            Logic::Open {
                option,
                thing,
                place,
            } => {
                let fate = self.decide(option, thing, place)?;
                let is_read = match &fate {
                    Fate::Read => true,
                    Fate::ReadFor(values) => !values.is_empty(),
                    Fate::Skip => false,
                };
                if !row.is_some_and(is_logic) {
                    return Ok(fate);
                }
                let position = layers::place(source, incoming.place);
                let key = &incoming.key;
                if is_read {
                    return Err(ConfigError::new(format!(
                        "{key} cannot stand inside {option} ({position})"
                    ))
                    .hint(format!(
                        "{option} begins at {place}; close it with endif or endfor"
                    )));
                }
                // uWSGI does not read it, and so does not know that it needs an end of its own.
                self.warnings.push(format!(
                    "{key} is inside {option}, which begins at {place}: the first end below closes \
                     {option}, as in uWSGI ({position})"
                ));
                Ok(Fate::Skip)
            }
        }
    }

    fn why_skipped(&self) -> String {
        match &self.logic {
            Logic::Open { option, thing, .. } if logic::is_missing(option, thing, self.system) => {
                format!("there is no file {thing}")
            }
            Logic::Open { option, thing, .. } => format!("{option} {thing} does not hold"),
            Logic::Else { of, .. } => format!("{of} holds"),
            Logic::None => String::new(),
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
        logic::decide(option, thing, self.system, |name| self.first_of(name))
            .map_err(|why| ConfigError::new(format!("{option} {why} ({place})")))
    }

    /// The value that was written first under this very name.
    pub(crate) fn first_of(&self, name: &str) -> Option<String> {
        let index = *self.first_by_name.get(name)?;
        self.entries.get(index).map(|entry| entry.text.clone())
    }

    pub(super) fn push(&mut self, entry: Entry) {
        if entry.standing != Standing::Implied && !self.first_by_name.contains_key(&entry.key) {
            self.first_by_name
                .insert(entry.key.clone(), self.entries.len());
        }
        self.entries.push(entry);
    }

    /// Warns of a condition or loop that its file does not close.
    pub(super) fn warn_of_open_logic(&mut self, source: &str) {
        if let Logic::Open { option, place, .. } = &self.logic {
            let end = logic::end_of(option);
            self.warnings.push(format!(
                "{option} has no {end}: what is read behind {source} belongs to it, too, as in \
                 uWSGI ({place})"
            ));
        }
    }

    pub(super) fn close_logic(&mut self) {
        if let Logic::Open { option, place, .. } = std::mem::take(&mut self.logic) {
            let end = logic::end_of(&option);
            self.warnings.push(format!(
                "{option} has no {end}: it ends with its source ({place})"
            ));
        }
    }
}

pub(super) fn is_logic(row: &OptionRow) -> bool {
    [
        &configuration::CONDITION,
        &configuration::CONDITION_RELOAD,
        &configuration::REPEAT,
    ]
    .iter()
    .any(|other| other.name == row.name)
}
